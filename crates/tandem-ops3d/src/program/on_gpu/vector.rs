//! Vectors of weights on a GPU.

use super::super::Precision;
use super::super::vector::Descent;
use crate::gpu::{Buffer, Gpu, Queue};
use candle_core::Result;
use std::ops::Range;

/// A vector as long as a network's weights, f32.
pub(in super::super) struct GpuVector {
    pub(super) queue: Queue,
    pub(super) buffer: Buffer,
    len: usize,
}

impl GpuVector {
    pub(in super::super) fn of(gpu: &Gpu, values: &[f32]) -> Result<Self> {
        // Weights are f32 whatever activations are stored as.
        let queue = Queue { machine: gpu.machine.clone(), precision: Precision::F32 };
        Ok(GpuVector { buffer: queue.copy(values)?, len: values.len(), queue })
    }

    /// Another one of this length, of unspecified values.
    pub(in super::super) fn like(&self) -> Result<Self> {
        Ok(GpuVector { queue: self.queue.clone(), buffer: self.queue.f32s(self.len)?, len: self.len })
    }

    pub(in super::super) fn clear(&mut self) -> Result<()> {
        self.buffer.clear()
    }

    pub(in super::super) fn len(&self) -> usize {
        self.len
    }

    /// Values of a range that is part of it.
    pub(in super::super) fn read(&self, range: Range<usize>) -> Result<Vec<f32>> {
        let mut values = vec![0.0; range.len()];
        self.buffer.download_from(range.start, &mut values)?;
        Ok(values)
    }

    pub(in super::super) fn sums_of_squares(&self) -> Result<Vec<f64>> {
        self.queue.sums_of_squares(&self.buffer, self.len)
    }

    pub(in super::super) fn scale(&mut self, factor: f32) -> Result<()> {
        self.queue.multiply(&self.buffer, self.len, factor)
    }

    /// Adds another one of this length.
    pub(in super::super) fn add(&mut self, other: &Self) -> Result<()> {
        self.queue.add(&other.buffer, &self.buffer, self.len)
    }

    /// A step by a gradient and a momentum of this length, of which a share stays.
    pub(in super::super) fn descend(
        &mut self,
        gradient: &Self,
        momentum: &mut Self,
        stays: f64,
        step: &Descent,
    ) -> Result<()> {
        let buffers = [&self.buffer, &gradient.buffer, &momentum.buffer];
        // What it moves by: so much of d, so much of the momentum.
        let [own, ahead] = if step.nesterov { [1.0, step.momentum] } else { [0.0, 1.0] };
        let numbers = [step.rate, step.weight_decay, stays, own, ahead];
        self.queue.descend(buffers, self.len, numbers)
    }

    /// The average with another one of this length.
    pub(in super::super) fn follow(&mut self, other: &Self, decay: f64) -> Result<()> {
        self.queue.follow(&self.buffer, &other.buffer, self.len, decay)
    }
}
