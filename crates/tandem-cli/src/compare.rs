//! `tandem compare`: the methods of a grid beside each other, from the scores of its runs.
//!
//! ```text
//! GRID/comparison.md     means and intervals of every method, and what it differs from the control by, for people
//! GRID/comparison.tex    the same means as LaTeX tables (booktabs)
//! GRID/comparison.csv    every number: by labelled scans, grid, component, class, network, metric and method
//! GRID/comparison.json   the same, with the runs and why one failed
//! GRID/effort.svg        scores by the number of labelled scans, where the grid has several
//! ```

mod csv;
mod effort;
mod latex;
mod lines;
mod markdown;
mod shown;

pub(crate) use lines::{Against, Line, Scored, all as lines_of};
pub(crate) use shown::p_value;

use crate::grid::GridRecord;
use crate::output::say;
use anyhow::{Result, bail};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tandem_training::{Component, ENSEMBLE, Grid, MEAN, Scores};
use tandem_volume::write_whole;

/// The method that the others are compared with where nothing else is said.
const CONTROL: &str = "supervised-ensemble";

const EXAMPLES: &str = "Examples:
  tandem compare runs/grids/la-8pct-la-quick
  tandem compare runs/grids/la-8pct-la-quick --control mean-teacher";

/// Compares the methods of a grid with one of them, from the scores of its runs; runs nothing.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The folder of a grid.
    grid: PathBuf,
    /// The method that the others are compared with [default: as the grid was told, else supervised-ensemble].
    #[arg(long, value_name = "METHOD")]
    control: Option<String>,
    /// Scores of `evaluate` in place of those on the validation scans: the name of its folder in each run, such as
    /// evaluation-test-la. The files are then called comparison-NAME.
    #[arg(long, value_name = "NAME")]
    evaluation: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    write(&arguments.grid, arguments.control.as_deref(), arguments.evaluation.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// What is compared, and what came of it.
#[derive(Serialize)]
pub(crate) struct Comparison {
    name: String,
    dataset: String,
    profile: String,
    /// The folder of the scores in each run; none for those of the run itself, on its validation scans.
    evaluation: Option<String>,
    control: String,
    /// By method, in the order of the grid.
    methods: Vec<MethodRuns>,
    /// Commits of the programs that began the runs, and how many each.
    commits: BTreeMap<String, usize>,
    lines: Vec<Line>,
}

/// The runs of a method.
#[derive(Serialize)]
struct MethodRuns {
    method: String,
    /// With scores.
    done: usize,
    /// With the reason.
    failed: BTreeMap<String, String>,
    /// Neither: not begun, or interrupted, or not evaluated.
    open: Vec<String>,
}

/// Compares the methods of a grid, writes the files, and shows a short table.
///
/// Of `evaluation`, the scores are those of that folder in each run.
pub(crate) fn write(grid: &Path, control: Option<&str>, evaluation: Option<&str>) -> Result<()> {
    let comparison = compare(grid, control, evaluation)?;
    let name = evaluation.map_or_else(|| "comparison".to_owned(), |name| format!("comparison-{name}"));
    let file = |ending: &str, text: &str| -> Result<()> {
        Ok(write_whole(grid.join(format!("{name}.{ending}")), text.as_bytes())?)
    };
    file("md", &markdown::text(&comparison))?;
    file("tex", &latex::text(&comparison))?;
    file("csv", &csv::text(&comparison.lines))?;
    file("json", &(serde_json::to_string_pretty(&comparison)? + "\n"))?;
    if let Some(picture) = effort::picture(&comparison) {
        let effort = name.replace("comparison", "effort");
        write_whole(grid.join(format!("{effort}.svg")), picture.as_bytes())?;
        say(format!(
            "{}: scores by the number of labelled scans",
            grid.join(format!("{effort}.svg")).display()
        ));
    }
    say(shown::terminal(&comparison));
    say(format!("{}: .md, .csv, .json, .tex", grid.join(name).display()));
    Ok(())
}

fn compare(grid: &Path, control: Option<&str>, evaluation: Option<&str>) -> Result<Comparison> {
    let record = GridRecord::read(grid)?;
    let control = control.or(record.control.as_deref()).unwrap_or(CONTROL).to_owned();
    let mut methods: Vec<MethodRuns> = Vec::new();
    let (mut scored, mut commits) = (Vec::new(), BTreeMap::new());
    for cell in &record.cells {
        let at = methods.iter().position(|runs| runs.method == cell.method).unwrap_or_else(|| {
            let method = cell.method.clone();
            methods.push(MethodRuns { method, done: 0, failed: BTreeMap::new(), open: Vec::new() });
            methods.len() - 1
        });
        let folder = grid.join(&cell.run);
        let metrics = evaluation.map_or(folder.clone(), |name| folder.join(name)).join("metrics.csv");
        // A run writes its summary last.
        if metrics.is_file() && folder.join("summary.json").is_file() {
            scored.push(Scored { cell, scores: Scores::read_csv(&metrics)? });
            methods[at].done += 1;
            let commit = crate::run_folder::record(&folder)?.commit;
            *commits.entry(commit.unwrap_or_else(|| "unknown".to_owned())).or_default() += 1;
        } else if let Some(reason) = &cell.failed {
            methods[at].failed.insert(cell.run.clone(), reason.clone());
        } else {
            methods[at].open.push(cell.run.clone());
        }
    }
    let names: Vec<&str> = methods.iter().map(|runs| runs.method.as_str()).collect();
    if scored.is_empty() {
        let what = evaluation.map_or("has ended".to_owned(), |name| format!("has scores in {name}"));
        bail!("{}: no run of the grid {what}; go on with the grid, or evaluate its runs", grid.display());
    }
    if !names.contains(&control.as_str()) {
        // The means are worth having without a control, where none was asked for.
        let problem = format!("the control {control} is none of the grid's methods ({})", names.join(", "));
        if record.control.is_some() || control != CONTROL {
            bail!("{}: {problem}; give one of them with --control", grid.display());
        }
        say(format!("nothing is compared: {problem}; give one with --control"));
    }
    let lines = lines::all(&scored, &names, &control);
    let evaluation = evaluation.map(str::to_owned);
    let GridRecord { name, dataset, profile, .. } = record;
    Ok(Comparison { name, dataset, profile, evaluation, control, methods, commits, lines })
}

impl Comparison {
    /// The numbers of labelled scans, in the order of the grid.
    fn labelled(&self) -> Vec<usize> {
        let mut found = Vec::new();
        for line in &self.lines {
            if !found.contains(&line.labelled) {
                found.push(line.labelled);
            }
        }
        found
    }

    /// Whether there is a mean over classes beside the classes themselves.
    fn has_several_classes(&self) -> bool {
        self.lines.iter().any(|line| line.class == MEAN)
    }

    /// A metric of the ensemble on the scans' own grids, of all that was predicted and of all classes: what methods are first
    /// compared by.
    fn headlines(&self, metric: &str, unit: &str) -> impl Iterator<Item = &Line> {
        let several = self.has_several_classes();
        self.lines.iter().filter(move |line| {
            (line.grid, line.component) == (Grid::Own, Component::All)
                && line.predictor == ENSEMBLE
                && (line.metric.as_str(), line.unit.as_str()) == (metric, unit)
                && (!several || line.class == MEAN)
        })
    }

    /// The line of a method and metric beside another line, of the same scans and network.
    fn beside(&self, line: &Line, method: &str, metric: &str, unit: &str) -> Option<&Line> {
        self.lines.iter().find(|other| {
            other.labelled == line.labelled
                && other.is_of_same_predictions(line)
                && (other.method.as_str(), other.metric.as_str(), other.unit.as_str())
                    == (method, metric, unit)
        })
    }
}
