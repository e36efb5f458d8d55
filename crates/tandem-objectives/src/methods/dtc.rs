//! Dual-task consistency.

use super::head::{Head, Log};
use super::student::STUDENT;
use crate::graph::with_gradient;
use crate::losses::{self, Weight};
use crate::method::{Batch, Forward, Method, Network, Objective, Step};
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Options of [`Dtc`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DtcOptions {
    /// Weight of the two tasks' consistency. The released ramp of 6,000 steps of a run of 6,000 is that of a whole run.
    pub lambda_u: Weight,
    /// Weight of the signed distances' error beside Dice.
    ///
    /// Range: at least 0.
    pub distance_weight: f64,
    /// How steeply a signed distance becomes a mask.
    ///
    /// Range: 1 to 1000000.
    pub steepness: f64,
}

impl Default for DtcOptions {
    fn default() -> Self {
        DtcOptions { lambda_u: Weight::ramped(1.0), distance_weight: 0.3, steepness: 1500.0 }
    }
}

/// Dual-task consistency: a network predicts classes and signed distance maps, and the two agree.
///
/// With the map `t = tanh` of the head `distance`, one of each class but the background, the network minimises Dice plus
/// `distance_weight` times the mean squared error of `t` to [`losses::signed_distance`] on labelled patches, plus `lambda_u` times
/// [`losses::distance_consistency`] of classes and maps on all patches. The classes predict.
///
/// The released code has two classes, as the sigmoid of one logit. A softmax of two logits says the same of their difference: for two
/// classes every loss here is the released one as a function of the foreground's probability and of the map. As both logits move,
/// a step of the same learning rate moves the difference twice as far.
///
/// Terms of the log: `vnet/dice`, `vnet/distance`, `l_u/consistency`, `lambda_u`.
///
/// # References
/// Luo et al., "Semi-supervised medical image segmentation through dual-task consistency", AAAI 2021, and its released code.
#[derive(Clone, Debug)]
pub struct Dtc {
    options: DtcOptions,
}

impl Dtc {
    /// Checks the options.
    ///
    /// # Errors
    /// Where an option lies outside of its range.
    pub fn new(options: DtcOptions) -> Result<Self> {
        super::check_weight("lambda_u", options.lambda_u)?;
        super::check_range("distance_weight", options.distance_weight, 0.0..=f64::MAX)?;
        super::check_range("steepness", options.steepness, 1.0..=1e6)?;
        Ok(Dtc { options })
    }
}

/// The signed distance maps that the network predicts, and what is to be minimised of them so far.
struct Maps {
    head: Tensor,
    /// `(patch, class - 1, i, j, k)`.
    values: Vec<f32>,
    /// With respect to the values.
    gradient: Vec<f32>,
    total: f64,
}

impl Maps {
    fn new(head: &Tensor) -> Result<Self> {
        let mut values: Vec<f32> = head.flatten_all()?.to_vec1()?;
        values.par_iter_mut().with_min_len(1 << 12).for_each(|value| *value = value.tanh());
        Ok(Maps { head: head.clone(), gradient: vec![0.0; values.len()], values, total: 0.0 })
    }

    fn loss(mut self) -> Result<Tensor> {
        // Back through the tanh.
        let voxels = self.gradient.par_iter_mut().zip(&self.values).with_min_len(1 << 12);
        voxels.for_each(|(gradient, value)| *gradient *= 1.0 - value * value);
        let gradient = Tensor::from_vec(self.gradient, self.head.shape(), self.head.device())?;
        with_gradient(self.total, &self.head, &gradient)
    }
}

impl Method for Dtc {
    fn networks(&self) -> Vec<Network> {
        vec![Network::trained(STUDENT, "vnet-dtc")]
    }

    fn predictors(&self) -> Vec<&'static str> {
        vec![STUDENT]
    }

    fn objective(&mut self, batch: &Batch, step: Step, networks: &dyn Forward) -> Result<Objective> {
        let prediction = networks.train(STUDENT, &batch.images, 0)?;
        let Some(distance) = prediction.extra.get("distance") else {
            bail!("the network predicts no signed distances")
        };
        let (mut head, mut maps) = (Head::new(&prediction.logits)?, Maps::new(distance)?);
        let (labels, (labelled, d, h, w)) = (batch.classes()?, batch.labels.dims4()?);
        let mut log = Log::default();

        let dice = losses::dice(&mut head.live(0..labelled), &labels, 1.0)?;
        head.total += dice;
        log.value("vnet/dice", dice);
        let target = losses::signed_distance(labels.values()?, [labelled, d, h, w], head.scores.classes())?;
        let (values, gradient) = (&maps.values[..target.len()], &mut maps.gradient[..target.len()]);
        let weight = self.options.distance_weight;
        let error = losses::distance_error(values, &target, gradient, weight)?;
        maps.total += weight * error;
        log.value("vnet/distance", error);

        let lambda = self.options.lambda_u.at(step.progress());
        let all = 0..head.scores.patches();
        let (mut live, steepness) = (head.live(all), self.options.steepness);
        let (values, gradient) = (&maps.values, &mut maps.gradient);
        let consistency = losses::distance_consistency(&mut live, values, gradient, steepness, lambda)?;
        maps.total += lambda * consistency;
        log.value("l_u/consistency", consistency);
        log.value("lambda_u", lambda);
        Ok(Objective { losses: vec![(STUDENT, (head.loss()? + maps.loss()?)?)], terms: log.0 })
    }
}
