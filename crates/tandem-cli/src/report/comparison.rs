//! Several runs: each beside the first, in pairs of the same case.

use super::files::RunFiles;
use super::scores::{Shown, shown};
use crate::compare::{Line, Scored, lines_of, p_value};
use crate::grid::CellRecord;
use std::collections::BTreeSet;
use tandem_report::{Cell, Part, Table};
use tandem_training::{Component, ENSEMBLE, Grid};

pub(super) fn parts(runs: &[RunFiles]) -> Vec<Part> {
    let (scored, without): (Vec<&RunFiles>, Vec<&RunFiles>) =
        runs.iter().partition(|run| !run.scores.rows().is_empty());
    let mut parts = Vec::new();
    for run in without {
        parts.push(Part::Warning(format!("{} has no scores and is not compared.", run.name)));
    }
    let [first, _, ..] = scored[..] else {
        parts.push(Part::Text("There is nothing to compare.".to_owned()));
        return parts;
    };
    let cases = |run: &RunFiles| -> BTreeSet<String> {
        run.scores.rows().iter().map(|row| row.case.clone()).collect()
    };
    let expected = cases(first);
    for run in scored.iter().filter(|run| cases(run) != expected) {
        let shared = cases(run).intersection(&expected).count();
        parts.push(Part::Warning(format!(
            "{} was scored on other cases than {}: {shared} of {} are the same, and differences are of those alone.",
            run.name,
            first.name,
            expected.len()
        )));
    }
    parts.push(Part::Text(format!(
        "The ensemble of each run on the scans' own grids{}, beside {}. Intervals are 95 % bootstrap intervals (BCa) over cases; p is \
         Wilcoxon's signed-rank test over cases, corrected by Holm over the runs. They say how sure a difference of these runs is over \
         cases, not over seeds: for that, fill a grid and compare it.",
        if first.classes().len() > 1 { ", mean over classes" } else { "" },
        first.name
    )));
    let metrics = shown(first);
    let all = all_lines(&scored);
    let is_wanted = |shown: &&Shown| {
        ["dice", "hd95", "asd"].contains(&shown.metric.as_str()) || shown.metric.starts_with("nsd_")
    };
    for shown in metrics.iter().filter(is_wanted) {
        parts.push(Part::Table(table(first, shown, &all)));
    }
    parts
}

/// The numbers of a grid's comparison, of runs that are a method each.
fn all_lines(runs: &[&RunFiles]) -> Vec<Line> {
    // All in one place, so that each case of a run is paired with the same case of the first.
    let cell = |run: &&RunFiles| CellRecord {
        run: run.name.clone(),
        method: run.name.clone(),
        labelled: 0,
        labelled_set: 0,
        fold: 0,
        seed: 0,
        failed: None,
    };
    let cells: Vec<CellRecord> = runs.iter().map(cell).collect();
    let scored: Vec<Scored> =
        runs.iter().zip(&cells).map(|(run, cell)| Scored { cell, scores: run.scores.clone() }).collect();
    let names: Vec<&str> = cells.iter().map(|cell| cell.method.as_str()).collect();
    names.first().map_or_else(Vec::new, |first| lines_of(&scored, &names, first))
}

fn table(first: &RunFiles, shown: &Shown, all: &[Line]) -> Table {
    let is = |line: &&Line| {
        (line.grid, line.component) == (Grid::Own, Component::All)
            && line.predictor == ENSEMBLE
            && line.class == first.headline_class()
            && (line.metric.as_str(), line.unit.as_str()) == (shown.metric.as_str(), shown.unit)
    };
    let number = |value: Option<f64>| match value {
        Some(value) => Cell::number(shown.factor * value, format!("{:.2}", shown.factor * value)),
        None => Cell::undefined("no value"),
    };
    let signed = |value: Option<f64>| match value {
        Some(value) => Cell::number(shown.factor * value, format!("{:+.2}", shown.factor * value)),
        None => Cell::undefined("no pair with a value"),
    };
    let interval = |ends: Option<[f64; 2]>| match ends {
        Some([low, high]) => Cell::text(format!("{:.2} to {:.2}", shown.factor * low, shown.factor * high)),
        None => Cell::undefined("fewer than two cases"),
    };
    let row = |line: &Line| {
        let counted = match line.undefined {
            0 => line.cases.to_string(),
            n => format!("{} (undefined in {n})", line.cases),
        };
        let mut cells =
            vec![Cell::text(&line.method), number(line.mean), interval(line.interval), Cell::text(counted)];
        cells.extend(match &line.against {
            None => vec![Cell::text("the first"), Cell::text(""), Cell::text(""), Cell::text("")],
            Some(against) => vec![
                signed(against.difference),
                interval(against.interval),
                match against.p_holm {
                    Some(p) => Cell::number(p, p_value(Some(p))),
                    None => Cell::undefined("no case differs"),
                },
                match against.rank_biserial {
                    Some(effect) => Cell::number(effect, format!("{effect:+.2}")),
                    None => Cell::undefined("no case differs"),
                },
            ],
        });
        cells
    };
    let better = if shown.up { "more is better" } else { "less is better" };
    let headings = [
        "Run",
        "Mean",
        "95 % interval",
        "Cases",
        "Less the first",
        "95 % interval",
        "p (Holm)",
        "Rank-biserial",
    ];
    Table {
        caption: format!("{}, {better}", shown.heading),
        headings: headings.map(str::to_owned).into(),
        rows: all.iter().filter(is).map(row).collect(),
    }
}
