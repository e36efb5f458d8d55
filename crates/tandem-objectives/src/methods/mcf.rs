//! Mutual correction framework.

use super::pair::{self, NAMES, Pair, Supervision};
use crate::losses::{self, Weight};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use candle_core::Result;
use serde::{Deserialize, Serialize};

/// Options of [`Mcf`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McfOptions {
    /// Weight of the conflict term beside cross-entropy and Dice.
    ///
    /// Range: at least 0.
    pub conflict_weight: f64,
    /// The probability from which on a network's class counts in the conflict term; 0 for any.
    ///
    /// Range: 0 to 1.
    pub conflict_threshold: f64,
    /// Weight of the squared error to the winner's sharpened prediction.
    pub lambda_u: Weight,
    /// Temperature of the sharpening.
    ///
    /// Range: 0.01 to 1.
    pub temperature: f64,
}

impl Default for McfOptions {
    fn default() -> Self {
        McfOptions {
            conflict_weight: 0.5,
            conflict_threshold: 0.0,
            lambda_u: Weight::ramped(0.1),
            temperature: 0.1,
        }
    }
}

/// MCF: the network with the lower Dice loss of the batch teaches the other one on unlabelled patches.
///
/// Both minimise `CE + Dice + 0.5 conflict` on labelled patches; the loser adds `lambda_u mean((p_l - q)^2)` on
/// unlabelled ones, where `q` is the winner's sharpened, detached softmax. The second network wins ties.
///
/// # References
/// Wang et al., "MCF: mutual correction framework for semi-supervised medical image segmentation", CVPR 2023, and its
/// released code, whose ramp of 6000 steps is taken here as a share of the run.
#[derive(Clone, Debug)]
pub struct Mcf {
    options: McfOptions,
    supervision: Supervision,
}

impl Mcf {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: McfOptions) -> Result<Self> {
        let supervision = Supervision::new(options.conflict_weight, options.conflict_threshold)?;
        super::check_weight("lambda_u", options.lambda_u)?;
        super::check_range("temperature", options.temperature, 0.01..=1.0)?;
        Ok(Mcf { options, supervision })
    }
}

impl Method for Mcf {
    fn networks(&self) -> Vec<Network> {
        pair::networks()
    }

    fn predictors(&self) -> Vec<&'static str> {
        NAMES.to_vec()
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        let (mut pair, supervised) = Pair::supervised(batch, networks, self.supervision)?;
        let winner = usize::from(supervised[0].dice >= supervised[1].dice);
        let unlabelled = batch.labelled()?..pair.heads[0].scores.patches();
        let lambda = self.options.lambda_u.at(step.progress());
        let (teacher, student) = pair.winner_and_loser(winner);
        let target = losses::sharpen(teacher.detached(unlabelled.clone()), self.options.temperature)?;
        let error = losses::mean_square(&mut student.live(unlabelled), &target, None, lambda)?;
        student.total += lambda * error;
        pair.log.value("l_u/mean_square", error);
        pair.log.value("lambda_u", lambda);
        pair.log.value("winner", winner as f64);
        pair.objective()
    }
}
