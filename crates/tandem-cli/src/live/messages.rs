//! What `--json` writes: one JSON object a line. docs/watching-a-run.md describes every field.

use serde::Serialize;
use std::io::Write;
use std::path::Path;
use tandem_training::{Kernels, StepRecord, SummaryRow};

/// A line.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Message<'a> {
    /// The run is open and begins, or goes on after `steps`.
    Started {
        folder: &'a Path,
        name: &'a str,
        method: &'a str,
        seed: u64,
        dataset: &'a str,
        iterations: u64,
        steps: u64,
        labelled: usize,
        unlabelled: usize,
        validation: usize,
        kernels: &'a Kernels,
        version: &'a str,
    },
    /// Scans are brought to the working grid, before the run starts.
    Resampling { done: usize, total: usize },
    /// A step is done.
    Step {
        #[serde(flatten)]
        record: &'a StepRecord,
        iterations: u64,
        #[serde(flatten)]
        moment: Moment,
    },
    /// A step was left out.
    Skipped { step: u64, iterations: u64, reason: String, folder: &'a Path },
    /// A scan is being segmented.
    Validating { case: &'a str, number: u64, cases: u64 },
    /// A validation has ended.
    Validation {
        steps: u64,
        dice: Option<f64>,
        collapse: Option<&'a str>,
        scores: Vec<SummaryRow>,
        #[serde(flatten)]
        moment: Moment,
    },
    /// A checkpoint is written.
    Checkpoint { steps: u64, file: &'a Path },
    /// Something that people should know, and that does not end the run.
    Warning { message: String },
    /// The run has ended, and its folder is whole.
    Finished {
        folder: &'a Path,
        steps: u64,
        dice: Option<f64>,
        #[serde(flatten)]
        moment: Moment,
    },
    /// The run was asked to stop, and can go on from the checkpoint; there is none where it had not started.
    Stopped { folder: &'a Path, steps: u64, checkpoint: Option<&'a Path> },
    /// There is no run, or it ended early.
    Failed { error: String },
}

/// Time and memory at that moment.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Moment {
    pub(super) seconds: f64,
    pub(super) rate: Option<f64>,
    pub(super) left: Option<f64>,
    pub(super) memory: Option<u64>,
    pub(super) peak_memory: Option<u64>,
}

/// Writes a line to standard output. A reader that has gone away is no error: the files say the same.
pub(crate) fn tell(message: &impl Serialize) {
    if let Ok(mut line) = serde_json::to_vec(message) {
        line.push(b'\n');
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(&line).and_then(|()| output.flush());
    }
}
