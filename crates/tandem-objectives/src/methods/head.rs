//! One output of a network, and what is to be minimised of it so far.

use crate::losses::{self, DiceForm};
use crate::method::{Batch, Term};
use crate::scores::{Detached, Gradient, Live, Scores};
use candle_core::{Result, Tensor};
use std::ops::Range;
use tandem_ops3d::Deferred;

/// Class scores of a batch with the loss of them so far and its gradient. A network has one head, or several.
///
/// A loss of [`losses`](crate::losses) returns its value and adds its weighted gradient to what [`Self::live`] lends; the
/// weighted value is the caller's to add to [`Self::total`].
pub struct Head {
    /// Softmaxes of the logits.
    pub scores: Scores,
    /// The loss so far.
    pub total: f64,
    gradient: Gradient,
}

impl Head {
    /// The head with these logits, `(N, K, D, H, W)`; nothing is to be minimised yet.
    ///
    /// # Errors
    /// As [`Scores::new`].
    pub fn new(logits: impl Into<Deferred>) -> Result<Self> {
        let scores = Scores::new(logits)?;
        let gradient = scores.zero_gradient();
        Ok(Head { scores, total: 0.0, gradient })
    }

    /// Some patches for a loss to learn from.
    pub fn live(&mut self, patches: Range<usize>) -> Live<'_> {
        self.scores.live(patches, &mut self.gradient)
    }

    /// Some patches as constants.
    pub fn detached(&self, patches: Range<usize>) -> Detached<'_> {
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
        let labels = batch.classes()?;
        let mut live = self.live(0..batch.labelled()?);
        let cross_entropy = losses::cross_entropy(&mut live, &labels, weight)?;
        let dice = losses::dice_of(&mut live, &labels, form, weight)?;
        self.total += weight * (cross_entropy + dice);
        log.value(format!("{network}/ce"), cross_entropy);
        log.value(format!("{network}/dice"), dice);
        Ok(())
    }

    /// The loss in candle's graph.
    ///
    /// # Errors
    /// Where a GPU fails.
    pub fn loss(self) -> Result<Tensor> {
        self.scores.loss(self.total, self.gradient)
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
