//! The seam between a network and whoever runs it.

use candle_core::{Result, Tensor};
use std::collections::BTreeMap;
use tandem_ops3d::Deferred;
pub use tandem_ops3d::program::Mode as Pass;

/// What a network returns.
#[derive(Clone, Debug)]
pub struct Output {
    /// `(N, K, D, H, W)`, before the softmax: where the network ran, until they are asked for.
    pub logits: Deferred,
    /// `(N, C, D, H, W)`: the input of the head before its dropout. Not to be had after [`Pass::Infer`].
    pub features: Deferred,
    /// The same after dropout: what the head saw.
    pub features_dropped: Deferred,
    /// What further heads make, `(N, C, D, H, W)`, by their names: at the resolution of the input, to which coarser ones are
    /// brought by trilinear interpolation. Empty for networks without any, and after [`Pass::Infer`].
    pub extra: BTreeMap<String, Tensor>,
}

/// A segmentation network.
pub trait Segmenter: Send + Sync {
    /// Runs the network on f32 images `(N, in_channels, D, H, W)`; each side must be a multiple of [`Self::size_divisor`]. The logits are
    /// `(N, num_classes, D, H, W)`.
    ///
    /// Its output can be differentiated once: the backward pass uses up what this pass kept.
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
