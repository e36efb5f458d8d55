//! The two-stream batch sampler.

use crate::{Error, Result};
use tandem_random::Draws;

/// Which cases make a batch, as indices into the dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picks {
    /// Labelled cases; they come first in the batch.
    pub labelled: Vec<usize>,
    /// Unlabelled cases.
    pub unlabelled: Vec<usize>,
}

impl Picks {
    /// All of them, in the order of the batch.
    pub fn cases(&self) -> impl Iterator<Item = usize> {
        self.labelled.iter().chain(&self.unlabelled).copied()
    }
}

/// Draws batches of labelled and unlabelled cases, as a pure function of (seed, step).
///
/// An epoch is one pass over the labelled cases in groups; the tail that fills no group is dropped. Each epoch draws a
/// new order of both streams. The unlabelled cases are taken in their order, and drawn anew where an epoch uses up all
/// of them. This is the sampler of the Mean Teacher code (Tarvainen and Valpola, NIPS 2017) that UA-MT and its
/// successors share; only the generator is our own.
#[derive(Clone, Debug)]
pub struct TwoStreamSampler {
    labelled: Vec<usize>,
    unlabelled: Vec<usize>,
    batch_labelled: usize,
    batch_unlabelled: usize,
    seed: u64,
}

impl TwoStreamSampler {
    /// A sampler of `batch[0]` labelled and `batch[1]` unlabelled cases.
    ///
    /// # Errors
    /// Where a pool is smaller than its share of the batch.
    pub fn new(labelled: Vec<usize>, unlabelled: Vec<usize>, batch: [usize; 2], seed: u64) -> Result<Self> {
        let [batch_labelled, batch_unlabelled] = batch;
        if batch_labelled == 0 || labelled.len() < batch_labelled {
            return Err(Error::config(
                "training.batch_labelled",
                format!(
                    "is {batch_labelled}, but {} scans are labelled; it must be 1 to that many",
                    labelled.len()
                ),
            ));
        }
        if unlabelled.len() < batch_unlabelled {
            return Err(Error::config(
                "training.batch_unlabelled",
                format!(
                    "is {batch_unlabelled}, but the unlabelled pool has {} scans; label fewer (data.labelled), \
                     validate on fewer (data.validation), or use method supervised-ensemble, which reads none",
                    unlabelled.len()
                ),
            ));
        }
        Ok(TwoStreamSampler { labelled, unlabelled, batch_labelled, batch_unlabelled, seed })
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.labelled.len() / self.batch_labelled) as u64
    }

    /// The batch of a step.
    pub fn batch(&self, step: u64) -> Picks {
        let (epoch, position) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let order = Draws::new(self.seed, "labelled order", epoch, 0).permutation(self.labelled.len());
        let first = position as usize * self.batch_labelled;
        let labelled =
            order[first..first + self.batch_labelled].iter().map(|&at| self.labelled[at]).collect();
        let first = position as usize * self.batch_unlabelled;
        let unlabelled =
            (first..first + self.batch_unlabelled).map(|at| self.unlabelled_at(epoch, at)).collect();
        Picks { labelled, unlabelled }
    }

    /// The unlabelled case at a place of the epoch's endless order.
    fn unlabelled_at(&self, epoch: u64, at: usize) -> usize {
        let (pass, place) = (at / self.unlabelled.len(), at % self.unlabelled.len());
        let order =
            Draws::new(self.seed, "unlabelled order", epoch, pass as u64).permutation(self.unlabelled.len());
        self.unlabelled[order[place]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(labelled: usize, unlabelled: usize, seed: u64) -> TwoStreamSampler {
        TwoStreamSampler::new((0..labelled).collect(), (100..100 + unlabelled).collect(), [2, 2], seed)
            .unwrap()
    }

    #[test]
    fn an_epoch_is_one_pass_over_the_labelled_and_sees_as_many_distinct_unlabelled_scans() {
        // 16 labelled scans in pairs: 8 steps, which see 16 distinct unlabelled scans.
        let sampler = sampler(16, 48, 1);
        assert_eq!(sampler.steps_per_epoch(), 8);
        for epoch in 0..3 {
            let batches: Vec<Picks> = (0..8).map(|at| sampler.batch(8 * epoch + at)).collect();
            let mut labelled: Vec<usize> = batches.iter().flat_map(|b| b.labelled.clone()).collect();
            let mut unlabelled: Vec<usize> = batches.iter().flat_map(|b| b.unlabelled.clone()).collect();
            labelled.sort_unstable();
            assert_eq!(labelled, (0..16).collect::<Vec<_>>());
            unlabelled.sort_unstable();
            unlabelled.dedup();
            assert_eq!(unlabelled.len(), 16);
            assert!(unlabelled.iter().all(|case| (100..148).contains(case)));
        }
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone_and_orders_change_with_the_epoch() {
        let first = sampler(8, 20, 1);
        let again = sampler(8, 20, 1);
        // Asked in another order: the same answers.
        let forwards: Vec<Picks> = (0..40).map(|step| first.batch(step)).collect();
        let mut backwards: Vec<Picks> = (0..40).rev().map(|step| again.batch(step)).collect();
        backwards.reverse();
        assert_eq!(forwards, backwards);
        assert_ne!(forwards[..4], forwards[4..8]);
        assert_ne!(forwards, (0..40).map(|step| sampler(8, 20, 2).batch(step)).collect::<Vec<_>>());
    }

    #[test]
    fn the_tail_of_an_epoch_is_dropped_and_a_small_unlabelled_pool_is_gone_through_again() {
        let sampler = sampler(9, 3, 4);
        assert_eq!(sampler.steps_per_epoch(), 4);
        let seen: Vec<usize> = (0..3).flat_map(|step| sampler.batch(step).unlabelled).collect();
        for pass in seen.chunks(3) {
            let mut pass = pass.to_vec();
            pass.sort_unstable();
            assert_eq!(pass, [100, 101, 102]);
        }
    }

    #[test]
    fn a_pool_smaller_than_its_share_is_refused_by_name() {
        let small = |labelled: usize, unlabelled: usize| {
            let result = TwoStreamSampler::new(vec![0; labelled], vec![0; unlabelled], [2, 2], 0);
            result.unwrap_err().to_string()
        };
        assert!(small(1, 5).starts_with("training.batch_labelled is 2, but 1 scans"));
        assert!(small(5, 1).starts_with("training.batch_unlabelled is 2, but the unlabelled pool has 1"));
        assert!(TwoStreamSampler::new(vec![0, 1], vec![], [2, 0], 0).is_ok());
    }
}
