//! A run under way: steps, validations and checkpoints.

use super::plan::Plan;
use super::{Event, FAILURES, LOG, Observer, PROVENANCE};
use crate::batch::Staged;
use crate::checkpoint::CHECKPOINT_VERSION;
use crate::provenance::Stopwatch;
use crate::reader::Batches;
use crate::{
    Breakdown, Error, Evaluation, Header, KernelsRecord, NonFinite, Predictor, Result, RunLog, Scores,
    SkippedRecord, Trainer, ValidationRecord, course, ensemble_dice, evaluate, failure, host, subjects,
};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_objectives::Batch;

/// Checkpoints that should still fit on the disk.
const CHECKPOINTS_TO_COME: u64 = 3;

/// What a checkpoint keeps.
pub(super) struct State {
    pub(super) trainer: Trainer,
    pub(super) log: RunLog,
    pub(super) stopwatch: Stopwatch,
    /// Steps done, those skipped included.
    pub(super) steps: u64,
    /// The checkpoint of just this state.
    pub(super) saved: Option<PathBuf>,
    /// Those that were skipped.
    pub(super) skipped: Vec<SkippedRecord>,
    /// What validations found so far.
    pub(super) validations: Vec<ValidationRecord>,
}

impl State {
    /// As the checkpoint left it, or before the first step.
    pub(super) fn open(plan: &Plan, trainer: Trainer, checkpoint: Option<(PathBuf, Header)>) -> Result<Self> {
        let (saved, header) = checkpoint.unzip();
        let (steps, log_bytes) = header.map_or((0, 0), |header| (header.steps, header.log_bytes));
        let mut log = RunLog::open(&plan.folder.join(LOG), log_bytes)?;
        log.write_kernels(&KernelsRecord { steps, kernels: plan.record.kernels.clone() })?;
        let stopwatch = Stopwatch::start(&plan.folder.join(PROVENANCE), steps)?;
        let (skipped, validations) = (log.skipped()?, log.validations()?);
        Ok(State { trainer, log, stopwatch, steps, saved, skipped, validations })
    }

    pub(super) fn train(
        &mut self,
        plan: &Plan,
        batches: &Batches<Staged>,
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
            let Staged { batch, .. } = &batches.next()?;
            match self.trainer.step(self.steps, batch) {
                Err(Error::NotFinite(breakdown)) => self.skip(plan, breakdown, batch, observe)?,
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
        let patches = plan.dataset.augmentations(self.steps, &plan.sampler.batch(self.steps));
        let header = self.header(plan)?;
        let before = self.trainer.checkpoint(header)?;
        let folder = failure::keep(&plan.folder.join(FAILURES), &breakdown, &patches, batch, &before)?;
        let training = &plan.config.training;
        let skipped = self.skipped.len() as u64;
        if training.non_finite == NonFinite::Stop || skipped >= training.max_skipped {
            let cases = patches.into_iter().map(|patch| patch.case).collect();
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
        let before = course::best(&self.validations);
        ensemble_dice(&record.validation).is_some_and(|dice| before.is_none_or(|(best, _)| dice > best))
    }

    /// Scores the networks as they are, after a checkpoint of them. A run that goes on from it validates again: so the log of
    /// one that is stopped during a validation has the bytes of an unbroken one.
    pub(super) fn validate(
        &mut self,
        plan: &Plan,
        folder: Option<&Path>,
        stop: &AtomicBool,
        observe: Observer<'_>,
    ) -> Result<Scores> {
        let checkpoint = self.save(plan, observe)?;
        let predictor = Predictor::new(&self.trainer, &plan.config)?;
        let cases = subjects(&plan.own, &plan.record.lists.validation);
        let mut progress = |case: &str, done: usize, total: usize| {
            observe(Event::Validating { case, done, total });
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let found = match evaluate(&predictor, cases, folder, &mut progress) {
            Err(Error::Stopped) => return Err(self.interrupted(plan, observe)),
            found => found?,
        };
        let Evaluation { scores, calibration } = found;
        let collapse = course::collapse(&scores, &self.validations);
        let record = ValidationRecord {
            steps: self.steps,
            collapse,
            validation: scores.summary(),
            calibration: Some(calibration),
        };
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
    pub(super) fn save(&mut self, plan: &Plan, observe: Observer<'_>) -> Result<PathBuf> {
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
