//! `tandem report`: one or several runs as one HTML file.
//!
//! ```text
//! RUN/report.html        of one run, also written at the end of every experiment
//! report.html            beside the first of several runs, which are compared with it
//! ```
//!
//! No network runs for it: predictions and how unsure they are lie in the run folder, scans and their label maps in the prepared
//! folder that the run was made from. What is not there is said in the report, and the rest is shown.

mod cases;
mod comparison;
mod course;
mod files;
mod provenance;
mod scores;

use crate::output::say;
use anyhow::{Context, Result, bail};
use files::RunFiles;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tandem_report::{Page, Part, Section};
use tandem_training::Program;
use tandem_volume::write_whole;

/// Of the report in a run folder.
pub(crate) const FILE: &str = "report.html";

const EXAMPLES: &str = "Examples:
  tandem report runs/heart
  tandem report runs/heart runs/other -o both.html";

/// Shows a run as one HTML file that opens in any browser and needs no network: scores, worst cases first with slices through their
/// largest error, a 3-D viewer, curves, settings and where it came from. Of several runs, it compares the others with the first.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The run folders. Cases are sorted by the first one's scores.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The file [default: RUN/report.html; of several runs, report.html beside the first].
    #[arg(short, long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// Which cases the 3-D viewer holds: ids, or none [default: the worst, the median and the best]. A case takes up to 4 MB.
    #[arg(long, value_name = "ID,ID", value_delimiter = ',')]
    viewer: Option<Vec<String>>,
    /// Scores of `evaluate` in place of those on the validation scans: the name of its folder in each run, such as
    /// evaluation-test-la.
    #[arg(long, value_name = "NAME")]
    evaluation: Option<String>,
}

/// Which cases are shown in three dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InViewer {
    /// The worst, the median and the best one.
    Typical,
    /// These.
    Named(Vec<String>),
    /// None: the file has a tenth of the size.
    None,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let in_viewer = match &arguments.viewer {
        None => InViewer::Typical,
        Some(names) if names.iter().all(|name| name == "none") => InViewer::None,
        Some(names) => InViewer::Named(names.clone()),
    };
    let first = arguments.runs.first().context("give a run folder")?;
    let path = arguments.out.clone().unwrap_or_else(|| match arguments.runs.len() {
        1 => first.join(FILE),
        _ => first
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
            .join(FILE),
    });
    if path.is_dir() {
        bail!("{} is a folder; name a file with --out FILE.html", path.display());
    }
    let bytes = write(&arguments.runs, arguments.evaluation.as_deref(), &in_viewer, &path)?;
    say(format!("{}: {:.1} MB; open it in a browser", path.display(), bytes as f64 / 1e6));
    Ok(ExitCode::SUCCESS)
}

/// Writes the report of a run that has just ended. A run does not fail by it: it can be made again.
pub(crate) fn write_of_run(folder: &Path, in_viewer: &InViewer) {
    let written = write(&[folder.to_owned()], None, in_viewer, &folder.join(FILE));
    if let Err(error) = written {
        say(format!("{FILE} was not written: {error:#}; write it with: report {}", folder.display()));
    }
}

/// Writes the report; returns its size in bytes.
fn write(folders: &[PathBuf], evaluation: Option<&str>, in_viewer: &InViewer, path: &Path) -> Result<usize> {
    let mut runs: Vec<RunFiles> =
        folders.iter().map(|folder| RunFiles::read(folder, evaluation)).collect::<Result<_>>()?;
    files::tell_apart(&mut runs);
    let html = page(&runs, in_viewer)?.html();
    write_whole(path, html.as_bytes())?;
    Ok(html.len())
}

fn page(runs: &[RunFiles], in_viewer: &InViewer) -> Result<Page> {
    let (first, others) = runs.split_first().context("give a run folder")?;
    let section = |heading: &str, parts: Vec<Part>| Section { heading: heading.to_owned(), parts };
    let mut sections = vec![section("Summary", scores::summary(runs))];
    if !others.is_empty() {
        sections.push(section("Comparison", comparison::parts(runs)));
    }
    sections.extend(cases::sections(runs, in_viewer)?);
    sections.push(section("Scores", scores::parts(runs)));
    sections.push(section("Training", course::parts(runs)));
    sections.push(section("Confidence", course::confidence(runs)));
    sections.push(section("Data, settings and origin", provenance::parts(runs)));
    let title = match others.len() {
        0 => first.title(),
        n => format!("{} and {n} more: {} compared", first.title(), if n == 1 { "two runs" } else { "runs" }),
    };
    let program = Program::this();
    let commit = program.commit.map_or_else(String::new, |commit| format!(", commit {commit}"));
    Ok(Page {
        title,
        subtitle: first.subtitle(),
        sections,
        footer: format!(
            "Written by Tandem {}{commit}, {}. Tandem is a research program: it is not a medical device, and nothing here may guide the \
             care of a patient. Colours: Okabe and Ito, which nearly everybody tells apart.",
            program.version,
            crate::test_list::now()
        ),
    })
}
