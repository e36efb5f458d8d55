//! `tandem tensorboard`: the event files of runs that have none, or not all of one.

use crate::output::say;
use crate::{live, run_folder};
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use tandem_tensorboard::{EVENTS, EventFile};
use tandem_training::RunLock;

const EXAMPLES: &str = "Examples:
  tandem tensorboard runs/heart";

/// Makes the event files of runs from their logs, for TensorBoard: of runs that were trained without one, or whose disk was full.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The run folders.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    for run in &arguments.runs {
        // Says what is no run folder as every other command does.
        run_folder::record(run)?;
        // A run at work keeps its own.
        let _lock = RunLock::take(run)?;
        EventFile::open(run, live::drawn)?;
        say(run.join(EVENTS).display());
    }
    Ok(ExitCode::SUCCESS)
}
