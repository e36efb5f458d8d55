//! One output of a network, and what is to be minimised of it so far.

use crate::graph::with_gradients;
use crate::losses::{self, DiceForm};
use crate::method::{Batch, Term};
use crate::scores::{Detached, Live, Scores};
use candle_core::{Result, Tensor, bail};
use std::ops::Range;

/// Class scores of a batch with the loss of them so far and its gradient. A network has one head, or several.
pub(super) struct Head {
    pub(super) scores: Scores,
    pub(super) total: f64,
    gradient: Vec<f32>,
}

impl Head {
    /// The head with these logits, `(N, K, D, H, W)`; nothing is to be minimised yet.
    pub(super) fn new(logits: &Tensor) -> Result<Self> {
        let scores = Scores::new(logits)?;
        let gradient = scores.zero_gradient();
        Ok(Head { scores, total: 0.0, gradient })
    }

    /// Some patches for a loss that adds its gradient; its value is the caller's to add to [`Self::total`].
    pub(super) fn live(&mut self, patches: Range<usize>) -> Live<'_> {
        self.scores.live(patches, &mut self.gradient)
    }

    /// Some patches as constants.
    pub(super) fn detached(&self, patches: Range<usize>) -> Detached<'_> {
        self.scores.detached(patches)
    }

    /// Adds `weight * (CE + Dice)` on the labelled patches, which come first; both are logged under the network's name.
    pub(super) fn supervise(
        &mut self,
        network: &str,
        batch: &Batch,
        (weight, form): (f64, DiceForm),
        log: &mut Log,
    ) -> Result<()> {
        let labels = labels(batch)?;
        let mut live = self.live(0..batch.labelled()?);
        let cross_entropy = losses::cross_entropy(&mut live, &labels, weight)?;
        let dice = losses::dice_of(&mut live, &labels, form, weight)?;
        self.total += weight * (cross_entropy + dice);
        log.value(format!("{network}/ce"), cross_entropy);
        log.value(format!("{network}/dice"), dice);
        Ok(())
    }

    /// The loss in candle's graph.
    pub(super) fn loss(self) -> Result<Tensor> {
        let gradient = self.scores.gradient_tensor(self.gradient)?;
        with_gradients(self.total, &[(self.scores.logits(), gradient)])
    }
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
    batch.labels.flatten_all()?.to_vec1()
}
