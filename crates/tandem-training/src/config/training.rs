//! The optimisation.

use super::{is_default, require};
use crate::{NonFinite, Result};
use serde::{Deserialize, Serialize};
use tandem_networks::SIZE_DIVISOR;
use tandem_objectives::Method;

/// The optimisation. Defaults are the paper's where it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Steps of the run. Every schedule is a function of step / iterations, except the decay of averages.
    ///
    /// Unit: steps. Range: at least 1.
    pub iterations: u64,
    /// Labelled patches of a batch.
    ///
    /// Unit: patches. Range: at least 1.
    #[serde(default = "two")]
    pub batch_labelled: usize,
    /// Unlabelled patches of a batch.
    ///
    /// Unit: patches. Range: at least 0.
    #[serde(default = "two")]
    pub batch_unlabelled: usize,
    /// Sides of a patch on the working grid, along i, j, k.
    ///
    /// Unit: voxels. Range: at least 16, multiples of 16.
    pub patch: [usize; 3],
    /// Learning rate of the first step.
    ///
    /// Range: above 0.
    #[serde(default = "default_learning_rate")]
    pub learning_rate: f64,
    /// Momentum of the gradient.
    ///
    /// Range: 0 to below 1.
    #[serde(default = "default_momentum")]
    pub momentum: f64,
    /// Whether the momentum is Nesterov's.
    #[serde(default)]
    pub nesterov: bool,
    /// L2 penalty, added to the gradient of every weight.
    ///
    /// Range: at least 0.
    #[serde(default = "default_weight_decay")]
    pub weight_decay: f64,
    /// Shares of the run at which the learning rate falls to a tenth. The default is the paper's 2500 and 5000 of
    /// 6000 steps: step 2500 (counted from 0) is the first at the lower rate. The released code lowers the rate one
    /// step later, because it compares before it counts; for that reading give 2501/6000 and 5001/6000.
    ///
    /// Range: 0 to 1, rising.
    #[serde(default = "default_learning_rate_steps")]
    pub learning_rate_steps: Vec<f64>,
    /// The most that the gradient of a network may measure (its Euclidean norm): a longer one is scaled down to it. None is
    /// scaled where this is not set, as in the paper.
    ///
    /// Range: above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// What is done about a loss or gradient that is not finite.
    #[serde(default, skip_serializing_if = "is_default")]
    pub non_finite: NonFinite,
    /// Steps that may be skipped, because they are not finite, before the run stops.
    ///
    /// Unit: steps. Range: at least 0.
    #[serde(default = "default_max_skipped", skip_serializing_if = "is_default_max_skipped")]
    pub max_skipped: u64,
    /// Steps between two validations; 0 validates at the end only.
    ///
    /// Unit: steps. Range: at least 0.
    #[serde(default)]
    pub validate_every: u64,
    /// Steps between two checkpoints; 0 writes one at the end (and where the run is interrupted) only.
    ///
    /// Unit: steps. Range: at least 0.
    #[serde(default)]
    pub checkpoint_every: u64,
    /// What every random number of the run is keyed by.
    ///
    /// Range: at least 0.
    #[serde(default = "default_seed")]
    pub seed: u64,
}

impl TrainingConfig {
    /// Labelled and unlabelled patches of a batch: none of these where the method has no use for them.
    pub(crate) fn batch(&self, method: &dyn Method) -> [usize; 2] {
        [self.batch_labelled, if method.uses_unlabelled() { self.batch_unlabelled } else { 0 }]
    }

    /// # Errors
    /// Names the first field that is out of range, and says what would do.
    pub(super) fn check(&self) -> Result<()> {
        require(self.iterations > 0, "training.iterations", "must be at least 1")?;
        require(self.batch_labelled > 0, "training.batch_labelled", "must be at least 1")?;
        let patch = self.patch.iter().all(|side| *side > 0 && side % SIZE_DIVISOR == 0);
        require(patch, "training.patch", "needs three positive multiples of 16, such as [64, 64, 32]")?;
        let rate = self.learning_rate;
        require(
            rate.is_finite() && rate > 0.0,
            "training.learning_rate",
            "must be a positive number, such as 0.01",
        )?;
        let momentum = self.momentum;
        require(
            (0.0..1.0).contains(&momentum),
            "training.momentum",
            "must be at least 0 and below 1, such as 0.9",
        )?;
        let nesterov = !self.nesterov || momentum > 0.0;
        require(nesterov, "training.nesterov", "needs a positive training.momentum")?;
        let decay = self.weight_decay;
        require(
            decay.is_finite() && decay >= 0.0,
            "training.weight_decay",
            "must be 0 or a positive number",
        )?;
        let clip = self.clip_norm.is_none_or(|most| most.is_finite() && most > 0.0);
        require(
            clip,
            "training.clip_norm",
            "must be a positive number, such as 10; leave it out to clip nothing",
        )?;
        let shares = &self.learning_rate_steps;
        let rising = shares.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = shares.iter().all(|share| (0.0..=1.0).contains(share));
        require(
            rising && inside,
            "training.learning_rate_steps",
            "needs rising shares of the run between 0 and 1",
        )
    }
}

fn two() -> usize {
    2
}

fn default_learning_rate() -> f64 {
    0.01
}

fn default_momentum() -> f64 {
    0.9
}

fn default_weight_decay() -> f64 {
    1e-4
}

fn default_learning_rate_steps() -> Vec<f64> {
    vec![2500.0 / 6000.0, 5000.0 / 6000.0]
}

fn default_max_skipped() -> u64 {
    5
}

fn is_default_max_skipped(count: &u64) -> bool {
    *count == default_max_skipped()
}

fn default_seed() -> u64 {
    1337
}
