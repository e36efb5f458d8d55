//! The operations of this crate in candle's `(N, C, D, H, W)` convention, for networks written that way.
//!
//! Each wrapper permutes to channels-last storage and back. A network made of many such layers is faster when it stays
//! channels-last inside and converts at its two ends.

use crate::{BatchNorm3d, Conv3dParams, Resize, Statistics, to_channels_first, to_channels_last};
use candle_core::{Result, Tensor};
use tandem_random::Draws;

/// [`crate::conv3d`], channels first.
///
/// # Shapes
/// `x` `(N, Ci, D, H, W)`, `weight` `(Co, Ci, kd, kh, kw)`, `bias` `(Co)`; returns `(N, Co, D', H', W')`.
///
/// # Errors
/// As there.
pub fn conv3d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Conv3dParams) -> Result<Tensor> {
    to_channels_first(&crate::conv3d(&to_channels_last(x)?, weight, bias, params)?)
}

/// [`crate::conv_transpose3d`], channels first.
///
/// # Shapes
/// `x` `(N, Ci, D, H, W)`, `weight` `(Ci, Co, kd, kh, kw)`, `bias` `(Co)`; returns `(N, Co, D', H', W')`.
///
/// # Errors
/// As there.
pub fn conv_transpose3d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: Conv3dParams,
) -> Result<Tensor> {
    to_channels_first(&crate::conv_transpose3d(&to_channels_last(x)?, weight, bias, params)?)
}

/// [`crate::batch_norm3d`], channels first.
///
/// # Shapes
/// `(N, C, D, H, W)`; returns the same.
///
/// # Errors
/// As there.
pub fn batch_norm3d(
    x: &Tensor,
    norm: &BatchNorm3d,
    statistics: Statistics,
    activation: crate::Activation,
) -> Result<Tensor> {
    to_channels_first(&crate::batch_norm3d(&to_channels_last(x)?, norm, statistics, activation)?)
}

/// [`crate::dropout3d`], channels first.
///
/// # Shapes
/// `(N, C, D, H, W)`; returns the same.
///
/// # Errors
/// As there.
pub fn dropout3d(x: &Tensor, probability: f64, draws: &mut Draws) -> Result<Tensor> {
    to_channels_first(&crate::dropout3d(&to_channels_last(x)?, probability, draws)?)
}

/// [`crate::max_pool3d`], channels first.
///
/// # Shapes
/// `(N, C, D, H, W)`; returns `(N, C, D', H', W')`.
///
/// # Errors
/// As there.
pub fn max_pool3d(x: &Tensor, kernel: [usize; 3], params: Conv3dParams) -> Result<Tensor> {
    to_channels_first(&crate::max_pool3d(&to_channels_last(x)?, kernel, params)?)
}

/// [`crate::resize3d`], channels first.
///
/// # Shapes
/// `(N, C, D, H, W)` to `(N, C, sides[0], sides[1], sides[2])`.
///
/// # Errors
/// As there.
pub fn resize3d(x: &Tensor, sides: [usize; 3], mode: Resize) -> Result<Tensor> {
    to_channels_first(&crate::resize3d(&to_channels_last(x)?, sides, mode)?)
}
