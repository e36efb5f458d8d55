//! Cross pseudo supervision.

use super::head::{Head, Log};
use super::pair::{self, NAMES};
use crate::losses::{self, DiceForm, Weight};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use candle_core::Result;
use serde::{Deserialize, Serialize};

/// Options of [`Cps`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpsOptions {
    /// Weight of the cross-entropy to the other network's classes. The released ramp of 30,000 steps of a run of 30,000 is that
    /// of a whole run.
    pub lambda_u: Weight,
}

impl Default for CpsOptions {
    fn default() -> Self {
        CpsOptions { lambda_u: Weight::ramped(0.1) }
    }
}

/// Cross pseudo supervision: each of two networks learns the other one's classes on unlabelled patches.
///
/// Both minimise `0.5 (CE + Dice)` on labelled patches, Dice over all classes, plus `lambda_u CE(z, argmax of the other)` on
/// unlabelled ones.
///
/// The paper trains two networks of one architecture that start from different weights. Here they are the V-Net and the
/// ResNet-34 of the other methods, so that all are compared on the same networks with the same control; both are averaged at
/// test time.
///
/// Terms of the log: `vnet/ce`, `vnet/dice`, `vnet/pseudo_ce`, the same of `resnet34`, `lambda_u`.
///
/// # References
/// Chen et al., "Semi-supervised semantic segmentation with cross pseudo supervision", CVPR 2021; settings of SSL4MIS (Luo et
/// al.).
#[derive(Clone, Debug)]
pub struct Cps {
    options: CpsOptions,
}

impl Cps {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: CpsOptions) -> Result<Self> {
        super::check_weight("lambda_u", options.lambda_u)?;
        Ok(Cps { options })
    }
}

impl Method for Cps {
    fn networks(&self) -> Vec<Network> {
        pair::networks()
    }

    fn predictors(&self) -> Vec<&'static str> {
        NAMES.to_vec()
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        let head = |name| Head::new(&networks.train(name, &batch.images, 0)?.logits);
        let mut heads = [head(NAMES[0])?, head(NAMES[1])?];
        let unlabelled = batch.labelled()?..heads[0].scores.patches();
        let said = |head: &Head| head.detached(unlabelled.clone()).labels();
        let classes = [said(&heads[0])?, said(&heads[1])?];
        let lambda = self.options.lambda_u.at(step.progress());
        let mut log = Log::default();
        for ((name, head), taught) in NAMES.into_iter().zip(&mut heads).zip(classes.iter().rev()) {
            head.supervise(name, batch, (0.5, DiceForm::ALL_CLASSES), &mut log)?;
            let pseudo = losses::cross_entropy(&mut head.live(unlabelled.clone()), taught, lambda)?;
            head.total += lambda * pseudo;
            log.value(format!("{name}/pseudo_ce"), pseudo);
        }
        log.value("lambda_u", lambda);
        let [vnet, resnet34] = heads;
        let losses = NAMES.into_iter().zip([vnet.loss()?, resnet34.loss()?]).collect();
        Ok(Objective { losses, terms: log.0 })
    }
}
