//! The operations of this crate in candle's `(N, C, D, H, W)` convention, for networks written that way.
//!
//! Each wrapper permutes to channels-last storage and back. A network made of many such layers is faster when it stays
//! channels-last inside and converts at its two ends.

use crate::{BatchNorm3d, Conv3dParams, Resize, Statistics};
use candle_core::{Result, Tensor};
use tandem_random::Draws;

fn last(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 2, 3, 4, 1))?.contiguous()
}

fn first(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 4, 1, 2, 3))?.contiguous()
}

/// [`crate::conv3d`].
///
/// # Errors
/// As there.
pub fn conv3d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Conv3dParams) -> Result<Tensor> {
    first(&crate::conv3d(&last(x)?, weight, bias, params)?)
}

/// [`crate::conv_transpose3d`].
///
/// # Errors
/// As there.
pub fn conv_transpose3d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: Conv3dParams,
) -> Result<Tensor> {
    first(&crate::conv_transpose3d(&last(x)?, weight, bias, params)?)
}

/// [`crate::batch_norm3d`].
///
/// # Errors
/// As there.
pub fn batch_norm3d(
    x: &Tensor,
    norm: &BatchNorm3d,
    statistics: Statistics,
    activation: crate::Activation,
) -> Result<Tensor> {
    first(&crate::batch_norm3d(&last(x)?, norm, statistics, activation)?)
}

/// [`crate::dropout3d`].
///
/// # Errors
/// As there.
pub fn dropout3d(x: &Tensor, probability: f64, draws: &mut Draws) -> Result<Tensor> {
    first(&crate::dropout3d(&last(x)?, probability, draws)?)
}

/// [`crate::max_pool3d`].
///
/// # Errors
/// As there.
pub fn max_pool3d(x: &Tensor, kernel: [usize; 3], params: Conv3dParams) -> Result<Tensor> {
    first(&crate::max_pool3d(&last(x)?, kernel, params)?)
}

/// [`crate::resize3d`].
///
/// # Errors
/// As there.
pub fn resize3d(x: &Tensor, sides: [usize; 3], mode: Resize) -> Result<Tensor> {
    first(&crate::resize3d(&last(x)?, sides, mode)?)
}
