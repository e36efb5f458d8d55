//! Where a run is: what its events have told so far.

use super::pace::Pace;
use crate::progress::CaseCount;
use std::time::Instant;
use tandem_objectives::Term;
use tandem_training::{Event, Run, TrainingConfig, ensemble_dice};

/// What is known of a run.
pub(super) struct Status {
    pub(super) iterations: u64,
    validate_every: u64,
    /// Steps done, those skipped included.
    pub(super) done: u64,
    pub(super) skipped: u64,
    pub(super) learning_rate: Option<f64>,
    /// Of the last step, by network; and of every step the mean over networks.
    pub(super) losses: Vec<(String, f64)>,
    pub(super) loss_course: Vec<f64>,
    /// Of the last step; none where a term is undefined.
    pub(super) terms: Vec<(String, Option<f64>)>,
    /// Steps, and the ensemble's mean Dice.
    pub(super) validations: Vec<(u64, Option<f64>)>,
    pub(super) doing: Doing,
    cases: usize,
    counted: CaseCount,
    pub(super) pace: Pace,
}

/// What a run does beside its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Scans are resampled before the first step: so many of so many.
    Resampling([u64; 2]),
    Training,
    Validating {
        case: String,
        /// Cases before it, and all of them.
        cases: [u64; 2],
        /// Windows done, and all of the case.
        windows: [usize; 2],
    },
}

impl Status {
    /// Of a run that is being opened.
    pub(super) fn new(now: Instant) -> Self {
        Status {
            iterations: 0,
            validate_every: 0,
            done: 0,
            skipped: 0,
            learning_rate: None,
            losses: Vec::new(),
            loss_course: Vec::new(),
            terms: Vec::new(),
            validations: Vec::new(),
            doing: Doing::Training,
            cases: 0,
            counted: CaseCount::default(),
            pace: Pace::new(now),
        }
    }

    /// The run is open, and has so many cases to validate on.
    pub(super) fn begin(&mut self, training: &TrainingConfig, run: &Run, cases: usize) {
        (self.iterations, self.validate_every) = (training.iterations, training.validate_every);
        (self.done, self.skipped, self.cases) = (run.steps(), run.skipped(), cases);
        let validations = run.validations().iter();
        self.validations =
            validations.map(|record| (record.steps, ensemble_dice(&record.validation))).collect();
        self.doing = Doing::Training;
        self.pace = Pace::new(Instant::now());
    }

    /// Takes in what happened.
    pub(super) fn take(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Resampling { done, total } => {
                self.doing = Doing::Resampling([*done as u64, *total as u64])
            }
            Event::Step { record, .. } => {
                self.stepped(record.step + 1, now);
                self.learning_rate = Some(record.learning_rate);
                let losses = record.losses.iter().map(|(name, loss)| (name.clone(), f64::from(*loss)));
                self.losses = losses.collect();
                let sum: f64 = self.losses.iter().map(|(_, loss)| loss).sum();
                self.loss_course.push(sum / self.losses.len().max(1) as f64);
                let value = |term: &Term| match term {
                    Term::Value(value) => Some(*value),
                    Term::Undefined(_) => None,
                };
                self.terms = record.terms.iter().map(|(name, term)| (name.clone(), value(term))).collect();
            }
            Event::Skipped { breakdown, .. } => {
                self.stepped(breakdown.record.step + 1, now);
                self.skipped += 1;
            }
            Event::Validating { case, done, total } => {
                if !matches!(self.doing, Doing::Validating { .. }) {
                    self.pace.validates(now);
                    self.counted = CaseCount::default();
                }
                let cases = [self.counted.before(case), self.cases as u64];
                self.doing = Doing::Validating { case: (*case).to_owned(), cases, windows: [*done, *total] };
            }
            Event::Validated { steps, scores, .. } => {
                self.pace.validated(now);
                self.validations.push((*steps, ensemble_dice(&scores.summary())));
                self.doing = Doing::Training;
            }
            _ => {}
        }
    }

    fn stepped(&mut self, done: u64, now: Instant) {
        self.done = done;
        self.doing = Doing::Training;
        self.pace.stepped(now);
    }

    /// Seconds that the run will take from now on, as far as that is known.
    pub(super) fn left(&self, now: Instant) -> Option<f64> {
        self.pace.left(self.iterations.saturating_sub(self.done), self.validations_left(), now)
    }

    /// Validations to come: those on the way that have not ended, and the one at the end.
    fn validations_left(&self) -> u64 {
        // How many lie before so many steps are done.
        let before = |steps: u64| match (self.validate_every, steps) {
            (0, _) | (_, 0) => 0,
            (every, steps) => (steps - 1) / every,
        };
        let ended = self.validations.last().is_some_and(|(steps, _)| *steps == self.done);
        let on_the_way = before(self.iterations).saturating_sub(before(self.done));
        on_the_way.saturating_sub(ended.into()) + 1
    }

    /// The newest Dice, and the best one, each with its steps.
    pub(super) fn dice(&self) -> Option<[(u64, f64); 2]> {
        let mut defined = self.validations.iter().filter_map(|(steps, dice)| Some((*steps, (*dice)?)));
        let first = defined.next()?;
        let best = |best: (u64, f64), next: (u64, f64)| if next.1 > best.1 { next } else { best };
        let (newest, best) = defined.fold((first, first), |(_, known), next| (next, best(known, next)));
        Some([newest, best])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validations_to_come_are_those_on_the_way_and_the_one_at_the_end() {
        let mut status = Status::new(Instant::now());
        let mut left = |every: u64, done: u64, ended: bool| {
            (status.iterations, status.validate_every, status.done) = (10, every, done);
            status.validations = if ended { vec![(done, None)] } else { vec![] };
            status.validations_left()
        };
        assert_eq!(left(0, 0, false), 1);
        assert_eq!(left(4, 0, false), 3);
        assert_eq!((left(4, 4, false), left(4, 4, true), left(4, 5, false)), (3, 2, 2));
        assert_eq!((left(4, 9, false), left(4, 10, false)), (1, 1));
        assert_eq!((left(5, 5, false), left(5, 5, true)), (2, 1));
    }

    #[test]
    fn the_newest_and_the_best_dice_are_told_apart() {
        let mut status = Status::new(Instant::now());
        assert_eq!(status.dice(), None);
        status.validations = vec![(2, Some(0.5)), (4, Some(0.75)), (6, None), (8, Some(0.625))];
        assert_eq!(status.dice(), Some([(8, 0.625), (4, 0.75)]));
    }
}
