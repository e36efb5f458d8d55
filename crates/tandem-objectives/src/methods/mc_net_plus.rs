//! Mutual consistency of three decoders.

use super::head::Log;
use super::student::{self, STUDENT};
use crate::losses::{self, DiceForm, Weight};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use candle_core::Result;
use serde::{Deserialize, Serialize};

/// Options of [`McNetPlus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McNetPlusOptions {
    /// Weight of the mutual consistency. The released ramp ends after 6,000 of 15,000 steps.
    pub lambda_u: Weight,
    /// Weight of each decoder's Dice loss.
    ///
    /// Range: at least 0.
    pub dice_weight: f64,
    /// Temperature of the sharpening.
    ///
    /// Range: 0.001 to 1.
    pub temperature: f64,
}

impl Default for McNetPlusOptions {
    fn default() -> Self {
        McNetPlusOptions { lambda_u: Weight { peak: 1.0, ramp: 0.4 }, dice_weight: 0.5, temperature: 0.1 }
    }
}

/// The decoders of the network, as `vnet-mcnet` calls them, beside the one with transposed convolutions.
const DECODERS: [&str; 2] = ["trilinear", "nearest"];

/// MC-Net+: three decoders on one encoder, which double the sides in different ways, agree with each other's sharpened predictions.
///
/// The network minimises `dice_weight` times the sum of the decoders' Dice losses on labelled patches, plus `lambda_u` times
/// [`losses::mutual`] of all three on all patches. Dice has the plain denominator and leaves the background out; there is no
/// cross-entropy. The first decoder predicts, as in the released code, which also reports the mean of all.
///
/// The released learning rate is constant; here it is that of the run. For more than two classes, sharpening is over all classes
/// together.
///
/// Terms of the log: `vnet/dice`, `trilinear/dice`, `nearest/dice`, `l_u/mutual`, `lambda_u`.
///
/// # References
/// Wu et al., "Mutual consistency learning for semi-supervised medical image segmentation", Medical Image Analysis 81 (2022).
#[derive(Clone, Debug)]
pub struct McNetPlus {
    options: McNetPlusOptions,
}

impl McNetPlus {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: McNetPlusOptions) -> Result<Self> {
        super::check_weight("lambda_u", options.lambda_u)?;
        super::check_range("dice_weight", options.dice_weight, 0.0..=f64::MAX)?;
        super::check_range("temperature", options.temperature, 1e-3..=1.0)?;
        Ok(McNetPlus { options })
    }
}

impl Method for McNetPlus {
    fn networks(&self) -> Vec<Network> {
        vec![Network::trained(STUDENT, "vnet-mcnet")]
    }

    fn predictors(&self) -> Vec<&'static str> {
        vec![STUDENT]
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        let prediction = networks.train(STUDENT, &batch.images, 0)?;
        let mut heads = student::heads(&prediction, &DECODERS)?;
        let (labels, labelled) = (batch.classes()?, batch.labelled()?);
        let (form, weight) = (DiceForm { background: false, squared: false }, self.options.dice_weight);
        let mut log = Log::default();
        for (head, name) in heads.iter_mut().zip([STUDENT].into_iter().chain(DECODERS)) {
            let dice = losses::dice_of(&mut head.live(0..labelled), &labels, form, weight)?;
            head.total += weight * dice;
            log.value(format!("{name}/dice"), dice);
        }
        let all = 0..heads[0].scores.patches();
        let lambda = self.options.lambda_u.at(step.progress());
        let mut lives: Vec<_> = heads.iter_mut().map(|head| head.live(all.clone())).collect();
        let mutual = losses::mutual(&mut lives, self.options.temperature, lambda)?;
        heads[0].total += lambda * mutual;
        log.value("l_u/mutual", mutual);
        log.value("lambda_u", lambda);
        student::objective_of(heads, log)
    }
}
