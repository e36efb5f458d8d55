//! Uncertainty-rectified pyramid consistency.

use super::head::Log;
use super::student::{self, STUDENT};
use crate::losses::{self, DiceForm, Weight};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use candle_core::Result;
use serde::{Deserialize, Serialize};

/// Options of [`Urpc`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrpcOptions {
    /// Weight of the scales' consistency. The released ramp of 60,000 steps of a run of 60,000 is that of a whole run.
    pub lambda_u: Weight,
}

impl Default for UrpcOptions {
    fn default() -> Self {
        UrpcOptions { lambda_u: Weight::ramped(0.1) }
    }
}

/// The scales of the network, as `vnet-urpc` calls them, beside the full one.
const SCALES: [&str; 3] = ["half", "quarter", "eighth"];

/// Uncertainty-rectified pyramid consistency: the decoder's four scales segment each, and agree with their mean.
///
/// The network minimises the mean over scales of `0.5 (CE + Dice)` on labelled patches, Dice over all classes, plus `lambda_u`
/// times [`losses::pyramid`] of all scales on unlabelled ones. The finest scale predicts.
///
/// The released code has a U-Net with dropout at every scale; here it is the V-Net of the other methods with its own dropout, and
/// the learning rate is that of the run, not 0.1.
///
/// Terms of the log: `vnet/ce`, `vnet/dice`, the same of `half`, `quarter` and `eighth`, `l_u/rectified`, `l_u/kl`, `lambda_u`.
///
/// # References
/// Luo et al., "Efficient semi-supervised gross target volume of nasopharyngeal carcinoma segmentation via uncertainty rectified
/// pyramid consistency", MICCAI 2021; settings of SSL4MIS (Luo et al.).
#[derive(Clone, Debug)]
pub struct Urpc {
    options: UrpcOptions,
}

impl Urpc {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: UrpcOptions) -> Result<Self> {
        super::check_weight("lambda_u", options.lambda_u)?;
        Ok(Urpc { options })
    }
}

impl Method for Urpc {
    fn networks(&self) -> Vec<Network> {
        vec![Network::trained(STUDENT, "vnet-urpc")]
    }

    fn predictors(&self) -> Vec<&'static str> {
        vec![STUDENT]
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        let prediction = networks.train(STUDENT, &batch.images, 0)?;
        let mut heads = student::heads(&prediction, &SCALES)?;
        let mut log = Log::default();
        let share = 1.0 / heads.len() as f64;
        for (head, name) in heads.iter_mut().zip([STUDENT].into_iter().chain(SCALES)) {
            head.supervise(name, batch, (0.5 * share, DiceForm::ALL_CLASSES), &mut log)?;
        }
        let unlabelled = batch.labelled()?..heads[0].scores.patches();
        let lambda = self.options.lambda_u.at(step.progress());
        let mut lives: Vec<_> = heads.iter_mut().map(|head| head.live(unlabelled.clone())).collect();
        let found = losses::pyramid(&mut lives, lambda)?;
        heads[0].total += lambda * (found.rectified + found.divergence);
        log.value("l_u/rectified", found.rectified);
        log.value("l_u/kl", found.divergence);
        log.value("lambda_u", lambda);
        student::objective_of(heads, log)
    }
}
