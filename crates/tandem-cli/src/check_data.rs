//! `tandem check-data`: finds what could break a run before it starts.

use crate::interrupt;
use crate::output::say;
use crate::survey::{Class, Finding, Kind, Survey, Surveyed, classes};
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use tandem_volume::layout::{Layout, ScanFolder};

const EXAMPLES: &str = "Examples:
  tandem check-data scans/
  tandem check-data nnUNet_raw/Dataset002_Heart --json findings.json";

/// Checks a folder of scans: files, checksums, voxels, labels, grids, duplicates; and counts the voxels of each class. Exits
/// with 1 where there are errors, such as those that prepare-data custom would refuse; warnings alone pass.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The scans: images/ with labels/, nnU-Net raw data, a Decathlon task, or a folder that prepare-data la reads.
    folder: PathBuf,
    /// Writes all that was found to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The JSON file.
#[derive(Serialize)]
struct Report<'a> {
    folder: &'a PathBuf,
    layout: Layout,
    errors: usize,
    warnings: usize,
    findings: &'a [Finding],
    /// Those of the label maps for training.
    classes: &'a [Class],
    scans: &'a [Surveyed],
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let stop = interrupt::watch()?;
    let folder = ScanFolder::open(&arguments.folder)?;
    say(format!("{}: {}, {} scans", folder.path().display(), folder.layout(), folder.scans().len()));
    if !folder.unlisted().is_empty() {
        say(format!("{} more are in no list and are left out", folder.unlisted().len()));
    }
    let Some(survey) = Survey::of(&folder, stop)? else { return Ok(interrupt::exit_code()) };
    let classes = classes(folder.labels(), &survey.scans);
    counted(&classes).iter().for_each(say);
    table(&survey.findings).iter().for_each(say);
    let (errors, warnings) = survey.counts();
    if let Some(path) = &arguments.json {
        let report = Report {
            folder: &arguments.folder,
            layout: folder.layout(),
            errors,
            warnings,
            findings: &survey.findings,
            classes: &classes,
            scans: &survey.scans,
        };
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    say(format!("{errors} errors, {warnings} warnings in {} scans", folder.scans().len()));
    Ok(if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How much there is of each class; nothing where no label map for training was read.
fn counted(classes: &[Class]) -> Vec<String> {
    if classes.iter().all(|class| class.scans == 0) {
        return Vec::new();
    }
    let name = |class: &Class| class.name.clone().unwrap_or_default();
    let width = classes.iter().map(|class| name(class).chars().count()).max().unwrap_or(0);
    let line = |class: &Class| {
        let (label, voxels, scans) = (class.label, class.voxels, class.scans);
        format!("  {label:>3} {:<width$} {voxels:>12} voxels in {scans} scans", name(class))
    };
    let head = "classes in the label maps for training:".to_owned();
    std::iter::once(head).chain(classes.iter().map(line)).collect()
}

/// A line for each finding; the unlabelled scans share one.
fn table(findings: &[Finding]) -> Vec<String> {
    let (unlabelled, others): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.kind == Kind::Unlabelled);
    let width = others.iter().map(|finding| finding.scan.len()).max().unwrap_or(1);
    let line = |severity: &str, scan: &str, message: &str| format!("{severity:<8} {scan:<width$}  {message}");
    let mut lines: Vec<String> =
        others.iter().map(|finding| line(finding.severity.name(), &finding.scan, &finding.message)).collect();
    if let [first, rest @ ..] = unlabelled.as_slice() {
        let message = match rest.last() {
            None => format!("{} has no label map: an unlabelled scan", first.scan),
            Some(last) => format!(
                "{} scans have no label map ({} to {}): unlabelled scans",
                unlabelled.len(),
                first.scan,
                last.scan
            ),
        };
        lines.push(line(first.severity.name(), "-", &message));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlabelled_scans_share_a_line() {
        let finding = |kind, scan: &str| Finding::new(kind, scan, None, format!("about {scan}"));
        let findings = [
            finding(Kind::Constant, "case_1"),
            finding(Kind::Spacing, "b"),
            finding(Kind::Unlabelled, "c"),
            finding(Kind::Unlabelled, "d"),
        ];
        assert_eq!(
            table(&findings),
            [
                "error    case_1  about case_1",
                "warning  b       about b",
                "note     -       2 scans have no label map (c to d): unlabelled scans",
            ]
        );
        assert!(table(&findings[..1]).len() == 1 && table(&[]).is_empty());
    }
}
