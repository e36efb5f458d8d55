//! What can go wrong in a run.

use crate::Breakdown;
use std::path::{Path, PathBuf};

/// What can go wrong in a run. Each message names the file or field and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of range or does not suit the data.
    #[error("{field} {problem}")]
    Config {
        /// The setting, as `section.name`.
        field: String,
        /// What is wrong and what would do.
        problem: String,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}{}", path.display(), tandem_volume::remedy(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of a run folder is not what this program writes.
    #[error("{}: {problem}", path.display())]
    RunFile {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what would do.
        problem: String,
    },
    /// A scan could not be read or resampled.
    #[error("case {id}: {source}")]
    Case {
        /// The scan's id.
        id: String,
        /// What is wrong with it.
        source: tandem_volume::Error,
    },
    /// A scan could not be segmented.
    #[error("case {id}: {source}")]
    Prediction {
        /// The scan's id.
        id: String,
        /// What is wrong with it.
        source: tandem_inference::Error,
    },
    /// A prediction could not be compared with its reference.
    #[error("case {id}: {source}")]
    Comparison {
        /// The scan's id.
        id: String,
        /// What is wrong.
        source: tandem_metrics::Error,
    },
    /// A prepared set could not be opened or written.
    #[error(transparent)]
    Volume(#[from] tandem_volume::Error),
    /// A loss or gradient is not finite, so that training further would be noise. The step changed nothing.
    #[error("{0}; lower training.learning_rate, set training.clip_norm, or look for bad scans")]
    NotFinite(Box<Breakdown>),
    /// The same in a run, which kept what broke, and ended because it was told to or had left out enough steps.
    #[error(
        "{breakdown}; the batch and the networks before it are in {}{}: lower training.learning_rate, set \
         training.clip_norm, or look at the scans {}",
        folder.display(),
        match skipped { 0 => String::new(), n => format!(", and {n} steps were skipped before") },
        cases.join(", ")
    )]
    Broken {
        /// What broke, and where.
        breakdown: Box<Breakdown>,
        /// Where the batch and the state before the step are kept.
        folder: PathBuf,
        /// The scans of the batch.
        cases: Vec<String>,
        /// Steps that were skipped before.
        skipped: u64,
    },
    /// The run was asked to stop; it can go on from the checkpoint.
    #[error("stopped after {steps} steps; the run can go on from {}", checkpoint.display())]
    Interrupted {
        /// Steps that are done.
        steps: u64,
        /// Where they are kept.
        checkpoint: PathBuf,
    },
    /// What was asked to stop did; a run that has begun turns this into [`Error::Interrupted`].
    #[error("stopped")]
    Stopped,
    /// What reads a scan panicked: a fault of this program, which this scan brought to light.
    #[error(
        "{what}: reading it failed by a fault of this program ({message}); leave the scan out, and report it"
    )]
    Panicked {
        /// The case, or else the step whose batch it was.
        what: String,
        /// What the panic said.
        message: String,
    },
    /// The thread that reads batches could not be started.
    #[error("cannot start the thread that reads scans: {0}")]
    Threads(#[source] rayon::ThreadPoolBuildError),
    /// The batches ended before the run did.
    #[error("there are no more batches; the thread that reads them has ended")]
    NoMoreBatches,
    /// Weights of another program could not be read.
    #[error(transparent)]
    Weights(#[from] tandem_weights::Error),
    /// A patch could not be changed.
    #[error(transparent)]
    Augmentation(#[from] tandem_augment::AugmentError),
    /// A tensor operation, a network or a method refused its input.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn config(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Error::Config { field: field.into(), problem: problem.into() }
    }

    pub(crate) fn run_file(path: &Path, problem: impl Into<String>) -> Self {
        Error::RunFile { path: path.to_owned(), problem: problem.into() }
    }

    /// For `map_err`: an I/O error with its path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Error::Io { path: path.to_owned(), source }
    }

    /// For `map_err`: an error of the volume crate with its case.
    pub(crate) fn case(id: &str) -> impl FnOnce(tandem_volume::Error) -> Self + '_ {
        move |source| Error::Case { id: id.to_owned(), source }
    }
}
