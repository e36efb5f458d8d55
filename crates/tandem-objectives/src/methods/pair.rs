//! What the methods on two networks share: the networks, their supervised losses, the log.

use crate::losses;
use crate::method::{Batch, Network, Role, Term};
use crate::rows;
use crate::scores::Scores;
use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// One of the two networks. Each is named after its architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkName {
    /// The V-Net.
    Vnet,
    /// The 3-D ResNet-34 with V-Net decoder.
    Resnet34,
}

/// Their names, in the order of every pair in the methods.
pub(super) const NAMES: [&str; 2] = ["vnet", "resnet34"];

/// Both networks, trained.
pub(super) fn networks() -> Vec<Network> {
    NAMES.map(|name| Network { name, architecture: name, role: Role::Trained }).to_vec()
}

/// The named parts of an objective.
#[derive(Default)]
pub(super) struct Log(pub(super) Vec<(String, Term)>);

impl Log {
    pub(super) fn value(&mut self, name: impl Into<String>, value: f64) {
        self.0.push((name.into(), Term::Value(value)));
    }

    /// A value that may be NaN where the released code would log NaN.
    pub(super) fn value_or(&mut self, name: impl Into<String>, value: f64, why: &'static str) {
        let term = if value.is_nan() { Term::Undefined(why) } else { Term::Value(value) };
        self.0.push((name.into(), term));
    }
}

/// The classes of the labelled voxels, checked against the images.
pub(super) fn labels(batch: &Batch) -> Result<Vec<u8>> {
    let (patches, _, d, h, w) = batch.images.dims5()?;
    let labels = batch.labels.dims4()?;
    if (labels.1, labels.2, labels.3) != (d, h, w) || labels.0 > patches {
        bail!(
            "labels of shape {:?} do not belong to images of shape {:?}",
            batch.labels.dims(),
            batch.images.dims()
        );
    }
    rows::read_labels(&batch.labels)
}

/// How the labelled patches are learnt from.
#[derive(Clone, Copy)]
pub(super) struct Supervision<'a> {
    /// The class of every labelled voxel.
    pub(super) labels: &'a [u8],
    /// Labelled patches; they come first.
    pub(super) labelled: usize,
    /// Weight of the conflict term beside cross-entropy and Dice.
    pub(super) conflict_weight: f64,
    /// From which probability on a network is believed; 0 for always.
    pub(super) conflict_threshold: f64,
}

/// The supervised terms of one network.
#[derive(Clone, Copy)]
pub(super) struct Supervised {
    pub(super) cross_entropy: f64,
    pub(super) dice: f64,
    /// `CE + Dice + conflict_weight * conflict`.
    pub(super) total: f64,
}

impl Supervision<'_> {
    /// The supervised losses of both networks; adds to their gradients.
    pub(super) fn apply(
        &self,
        scores: &[Scores; 2],
        gradients: &mut [Vec<f32>; 2],
        log: &mut Log,
    ) -> Result<[Supervised; 2]> {
        let labelled = 0..self.labelled;
        let mask = if self.conflict_weight > 0.0 {
            let [a, b] = [0, 1].map(|i| scores[i].detached(labelled.clone()));
            losses::conflict_mask(a, b, self.conflict_threshold)?
        } else {
            Vec::new()
        };
        let mut network = |i: usize| -> Result<Supervised> {
            let mut live = scores[i].live(labelled.clone(), &mut gradients[i]);
            let cross_entropy = losses::cross_entropy(&mut live, self.labels, 1.0)?;
            let dice = losses::dice(&mut live, self.labels, 1.0)?;
            log.value(format!("{}/ce", NAMES[i]), cross_entropy);
            log.value(format!("{}/dice", NAMES[i]), dice);
            let mut total = cross_entropy + dice;
            if self.conflict_weight > 0.0 {
                let conflict = losses::conflict(&mut live, self.labels, &mask, self.conflict_weight)?;
                log.value(format!("{}/conflict", NAMES[i]), conflict);
                total += self.conflict_weight * conflict;
            }
            Ok(Supervised { cross_entropy, dice, total })
        };
        Ok([network(0)?, network(1)?])
    }
}

/// A loss of one network's logits, with the gradient found.
pub(super) fn loss(value: f64, scores: &Scores, gradient: &[f32]) -> Result<Tensor> {
    crate::graph::with_gradients(value, &[(scores.logits(), scores.gradient_tensor(gradient)?)])
}

/// The losses of both networks where each depends on its own logits alone.
pub(super) fn losses(
    values: [f64; 2],
    scores: &[Scores; 2],
    gradients: &[Vec<f32>; 2],
) -> Result<Vec<(&'static str, Tensor)>> {
    (0..2).map(|i| Ok((NAMES[i], loss(values[i], &scores[i], &gradients[i])?))).collect()
}
