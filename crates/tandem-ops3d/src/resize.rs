//! Trilinear and nearest resizing of channels-last tensors.

use crate::storage::{slice, with_slices};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// How a resized voxel is made from its neighbours. The names and rules are PyTorch's `interpolate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// The voxel whose index is `floor(i * from / to)`.
    Nearest,
    /// Linear along each axis; voxels are cells whose outer faces coincide (`align_corners=False`).
    Trilinear,
    /// Linear along each axis; the centres of the corner voxels coincide (`align_corners=True`).
    TrilinearAligned,
}

/// Resizes to the given sides.
///
/// # Shapes
/// `(N, D, H, W, C)` to `(N, sides[0], sides[1], sides[2], C)`.
///
/// # Errors
/// Where the rank is not 5, a side is 0, or the tensor is not f32.
pub fn resize3d(x: &Tensor, sides: [usize; 3], mode: Resize) -> Result<Tensor> {
    let (n, d, h, w, channels) = x.dims5()?;
    if sides.contains(&0) || [d, h, w].contains(&0) {
        bail!("resize3d: cannot resize {:?} to {sides:?}: each side must be at least 1", x.dims())
    }
    let axes = [0, 1, 2].map(|axis| axis_taps([d, h, w][axis], sides[axis], mode));
    x.contiguous()?.apply_op1(Resizing { axes, batch: n, from: [d, h, w], to: sides, channels })
}

/// Along one axis, an output voxel is `(1 - share) * input[low] + share * input[high]`.
#[derive(Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    share: f32,
}

fn axis_taps(from: usize, to: usize, mode: Resize) -> Vec<Tap> {
    let position = |i: usize| match mode {
        Resize::Nearest => (i * from / to) as f64,
        Resize::Trilinear => ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0),
        Resize::TrilinearAligned if to == 1 => 0.0,
        Resize::TrilinearAligned => i as f64 * (from - 1) as f64 / (to - 1) as f64,
    };
    (0..to)
        .map(|i| {
            let low = (position(i) as usize).min(from - 1);
            Tap { low, high: (low + 1).min(from - 1), share: (position(i) - low as f64) as f32 }
        })
        .collect()
}

struct Resizing {
    axes: [Vec<Tap>; 3],
    batch: usize,
    from: [usize; 3],
    to: [usize; 3],
    channels: usize,
}

impl Resizing {
    /// The up to eight input voxels of an output voxel of image `n`, with their weights.
    fn corners(&self, n: usize, at: [usize; 3]) -> impl Iterator<Item = (usize, f32)> {
        let taps = [0, 1, 2].map(|axis| self.axes[axis][at[axis]]);
        let [d, h, w] = self.from;
        (0..8usize).filter_map(move |corner| {
            let mut weight = 1.0;
            let mut index = [0; 3];
            for axis in 0..3 {
                let high = corner >> axis & 1 == 1;
                weight *= if high { taps[axis].share } else { 1.0 - taps[axis].share };
                index[axis] = if high { taps[axis].high } else { taps[axis].low };
            }
            (weight != 0.0).then_some((((n * d + index[0]) * h + index[1]) * w + index[2], weight))
        })
    }
}

impl CustomOp1 for Resizing {
    fn name(&self) -> &'static str {
        "resize3d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(self.name(), x, layout)?;
        let ([d, h, w], channels) = (self.to, self.channels);
        let mut y = vec![0.0; self.batch * d * h * w * channels];
        y.par_chunks_mut((w * channels).max(1)).enumerate().for_each(|(row, y)| {
            let (n, z, line) = (row / (d * h), row / h % d, row % h);
            for (column, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
                for (voxel, weight) in self.corners(n, [z, line, column]) {
                    let x = &x[voxel * channels..][..channels];
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += weight * x);
                }
            }
        });
        Ok((CpuStorage::F32(y), Shape::from((self.batch, d, h, w, channels))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let ([d, h, w], channels) = (self.to, self.channels);
        let mut dx = vec![0.0; x.elem_count()];
        let image: usize = self.from.iter().product::<usize>() * channels;
        with_slices(self.name(), [grad], |[grad]| {
            // Output voxels share input voxels: images run side by side, the voxels of one in order.
            dx.par_chunks_mut(image.max(1)).enumerate().for_each(|(n, dx)| {
                for voxel in 0..d * h * w {
                    let grad = &grad[(n * d * h * w + voxel) * channels..][..channels];
                    for (source, weight) in self.corners(0, [voxel / (h * w), voxel / w % h, voxel % w]) {
                        let dx = &mut dx[source * channels..][..channels];
                        dx.iter_mut().zip(grad).for_each(|(dx, grad)| *dx += weight * grad);
                    }
                }
            });
            Ok(())
        })?;
        Ok(Some(Tensor::from_vec(dx, x.shape(), &Device::Cpu)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_repeats_voxels_and_gathers_their_gradient() {
        let x = candle_core::Var::from_vec(vec![1.0f32, 2.0], (1, 1, 1, 2, 1), &Device::Cpu).unwrap();
        let y = resize3d(&x, [1, 1, 5], Resize::Nearest).unwrap();
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [1.0, 1.0, 1.0, 2.0, 2.0]);
        let grads = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(grads.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), [3.0, 2.0]);
    }

    #[test]
    fn an_empty_side_is_refused() {
        let x = Tensor::zeros((1, 2, 2, 2, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(resize3d(&x, [0, 2, 2], Resize::Trilinear).unwrap_err().to_string().contains("at least 1"));
    }
}
