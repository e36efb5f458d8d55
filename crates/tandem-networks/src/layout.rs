//! Between `(N, C, D, H, W)` outside and `(N, D, H, W, C)` inside: conversion happens at a network's two ends only.

use crate::NetworkConfig;
use candle_core::{Result, Tensor, bail};
use tandem_ops3d::to_channels_last;

/// Every side is halved four times.
pub(crate) const SIZE_DIVISOR: usize = 16;

/// Checks an input and brings it to channels-last storage.
pub(crate) fn enter(input: &Tensor, config: &NetworkConfig) -> Result<Tensor> {
    let &[_, channels, d, h, w] = input.dims() else {
        bail!("the network takes (N, C, D, H, W), got {:?}", input.dims())
    };
    if channels != config.in_channels {
        bail!("the network takes {} input channels, got {channels}", config.in_channels)
    }
    if [d, h, w].iter().any(|side| *side == 0 || side % SIZE_DIVISOR != 0) {
        bail!("each side of the input must be a multiple of {SIZE_DIVISOR}, got {d} x {h} x {w}")
    }
    to_channels_last(input)
}
