//! Max pooling of channels-last tensors.

use crate::conv_shape::{Conv3dParams, ConvShape};
use crate::storage::{slice, with_slices};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::OnceLock;

/// The largest value under each window; padding never wins. Among equal values the first takes the gradient, as in
/// PyTorch.
///
/// # Shapes
/// `(N, D, H, W, C)`; returns `(N, D', H', W', C)` with `D' = (D + 2 padding - kernel) / stride + 1`, rounded down.
///
/// # Errors
/// Where the rank is not 5, the kernel exceeds the padded input, the padding exceeds half of the kernel, or the tensor
/// is not f32.
pub fn max_pool3d(x: &Tensor, kernel: [usize; 3], params: Conv3dParams) -> Result<Tensor> {
    let (_, _, _, _, channels) = x.dims5()?;
    if (0..3).any(|axis| 2 * params.padding[axis] > kernel[axis]) {
        bail!("max_pool3d: padding {:?} exceeds half of the kernel {kernel:?}", params.padding)
    }
    let [kd, kh, kw] = kernel;
    let shape = ConvShape::of_conv(x.dims(), &[channels, channels, kd, kh, kw], params)?;
    x.contiguous()?.apply_op1(MaxPool { shape, winners: OnceLock::new() })
}

struct MaxPool {
    shape: ConvShape,
    /// For each output value, the index of its input voxel: written by the forward pass, read by the backward pass.
    winners: OnceLock<Vec<u32>>,
}

impl MaxPool {
    /// Value and input voxel of every output value.
    fn winners(&self, x: &[f32]) -> Vec<(f32, u32)> {
        let &ConvShape { image: [d, h, w], response: [_, rh, rw], co: channels, kernel, params, .. } =
            &self.shape;
        let reach = |axis: usize, at: usize, side: usize| {
            let start = at * params.stride[axis];
            start.saturating_sub(params.padding[axis])
                ..(start + kernel[axis]).saturating_sub(params.padding[axis]).min(side)
        };
        let mut best = vec![(f32::NEG_INFINITY, 0); self.shape.response_dims().iter().product()];
        best.par_chunks_mut((rw * channels).max(1)).enumerate().for_each(|(row, best)| {
            let (plane, y) = (row / rh, row % rh);
            let (n, z) = (plane / self.shape.response[0], plane % self.shape.response[0]);
            for (i, best) in best.iter_mut().enumerate() {
                let (column, c) = (i / channels, i % channels);
                for zi in reach(0, z, d) {
                    for yi in reach(1, y, h) {
                        for xi in reach(2, column, w) {
                            let voxel = ((n * d + zi) * h + yi) * w + xi;
                            let value = x[voxel * channels + c];
                            // NaN wins, as in PyTorch.
                            if value > best.0 || value.is_nan() {
                                *best = (value, voxel as u32);
                            }
                        }
                    }
                }
            }
        });
        best
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool3d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let best = self.winners(slice(self.name(), x, layout)?);
        let values = best.iter().map(|(value, _)| *value).collect();
        self.winners.get_or_init(|| best.into_iter().map(|(_, voxel)| voxel).collect());
        Ok((CpuStorage::F32(values), Shape::from(&self.shape.response_dims())))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let Some(winners) = self.winners.get() else { bail!("max_pool3d: backward before forward") };
        let channels = self.shape.co;
        let mut dx = vec![0.0; x.elem_count()];
        with_slices(self.name(), [grad], |[grad]| {
            for (i, (grad, voxel)) in grad.iter().zip(winners).enumerate() {
                dx[*voxel as usize * channels + i % channels] += grad;
            }
            Ok(())
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), &Device::Cpu)?))
    }
}
