//! Weights that grow during a run.

use serde::{Deserialize, Serialize};

/// The Gaussian ramp-up `exp(-5 (1 - x)^2)`, where `x` in [0, 1] is the share of the run that is done.
///
/// # References
/// Laine and Aila, "Temporal ensembling", ICLR 2017. Here a function of the share, so that it scales with the run.
pub fn ramp(progress: f64) -> f64 {
    (-5.0 * (1.0 - progress.clamp(0.0, 1.0)).powi(2)).exp()
}

/// The weight of a term.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// Its largest value.
    ///
    /// Range: at least 0.
    pub peak: f64,
    /// The share of the run over which it grows to the peak along [`ramp`]: 1 for all of it; 0 where it has that value from
    /// the first step.
    ///
    /// Range: 0 to 1.
    pub ramp: f64,
}

impl Weight {
    /// A weight that grows to `peak` along [`ramp`], until the end of the run.
    pub const fn ramped(peak: f64) -> Self {
        Weight { peak, ramp: 1.0 }
    }

    /// A weight that stays what it is.
    pub const fn constant(peak: f64) -> Self {
        Weight { peak, ramp: 0.0 }
    }

    /// Its value where `progress` of the run is done.
    pub fn at(&self, progress: f64) -> f64 {
        if progress < self.ramp { self.peak * ramp(progress / self.ramp) } else { self.peak }
    }
}
