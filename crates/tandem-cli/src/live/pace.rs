//! How long steps and validations take, and so how long the rest of a run will.

use std::time::{Duration, Instant};

/// So many of the last steps make up the rate.
const STEPS: f64 = 20.0;

/// The pace of a run.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// The end of what was measured last.
    since: Instant,
    /// Seconds of a step, and of how many steps so far that is the mean.
    step: f64,
    steps: f64,
    /// Seconds of the last validation.
    validation: Option<f64>,
}

impl Pace {
    /// Before the first step.
    pub(super) fn new(now: Instant) -> Self {
        Pace { since: now, step: 0.0, steps: 0.0, validation: None }
    }

    /// A step has ended.
    pub(super) fn stepped(&mut self, now: Instant) {
        let took = self.lap(now);
        self.steps = (self.steps + 1.0).min(STEPS);
        self.step += (took - self.step) / self.steps;
    }

    /// A validation begins; what came before it belongs to no step.
    pub(super) fn validates(&mut self, now: Instant) {
        self.lap(now);
    }

    /// A validation has ended.
    pub(super) fn validated(&mut self, now: Instant) {
        self.validation = Some(self.lap(now));
    }

    /// Steps in a second; none before the first one.
    pub(super) fn rate(&self) -> Option<f64> {
        (self.step > 0.0).then(|| self.step.recip())
    }

    /// Seconds that so many steps and validations will take; validations are left out as long as none was seen.
    pub(super) fn left(&self, steps: u64, validations: u64, now: Instant) -> Option<f64> {
        let validations = validations as f64 * self.validation.unwrap_or(0.0);
        let all = steps as f64 / self.rate()? + validations;
        Some((all - now.saturating_duration_since(self.since).as_secs_f64()).max(0.0))
    }

    fn lap(&mut self, now: Instant) -> f64 {
        let took: Duration = now.saturating_duration_since(self.since);
        self.since = now;
        took.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_steps_and_validations_at_their_pace_and_passes_while_one_takes_long() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut pace = Pace::new(start);
        assert_eq!((pace.rate(), pace.left(4, 1, start)), (None, None));
        pace.stepped(at(2.0));
        pace.stepped(at(4.0));
        assert_eq!((pace.rate(), pace.left(4, 1, at(4.0))), (Some(0.5), Some(8.0)));
        assert_eq!(pace.left(4, 1, at(7.0)), Some(5.0));
        pace.validates(at(4.5));
        pace.validated(at(14.5));
        // The validation changes no rate.
        pace.stepped(at(16.5));
        assert_eq!((pace.rate(), pace.left(3, 2, at(16.5))), (Some(0.5), Some(26.0)));
        assert_eq!(pace.left(1, 0, at(60.0)), Some(0.0));
    }

    #[test]
    fn a_run_that_becomes_slower_is_believed_soon() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut seconds = 0.0;
        for step in 0..200 {
            seconds += if step < 100 { 1.0 } else { 4.0 };
            pace.stepped(start + Duration::from_secs_f64(seconds));
        }
        assert!((pace.rate().unwrap() - 0.25).abs() < 0.01, "{pace:?}");
    }
}
