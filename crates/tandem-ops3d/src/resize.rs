//! Trilinear and nearest resizing of channels-last tensors.

use crate::cpu::rows::{self, for_rows};
use crate::cpu::simd::on_every_path;
use crate::storage::{slice, with_slices};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};

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
    let (_, d, h, w, _) = x.dims5()?;
    if sides.contains(&0) || [d, h, w].contains(&0) {
        bail!("resize3d: cannot resize {:?} to {sides:?}: each side must be at least 1", x.dims())
    }
    x.contiguous()?.apply_op1(Resizing(Resampling::new([d, h, w], sides, mode)))
}

/// A map of images that works along each axis by itself: what comes out is a sum of few weighted voxels.
#[derive(Clone, Debug)]
pub(crate) struct Resampling {
    from: [usize; 3],
    /// For each index along an axis, the indices it is made of and their weights.
    axes: [Vec<Taps>; 3],
}

pub(crate) type Taps = Vec<(usize, f32)>;

impl Resampling {
    /// Resizes `from` these sides `to` those, none of them 0.
    pub(crate) fn new(from: [usize; 3], to: [usize; 3], mode: Resize) -> Self {
        Resampling { from, axes: [0, 1, 2].map(|axis| taps(from[axis], to[axis], mode)) }
    }

    /// The map that brings the gradient of what comes out back to what went in.
    pub(crate) fn transposed(&self) -> Self {
        let transpose = |axis: usize| {
            let mut back = vec![Taps::new(); self.from[axis]];
            for (to, taps) in self.axes[axis].iter().enumerate() {
                taps.iter().for_each(|(from, weight)| back[*from].push((to, *weight)));
            }
            back
        };
        Resampling { from: self.sides(), axes: [0, 1, 2].map(transpose) }
    }

    /// Sides of what goes in.
    pub(crate) fn source_sides(&self) -> [usize; 3] {
        self.from
    }

    /// What each voxel is made of, axis by axis.
    pub(crate) fn axes(&self) -> &[Vec<Taps>; 3] {
        &self.axes
    }

    /// Sides of what comes out.
    pub(crate) fn sides(&self) -> [usize; 3] {
        self.axes.each_ref().map(Vec::len)
    }

    /// Writes row `row` of all rows `(n, d, h)` that come out, `(w, c)`, with a function that reads those that go in.
    pub(crate) fn row(&self, row: usize, read: impl Fn(usize, &mut [f32]), to: &mut [f32]) {
        let ([d, h, w], [from_d, from_h, from_w]) = (self.sides(), self.from);
        let channels = to.len() / w;
        let (n, z, y) = (row / (d * h), row / h % d, row % h);
        let [mut sum, mut line] = [vec![0.0; from_w * channels], vec![0.0; from_w * channels]];
        for (z, by_z) in &self.axes[0][z] {
            for (y, by_y) in &self.axes[1][y] {
                read((n * from_d + z) * from_h + y, &mut line);
                rows::add_scaled(&line, by_z * by_y, &mut sum);
            }
        }
        along_row(&sum, &self.axes[2], channels, to);
    }
}

on_every_path! {
    /// The map along the last axis.
    fn along_row(from: &[f32], axis: &[Taps], channels: usize, to: &mut [f32]) {
        to.fill(0.0);
        for (to, taps) in to.chunks_exact_mut(channels).zip(axis) {
            for (x, weight) in taps {
                let from = &from[x * channels..][..channels];
                to.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
            }
        }
    }
}

/// What each voxel of an axis of `to` voxels is made of.
fn taps(from: usize, to: usize, mode: Resize) -> Vec<Taps> {
    let position = |i: usize| match mode {
        Resize::Nearest => (i * from / to) as f64,
        Resize::Trilinear => ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0),
        Resize::TrilinearAligned if to == 1 => 0.0,
        Resize::TrilinearAligned => i as f64 * (from - 1) as f64 / (to - 1) as f64,
    };
    let of = |i: usize| {
        let low = (position(i) as usize).min(from - 1);
        let share = if low + 1 < from { (position(i) - low as f64) as f32 } else { 0.0 };
        let both = [(low, 1.0 - share), (low + 1, share)];
        both.into_iter().filter(|(_, weight)| *weight != 0.0).collect()
    };
    (0..to).map(of).collect()
}

struct Resizing(Resampling);

/// Runs a map on images `(n, d, h, w, c)`.
fn run(map: &Resampling, channels: usize, x: &[f32], y: &mut [f32]) {
    let row_len = map.from[2] * channels;
    for_rows(y, map.sides()[2] * channels, |row, y| {
        map.row(row, |row, to| to.copy_from_slice(&x[row * row_len..][..row_len]), y);
    });
}

impl CustomOp1 for Resizing {
    fn name(&self) -> &'static str {
        "resize3d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let ([d, h, w], dims) = (self.0.sides(), layout.dims());
        let dims = [dims[0], d, h, w, dims[4]];
        let mut y = vec![0.0; dims.iter().product()];
        run(&self.0, dims[4], slice(self.name(), x, layout)?, &mut y);
        Ok((CpuStorage::F32(y), Shape::from(&dims)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = vec![0.0; x.elem_count()];
        with_slices(self.name(), [grad], |[grad]| {
            run(&self.0.transposed(), x.dim(4)?, grad, &mut dx);
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
