//! A run: from settings and prepared scans to a folder with networks, predictions and scores.
//!
//! ```text
//! RUN/config.json              the resolved settings
//! RUN/run.json                 data, digests, seed, version, commit, kernels, threads, lists of cases
//! RUN/log.jsonl                which kernels ran, every term of the loss and gradient norm by step, and every validation
//! RUN/checkpoints/             step-NNNNNNNN.safetensors, the last two; best.safetensors; final.safetensors
//! RUN/predictions/ID.nii.gz    the ensemble's label maps of the validation cases, on their own grids
//! RUN/uncertainty/ID.nii.gz    how unsure it is of each voxel: entropy, 0 to 255
//! RUN/metrics.csv              per case, network, grid
//! RUN/summary.json             mean, SD, n, undefined, and whose weights
//! RUN/provenance.json          program, machine, wall time and peak memory of each piece of the run, and their sum
//! RUN/report.md                the same for people
//! RUN/failures/step-NNNNNNNN/  batch, state and term of a step that was not finite, where there was one
//! RUN/.lock                    locked by the process that writes to the folder, and its number
//! ```

mod plan;
mod state;

use crate::batch::stage;
use crate::files::{read_json, write_json};
use crate::lock::RunLock;
use crate::reader::read_ahead;
use crate::{
    Breakdown, Config, Error, Kernels, Lists, Result, ScoreSummary, Scores, Selection, StepRecord, Trainer,
    ValidationRecord, report,
};
use plan::Plan;
use serde::{Deserialize, Serialize};
use state::State;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tandem_networks::Device;
use tandem_volume::prepared::{Normalisation, PreparedSet};
use tandem_volume::{Orientation, remove_partial};

/// The resolved settings of a run folder.
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const RECORD: &str = "run.json";
pub(crate) const LOG: &str = "log.jsonl";
pub(crate) const PREDICTIONS: &str = "predictions";
pub(crate) const UNCERTAINTY: &str = "uncertainty";
pub(crate) const METRICS: &str = "metrics.csv";
pub(crate) const SUMMARY: &str = "summary.json";
pub(crate) const PROVENANCE: &str = "provenance.json";
pub(crate) const REPORT: &str = "report.md";
const FAILURES: &str = "failures";

/// What a run is made from.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The settings.
    pub config: Config,
    /// The prepared folder.
    pub prepared: &'a Path,
    /// The run folder, which must not exist.
    pub folder: &'a Path,
    /// Where the networks run.
    pub device: Device,
}

/// What a run says of itself in `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Version of the program that began it.
    pub version: String,
    /// The commit that this was built from (see [`crate::Program`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// SHA-256 of the `Cargo.lock` that this was built with.
    #[serde(default)]
    pub dependencies: String,
    /// Name of the dataset.
    pub dataset: String,
    /// The prepared folder.
    pub prepared: PathBuf,
    /// SHA-256 of its manifest.
    pub data_digest: String,
    /// SHA-256 of the settings.
    pub config_digest: String,
    /// The seed.
    pub seed: u64,
    /// The kernels that it began with. Where it went on with others, its log says so.
    pub kernels: Kernels,
    /// Threads that it began with; they change no bit.
    pub threads: usize,
    /// The processor that it began on, where the system names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Scans of the training list.
    pub training_scans: usize,
    /// Scans of the whole dataset: those prepared, or the benchmark's 100 where it is `la`, whose 20 test scans need not
    /// be at hand. "8 %" is of these.
    pub all_scans: usize,
    /// Which cases are labelled, unlabelled, and validate.
    pub lists: Lists,
    /// How the raw intensities of each channel were normalised: a new scan needs the same. Empty where the dataset has its
    /// own way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub normalisation: Vec<Normalisation>,
    /// Which way the axes of the prepared scans run, where those were turned to run alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<Orientation>,
}

/// What a run tells while it works.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Scans are copied to the working grid, once for all runs.
    Resampling {
        /// Cases done.
        done: usize,
        /// All cases.
        total: usize,
    },
    /// A checkpoint is not whole; the newest one that is will be used.
    Damaged {
        /// Names the file and what is wrong with it.
        problem: &'a Error,
    },
    /// A step is done.
    Step {
        /// Its index, losses and terms.
        record: &'a StepRecord,
        /// Steps of the run.
        iterations: u64,
    },
    /// A step was left out, because something of it is not finite.
    Skipped {
        /// What.
        breakdown: &'a Breakdown,
        /// Where the batch and the state before the step are kept.
        folder: &'a Path,
    },
    /// A validation case is being segmented.
    Validating {
        /// The case's id.
        case: &'a str,
        /// Windows done.
        done: usize,
        /// All windows of the case.
        total: usize,
    },
    /// The validation cases are scored.
    Validated {
        /// Steps done.
        steps: u64,
        /// The scores.
        scores: &'a Scores,
        /// Why the networks seem to have collapsed.
        collapse: Option<&'a str>,
    },
    /// A checkpoint is written.
    Saved {
        /// Its file.
        path: &'a Path,
        /// Steps done.
        steps: u64,
    },
    /// Few more checkpoints fit on the disk.
    LowDisk {
        /// Bytes that are free.
        free: u64,
    },
}

/// Who is told of a run's [`Event`]s.
pub type Observer<'a> = &'a mut dyn FnMut(Event<'_>);

/// A run that can be trained.
pub struct Run {
    plan: Plan,
    state: State,
    _lock: RunLock,
}

impl Run {
    /// Checks the settings against the data, and only then makes the run folder. Its `config.json` holds the precision that
    /// was decided on, the channels and classes of the data, all options of the method, and the strong view of one that asks for it, so
    /// that a run which goes on elsewhere, or by a later program, keeps them.
    ///
    /// # Errors
    /// Where a setting does not suit the data, a case or the method is wrong, or the folder exists already;
    /// [`Error::Stopped`] where `stop` became true. In each case there is no folder.
    pub fn create(mut setup: Setup<'_>, stop: &AtomicBool, observe: Observer<'_>) -> Result<Self> {
        setup.config.precision = setup.config.precision.decided(&setup.device);
        setup.config.data.complete(PreparedSet::open(setup.prepared)?.manifest());
        let method = crate::trainer::method(&setup.config)?;
        setup.config.method = setup.config.method.resolved()?;
        if method.wants_strong_view() {
            let augmentation = &mut setup.config.augmentation;
            augmentation.strong_view = Some(augmentation.strong_view());
        }
        let folder = setup.folder.to_owned();
        let exists =
            || Error::run_file(&folder, "exists already; choose another run folder, or remove this one");
        if folder.exists() {
            return Err(exists());
        }
        let (plan, trainer) = Plan::new(setup, stop, observe)?;
        let parent = folder.parent().unwrap_or(&folder);
        fs::create_dir_all(parent).map_err(Error::io(parent))?;
        fs::create_dir(&folder).map_err(|error| match error.kind() {
            // Another run was faster.
            ErrorKind::AlreadyExists => exists(),
            _ => Error::io(&folder)(error),
        })?;
        Self::begin(plan, trainer).inspect_err(|_| {
            // What cannot be removed either is reported by the first error.
            let _ = fs::remove_dir_all(&folder);
        })
    }

    /// Fills a folder that was just made.
    fn begin(plan: Plan, trainer: Trainer) -> Result<Self> {
        let lock = RunLock::take(&plan.folder)?;
        for path in [plan.kept.folder(), &plan.folder.join(PREDICTIONS), &plan.folder.join(UNCERTAINTY)] {
            fs::create_dir(path).map_err(Error::io(path))?;
        }
        write_json(&plan.folder.join(CONFIG), &plan.config)?;
        write_json(&plan.folder.join(RECORD), &plan.record)?;
        let state = State::open(&plan, trainer, None)?;
        Ok(Run { plan, state, _lock: lock })
    }

    /// Goes on with the run of a folder from its newest checkpoint that is whole, or from its start where it has none, as if
    /// it had never stopped: the same bits, where the same [`Kernels`] run; where others do, the log says from which step on.
    ///
    /// # Errors
    /// Where the folder is no run or in use, it has checkpoints but none is whole, or the prepared scans or settings have
    /// changed; [`Error::Stopped`] where `stop` became true.
    pub fn resume(
        folder: &Path,
        prepared: &Path,
        device: Device,
        stop: &AtomicBool,
        observe: Observer<'_>,
    ) -> Result<Self> {
        let config: Config = read_json(&folder.join(CONFIG))?;
        let lock = RunLock::take(folder)?;
        let (plan, mut trainer) = Plan::new(Setup { config, prepared, folder, device }, stop, observe)?;
        for path in [folder, plan.kept.folder(), &folder.join(PREDICTIONS)] {
            remove_partial(path)?;
        }
        // Runs of older versions have none.
        let uncertainty = folder.join(UNCERTAINTY);
        if uncertainty.exists() {
            remove_partial(&uncertainty)?;
        }
        let began: RunRecord = read_json(&folder.join(RECORD))?;
        plan.check_origin(&folder.join(RECORD), &began.config_digest, &began.data_digest)?;
        let newest = plan
            .kept
            .newest(&candle_core::Device::Cpu, &mut |problem| observe(Event::Damaged { problem }))?;
        if let Some((path, checkpoint)) = &newest {
            plan.check_origin(path, &checkpoint.header.config, &checkpoint.header.data)?;
            trainer.restore_from(path, checkpoint)?;
        }
        let state = State::open(&plan, trainer, newest.map(|(path, checkpoint)| (path, checkpoint.header)))?;
        Ok(Run { plan, state, _lock: lock })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.plan.config
    }

    /// The data, the lists and the digests; kernels and threads are those of this process.
    pub fn record(&self) -> &RunRecord {
        &self.plan.record
    }

    /// The networks, as they are now.
    pub fn trainer(&self) -> &Trainer {
        &self.state.trainer
    }

    /// Steps done, those that were skipped included.
    pub fn steps(&self) -> u64 {
        self.state.steps
    }

    /// How many of them were skipped.
    pub fn skipped(&self) -> u64 {
        self.state.skipped.len() as u64
    }

    /// What its validations found so far.
    pub fn validations(&self) -> &[ValidationRecord] {
        &self.state.validations
    }

    /// Trains to the last step, then scores the validation cases with the final weights and writes predictions,
    /// `metrics.csv`, `summary.json` and `report.md`. No step's weights are chosen by their score.
    ///
    /// # Errors
    /// [`Error::Interrupted`] where `stop` became true (a checkpoint is written first); else where a file cannot be
    /// read or written or a loss is not finite.
    pub fn train(&mut self, stop: &AtomicBool, observe: Observer<'_>) -> Result<Scores> {
        let (plan, state) = (&self.plan, &mut self.state);
        let steps = state.steps..plan.config.training.iterations;
        if !steps.is_empty() {
            let read = |step| stage(&plan.dataset.patches(step, &plan.sampler.batch(step))?, &plan.device);
            read_ahead(steps, read, |batches| state.train(plan, &batches, stop, observe))?;
            state.save(plan, observe)?;
        }
        let scores = state.validate(plan, Some(&plan.folder), stop, observe)?;
        scores.write_csv(&plan.folder.join(METRICS))?;
        let summary = ScoreSummary {
            weights: Selection::Final,
            steps: state.steps,
            unread: Vec::new(),
            scores: scores.summary(),
        };
        summary.write(&plan.folder.join(SUMMARY))?;
        let report = report::Report {
            config: &plan.config,
            record: &plan.record,
            kernels: &state.log.kernels()?,
            validations: &state.validations,
            skipped: &state.skipped,
            summary: &summary.scores,
        };
        report.write(&plan.folder.join(REPORT))?;
        state.stopwatch.write(state.steps)?;
        Ok(scores)
    }
}
