//! A run: from settings and prepared scans to a folder with networks, predictions and scores.
//!
//! ```text
//! RUN/config.json              the resolved settings
//! RUN/run.json                 data, digests, seed, version, commit, kernels, threads, lists of cases
//! RUN/log.jsonl                which kernels ran, every term of the loss and gradient norm by step, and every validation
//! RUN/checkpoints/             step-NNNNNNNN.safetensors, the last two; best.safetensors; final.safetensors
//! RUN/predictions/ID.nii.gz    the ensemble's label maps of the validation cases, on their own grids
//! RUN/metrics.csv              per case, network, grid
//! RUN/summary.json             mean, SD, n, undefined, and whose weights
//! RUN/provenance.json          program, machine, wall time and peak memory of each piece of the run, and their sum
//! RUN/report.md                the same for people
//! RUN/failures/step-NNNNNNNN/  batch, state and term of a step that was not finite, where there was one
//! RUN/.lock                    locked by the process that writes to the folder, and its number
//! ```

use crate::checkpoint::CHECKPOINT_VERSION;
use crate::files::{read_json, remove_partial, write_json};
use crate::lock::RunLock;
use crate::provenance::Stopwatch;
use crate::reader::{Batches, read_ahead};
use crate::working_grid::on_working_grid;
use crate::{
    Breakdown, Checkpoints, Config, Dataset, Error, Header, Kernels, KernelsRecord, Lists, NonFinite,
    Predictor, Program, Result, RunLog, ScoreSummary, Scores, Selection, SkippedRecord, StepRecord, Trainer,
    TwoStreamSampler, ValidationRecord, batch, course, ensemble_dice, evaluate, failure, host, report,
    subjects,
};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_objectives::Batch;
use tandem_volume::prepared::{Normalisation, PreparedSet, Split};

/// The resolved settings of a run folder.
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const RECORD: &str = "run.json";
pub(crate) const LOG: &str = "log.jsonl";
pub(crate) const PREDICTIONS: &str = "predictions";
pub(crate) const METRICS: &str = "metrics.csv";
pub(crate) const SUMMARY: &str = "summary.json";
pub(crate) const PROVENANCE: &str = "provenance.json";
pub(crate) const REPORT: &str = "report.md";
const FAILURES: &str = "failures";
/// Checkpoints that should still fit on the disk.
const CHECKPOINTS_TO_COME: u64 = 3;

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
    /// The commit that this was built from (see [`Program`]).
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

/// What does not change during a run.
struct Plan {
    config: Config,
    record: RunRecord,
    folder: PathBuf,
    kept: Checkpoints,
    device: Device,
    /// The scans on their own grids.
    own: PreparedSet,
    dataset: Dataset,
    sampler: TwoStreamSampler,
}

/// What a checkpoint keeps.
struct State {
    trainer: Trainer,
    log: RunLog,
    stopwatch: Stopwatch,
    /// Steps done, those skipped included.
    steps: u64,
    /// The checkpoint of just this state.
    saved: Option<PathBuf>,
    /// Those that were skipped.
    skipped: Vec<SkippedRecord>,
    /// What validations found so far.
    validations: Vec<ValidationRecord>,
}

impl Run {
    /// Checks the settings against the data, and only then makes the run folder. Its `config.json` holds the precision that
    /// was decided on, and the channels and classes of the data, so that a run which goes on elsewhere keeps them.
    ///
    /// # Errors
    /// Where a setting does not suit the data, a case or the method is wrong, or the folder exists already;
    /// [`Error::Stopped`] where `stop` became true. In each case there is no folder.
    pub fn create(mut setup: Setup<'_>, stop: &AtomicBool, observe: Observer<'_>) -> Result<Self> {
        setup.config.precision = setup.config.precision.decided();
        setup.config.data.complete(PreparedSet::open(setup.prepared)?.manifest());
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
        for path in [plan.kept.folder(), &plan.folder.join(PREDICTIONS)] {
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
        let began: RunRecord = read_json(&folder.join(RECORD))?;
        plan.check_origin(&folder.join(RECORD), &began.config_digest, &began.data_digest)?;
        let newest = plan.kept.newest(&plan.device, &mut |problem| observe(Event::Damaged { problem }))?;
        if let Some((path, checkpoint)) = &newest {
            plan.check_origin(path, &checkpoint.header.config, &checkpoint.header.data)?;
            trainer.restore(checkpoint)?;
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
            let read = |step| plan.dataset.patches(step, &plan.sampler.batch(step));
            read_ahead(steps, read, |batches| state.train(plan, &batches, stop, observe))?;
            state.save(plan, observe)?;
        }
        let scores = state.validate(plan, Some(&plan.folder.join(PREDICTIONS)), stop, observe)?;
        scores.write_csv(&plan.folder.join(METRICS))?;
        let summary =
            ScoreSummary { weights: Selection::Final, steps: state.steps, scores: scores.summary() };
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

impl Plan {
    fn new(setup: Setup<'_>, stop: &AtomicBool, observe: Observer<'_>) -> Result<(Self, Trainer)> {
        let Setup { config, prepared, folder, device } = setup;
        config.check()?;
        let own = PreparedSet::open(prepared)?;
        config.data.check_channels(own.manifest())?;
        let lists = Lists::of(own.manifest(), &config.data)?;
        let trainer = Trainer::new(&config, &device)?;
        let training = &config.training;
        let reads_unlabelled = trainer.method().uses_unlabelled();
        let mut read = lists.clone();
        if !reads_unlabelled {
            read.unlabelled.clear();
        }
        let per_batch =
            [training.batch_labelled, if reads_unlabelled { training.batch_unlabelled } else { 0 }];
        let indices = |count: usize, from: usize| (from..from + count).collect();
        let labelled = indices(read.labelled.len(), 0);
        let unlabelled = indices(read.unlabelled.len(), read.labelled.len());
        let sampler = TwoStreamSampler::new(labelled, unlabelled, per_batch, training.seed)?;
        // The long part comes after all that can be wrong with the settings.
        let working = match config.data.spacing_mm {
            None => own.clone(),
            Some(spacing) => {
                let mut progress = |done, total| {
                    observe(Event::Resampling { done, total });
                    if stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
                };
                on_working_grid(prepared, spacing, config.data.class_count(), &mut progress)?
            }
        };
        let dataset = Dataset::open(&working, &read, training.patch, training.seed)?;
        let Program { version, commit, dependencies } = Program::this();
        let record = RunRecord {
            version,
            commit,
            dependencies,
            dataset: own.manifest().dataset.clone(),
            prepared: prepared.to_owned(),
            data_digest: own.digest().to_owned(),
            config_digest: config.digest()?,
            seed: training.seed,
            kernels: Kernels::of(config.precision),
            threads: rayon::current_num_threads(),
            processor: host::processor(),
            training_scans: own.manifest().cases.iter().filter(|case| case.split == Split::Train).count(),
            all_scans: if own.manifest().dataset == "la" { 100 } else { own.manifest().cases.len() },
            lists,
            normalisation: own.manifest().normalisation.clone(),
        };
        let (folder, kept) = (folder.to_owned(), Checkpoints::of(folder));
        Ok((Plan { config, record, folder, kept, device, own, dataset, sampler }, trainer))
    }

    /// # Errors
    /// Where a file of the run folder was made with other settings or from other scans.
    fn check_origin(&self, file: &Path, config: &str, data: &str) -> Result<()> {
        if data != self.record.data_digest {
            let prepared = self.record.prepared.display();
            let problem = format!(
                "was made from other scans than {prepared} holds now; prepare the same scans again, or start the run anew"
            );
            return Err(Error::run_file(file, problem));
        }
        if config != self.record.config_digest {
            let problem = "was made with other settings than config.json holds now; restore config.json, or start the run \
                           anew";
            return Err(Error::run_file(file, problem));
        }
        Ok(())
    }
}

impl State {
    /// As the checkpoint left it, or before the first step.
    fn open(plan: &Plan, trainer: Trainer, checkpoint: Option<(PathBuf, Header)>) -> Result<Self> {
        let (saved, header) = checkpoint.unzip();
        let (steps, log_bytes) = header.map_or((0, 0), |header| (header.steps, header.log_bytes));
        let mut log = RunLog::open(&plan.folder.join(LOG), log_bytes)?;
        log.write_kernels(&KernelsRecord { steps, kernels: plan.record.kernels.clone() })?;
        let stopwatch = Stopwatch::start(&plan.folder.join(PROVENANCE), steps)?;
        let (skipped, validations) = (log.skipped()?, log.validations()?);
        Ok(State { trainer, log, stopwatch, steps, saved, skipped, validations })
    }

    fn train(
        &mut self,
        plan: &Plan,
        batches: &Batches,
        stop: &AtomicBool,
        observe: Observer<'_>,
    ) -> Result<()> {
        let training = &plan.config.training;
        // The end has its own validation and checkpoint.
        let due = |every: u64, steps: u64| {
            every > 0 && steps > 0 && steps.is_multiple_of(every) && steps < training.iterations
        };
        while self.steps < training.iterations {
            if stop.load(Ordering::Relaxed) {
                return Err(self.interrupted(plan, observe));
            }
            if due(training.validate_every, self.steps) {
                self.validate(plan, None, stop, observe)?;
            }
            let batch = batch::stack(&batches.next()?, &plan.device)?;
            match self.trainer.step(self.steps, &batch) {
                Err(Error::NotFinite(breakdown)) => self.skip(plan, breakdown, &batch, observe)?,
                taken => {
                    let record = taken?;
                    self.log.write(&record)?;
                    observe(Event::Step { record: &record, iterations: training.iterations });
                }
            }
            self.steps += 1;
            self.saved = None;
            if due(training.checkpoint_every, self.steps) {
                self.save(plan, observe)?;
            }
        }
        Ok(())
    }

    /// Keeps what broke, and leaves the step out where the settings allow one more.
    fn skip(
        &mut self,
        plan: &Plan,
        breakdown: Box<Breakdown>,
        batch: &Batch,
        observe: Observer<'_>,
    ) -> Result<()> {
        let cases = plan.dataset.ids(&plan.sampler.batch(self.steps));
        let header = self.header(plan)?;
        let before = self.trainer.checkpoint(header)?;
        let folder = failure::keep(&plan.folder.join(FAILURES), &breakdown, &cases, batch, &before)?;
        let training = &plan.config.training;
        let skipped = self.skipped.len() as u64;
        if training.non_finite == NonFinite::Stop || skipped >= training.max_skipped {
            return Err(Error::Broken { breakdown, folder, cases, skipped });
        }
        let record = SkippedRecord { step: self.steps, skipped: breakdown.to_string() };
        self.log.write(&record)?;
        self.skipped.push(record);
        observe(Event::Skipped { breakdown: &breakdown, folder: &folder });
        Ok(())
    }

    /// Whether a validation scores higher than every one before it.
    fn is_best(&self, record: &ValidationRecord) -> bool {
        let before = self.validations.iter().filter_map(|record| ensemble_dice(&record.validation));
        ensemble_dice(&record.validation)
            .is_some_and(|dice| before.reduce(f64::max).is_none_or(|best| dice > best))
    }

    /// Scores the networks as they are, after a checkpoint of them. A run that goes on from it validates again: so the log of
    /// one that is stopped during a validation has the bytes of an unbroken one.
    fn validate(
        &mut self,
        plan: &Plan,
        predictions: Option<&Path>,
        stop: &AtomicBool,
        observe: Observer<'_>,
    ) -> Result<Scores> {
        let checkpoint = self.save(plan, observe)?;
        let predictor = Predictor::new(&self.trainer, &plan.config, &plan.device)?;
        let cases = subjects(&plan.own, &plan.record.lists.validation);
        let mut progress = |case: &str, done: usize, total: usize| {
            observe(Event::Validating { case, done, total });
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let scores = match evaluate(&predictor, cases, predictions, &mut progress) {
            Err(Error::Stopped) => return Err(self.interrupted(plan, observe)),
            scores => scores?,
        };
        let collapse = course::collapse(&scores, &self.validations);
        let record = ValidationRecord { steps: self.steps, collapse, validation: scores.summary() };
        self.log.write(&record)?;
        // Where all validation is at the end, there is nothing to be best of.
        if plan.config.training.validate_every > 0 && self.is_best(&record) {
            plan.kept.keep_best(&checkpoint)?;
        }
        let collapse = record.collapse.as_deref();
        observe(Event::Validated { steps: self.steps, scores: &scores, collapse });
        self.validations.push(record);
        Ok(scores)
    }

    /// Writes a checkpoint, unless there is one of this state, and gives its path.
    fn save(&mut self, plan: &Plan, observe: Observer<'_>) -> Result<PathBuf> {
        if let Some(path) = &self.saved {
            return Ok(path.clone());
        }
        let ended = self.steps == plan.config.training.iterations;
        let path = if ended { plan.kept.last() } else { plan.kept.after(self.steps) };
        let header = self.header(plan)?;
        self.trainer.checkpoint(header)?.save(&path)?;
        plan.kept.keep_last(self.steps)?;
        self.saved = Some(path.clone());
        self.stopwatch.write(self.steps)?;
        observe(Event::Saved { path: &path, steps: self.steps });
        let needed = CHECKPOINTS_TO_COME * fs::metadata(&path).map_err(Error::io(&path))?.len();
        if let Some(free) = host::free_disk(plan.kept.folder()).filter(|free| *free < needed) {
            observe(Event::LowDisk { free });
        }
        Ok(path)
    }

    /// What a checkpoint says of the run as it is now.
    fn header(&mut self, plan: &Plan) -> Result<Header> {
        Ok(Header {
            format: CHECKPOINT_VERSION,
            steps: self.steps,
            seed: plan.record.seed,
            config: plan.record.config_digest.clone(),
            data: plan.record.data_digest.clone(),
            log_bytes: self.log.synced_bytes()?,
        })
    }

    /// The error of a run that was asked to stop, after its checkpoint; or why there is none.
    fn interrupted(&mut self, plan: &Plan, observe: Observer<'_>) -> Error {
        match self.save(plan, observe) {
            Ok(checkpoint) => Error::Interrupted { steps: self.steps, checkpoint },
            Err(error) => error,
        }
    }
}
