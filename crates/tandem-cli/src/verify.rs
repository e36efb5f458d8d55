//! `tandem verify`: checks a run folder against itself.

use crate::output::say;
use crate::run_folder;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use tandem_training::{Finding, verify};

const EXAMPLES: &str = "Examples:
  tandem verify runs/heart";

/// Checks a run folder against itself: that its files are there, whole, and agree with each other and with the prepared scans.
/// Exits with 1 where they do not.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The run folder.
    run: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    // Says what is no run folder as every other command does.
    run_folder::record(&arguments.run)?;
    let findings = verify(&arguments.run)?;
    findings.iter().for_each(|finding| say(line(finding)));
    let wrong = findings.iter().filter(|finding| finding.outcome.is_err()).count();
    let openings = run_folder::test_openings(&arguments.run)?;
    if let Some(last) = openings.last() {
        say(format!("test list: opened {} times by evaluate, last at {}", openings.len(), last.time));
    }
    if wrong == 0 {
        say(format!("{}: all is as it should be", arguments.run.display()));
        return Ok(ExitCode::SUCCESS);
    }
    say(format!(
        "{}: {wrong} of {} files are not as they should be",
        arguments.run.display(),
        findings.len()
    ));
    Ok(ExitCode::FAILURE)
}

fn line(finding: &Finding) -> String {
    let (mark, text) = match &finding.outcome {
        Ok(found) => ("ok", found),
        Err(problem) => ("WRONG", problem),
    };
    format!("{mark:<5}  {:<16}  {text}", finding.file)
}
