//! The control of every comparison: both networks, labelled patches only.

use super::pair::{self, NAMES, Pair, Supervision};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use candle_core::Result;
use serde::{Deserialize, Serialize};

/// Options of [`SupervisedEnsemble`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisedEnsembleOptions {
    /// Weight of the conflict term beside cross-entropy and Dice; 0 leaves it out.
    ///
    /// Range: at least 0.
    pub conflict_weight: f64,
    /// The probability from which on a network's class counts in the conflict term; 0 for any.
    ///
    /// Range: 0 to 1.
    pub conflict_threshold: f64,
}

impl Default for SupervisedEnsembleOptions {
    fn default() -> Self {
        SupervisedEnsembleOptions { conflict_weight: 0.0, conflict_threshold: 0.6 }
    }
}

/// The two networks of Dual Networks trained by cross-entropy and Dice alone, and averaged at test time.
///
/// Averaging two networks may explain part of any gain, so a method on two networks must be compared with this one.
/// Unlabelled patches are not even forwarded: they would change the batch-norm statistics.
#[derive(Clone, Debug)]
pub struct SupervisedEnsemble {
    supervision: Supervision,
}

impl SupervisedEnsemble {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: SupervisedEnsembleOptions) -> Result<Self> {
        let supervision = Supervision::new(options.conflict_weight, options.conflict_threshold)?;
        Ok(SupervisedEnsemble { supervision })
    }
}

impl Method for SupervisedEnsemble {
    fn networks(&self) -> Vec<Network> {
        pair::networks()
    }

    fn predictors(&self) -> Vec<&'static str> {
        NAMES.to_vec()
    }

    fn uses_unlabelled(&self) -> bool {
        false
    }

    fn objective(&mut self, batch: &Batch, _: Step, networks: &dyn Forward) -> Result<Objective> {
        let images = batch.images.narrow(0, 0, batch.labelled()?)?;
        let labelled = Batch { images, labels: batch.labels.clone(), strong: None };
        Pair::supervised(&labelled, networks, self.supervision)?.0.objective()
    }
}
