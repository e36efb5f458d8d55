//! The seam between a network and whoever runs it.

use candle_core::{Result, Tensor};
use std::collections::BTreeMap;

/// How a network is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Batch statistics (which move the running ones) and dropout drawn from this key.
    Train {
        /// Names the dropout masks: the same key drops the same channels.
        dropout: u64,
    },
    /// Running statistics, no dropout; differentiable.
    Evaluate,
    /// As [`Self::Evaluate`], but the weights are constants: no graph is kept, so that activations are freed as soon as
    /// the next layer has read them.
    Infer,
}

/// What a network returns.
#[derive(Clone, Debug)]
pub struct Output {
    /// `(N, K, D, H, W)`, before the softmax.
    pub logits: Tensor,
    /// `(N, C, D, H, W)`: the input of the head before its dropout.
    pub features: Tensor,
    /// The same after dropout: what the head saw.
    pub features_dropped: Tensor,
    /// Further heads and scales, by name; empty for the networks of this crate.
    pub extra: BTreeMap<String, Tensor>,
}

/// A segmentation network.
pub trait Segmenter: Send + Sync {
    /// Runs the network on `(N, in_channels, D, H, W)`; each side must be a multiple of [`Self::size_divisor`].
    ///
    /// # Errors
    /// Where the input has another rank, channel count or an indivisible side.
    fn forward(&self, input: &Tensor, pass: Pass) -> Result<Output>;
    /// Channels of the input.
    fn in_channels(&self) -> usize;
    /// Classes of the logits, background included.
    fn num_classes(&self) -> usize;
    /// What every side of the input must be a multiple of.
    fn size_divisor(&self) -> usize;
}
