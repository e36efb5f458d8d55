//! A program on a GPU: the passes of `forward.rs` and `backward.rs`, with buffers and kernels in place of slices and loops.
//!
//! What lies between two convolutions is written to memory, for cuDNN reads whole images. In training it is kept: the backward pass
//! reads it again, and so do the losses.

mod backward;
mod forward;
mod vector;

use super::Precision;
use super::values::{Values, dims_of_kept};
use crate::deferred::Voxels;
use crate::gpu::{Buffer, Norm, Queue, Rest, Tables};
use crate::resize::Resampling;
use crate::voxel_bytes::VoxelBytes;
use candle_core::{Result, bail};

pub(super) use backward::backward;
pub(super) use forward::{Image, forward};
pub(super) use vector::GpuVector;

/// What a forward pass makes.
pub(super) struct Forward {
    pub(super) tape: GpuTape,
    /// Of each head that ran, by its node: `(N, K, D, H, W)`, f32, and these sides.
    pub(super) heads: Vec<(usize, Buffer, [usize; 5])>,
}

/// What a forward pass keeps, on the GPU.
pub(super) struct GpuTape {
    pub(super) queue: Queue,
    /// The weights that it ran with, f32.
    weights: Buffer,
    /// `(n, d, h, w, c)` of every value.
    dims: Vec<[usize; 5]>,
    kept: Vec<Kept>,
}

enum Kept {
    /// Nothing (any more).
    Nothing,
    /// The values themselves.
    Image(Buffer),
    /// A normalised convolution.
    Unit(Box<KeptUnit>),
    /// Another value, whose channels are multiplied by factors, `(n, c)`; none in evaluation.
    Scaled { x: usize, factors: Option<Buffer> },
    /// Another value, resized.
    Resampled { x: usize, map: Resampling, tables: Tables },
}

struct KeptUnit {
    /// The convolution's output.
    middle: Buffer,
    norm: Norm,
    /// The unit's output, in training and where it is a sum; else it is computed from the middle where it is read.
    output: Option<Buffer>,
}

impl GpuTape {
    /// A value as convolutions read it.
    fn read(&self, value: usize) -> Result<Buffer> {
        match &self.kept[value] {
            Kept::Nothing => bail!("value {value} of the program is not kept"),
            Kept::Image(image) => Ok(image.clone()),
            Kept::Unit(unit) => match &unit.output {
                Some(output) => Ok(output.clone()),
                None => self.queue.activate(&unit.middle, self.dims[value], &unit.norm, Rest::default()),
            },
            Kept::Scaled { x, factors: None } => self.read(*x),
            Kept::Scaled { x, factors: Some(factors) } => {
                self.queue.scale(&self.read(*x)?, self.dims[value], factors)
            }
            Kept::Resampled { x, tables, .. } => {
                let [n, .., c] = self.dims[value];
                self.queue.resample(&self.read(*x)?, n, c, tables)
            }
        }
    }
}

impl Values for GpuTape {
    fn dims(&self, value: usize) -> Result<[usize; 5]> {
        let kept = self.kept.get(value).map(|kept| !matches!(kept, Kept::Nothing));
        dims_of_kept(value, self.dims.get(value), kept)
    }

    fn planes(&self, value: usize) -> Result<Vec<f32>> {
        self.queue.leave(&self.read(value)?, self.dims(value)?)
    }

    fn class_sums(
        &self,
        value: usize,
        voxels: Voxels,
        classes: &VoxelBytes,
        count: usize,
    ) -> Result<Vec<f64>> {
        let [.., channels] = self.dims(value)?;
        let there = classes.on(&self.queue.machine)?;
        let of = (voxels.first, &there, voxels.count);
        self.queue.class_sums(&self.read(value)?, of, count, channels)
    }

    fn at(&self, value: usize, voxels: Voxels, indices: &[usize]) -> Result<Vec<f32>> {
        let [.., channels] = self.dims(value)?;
        let indices: Vec<i64> = indices.iter().map(|index| (voxels.first + index) as i64).collect();
        self.queue.voxels(&self.read(value)?, &indices, channels)
    }
}
