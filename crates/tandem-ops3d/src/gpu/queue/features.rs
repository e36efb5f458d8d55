//! What losses want of features and add to their gradient. Features are stored `(voxels, channels)`, voxels counted over all images.

use super::{Argument, Buffer, Queue, int, long, summing};
use candle_core::Result;

impl Queue {
    /// Of each class the sums of the channels over its voxels, and behind them how many these are, `(count, channels + 1)`: of voxels
    /// from a first one on, a class each.
    pub(crate) fn class_sums(
        &self,
        x: &Buffer,
        (first, classes, voxels): (usize, &Buffer, usize),
        count: usize,
        channels: usize,
    ) -> Result<Vec<f64>> {
        let blocks = summing(voxels, channels);
        let (partials, sums) = (self.f64s(2 * blocks * channels)?, self.f64s(count * (channels + 1))?);
        let width = Argument::Int(int(channels)?);
        for class in 0..count {
            let arguments = [
                x.into(),
                classes.into(),
                (&partials).into(),
                long(first),
                long(voxels),
                width,
                Argument::Int(int(class)?),
            ];
            let (kernel, _) = self.form(["class_sums", "class_sums_wide"], channels);
            self.run(kernel, [blocks, 1, 1], &arguments)?;
            let to = sums.address() + (class * (channels + 1) * size_of::<f64>()) as u64;
            let arguments = [(&partials).into(), Argument::Int(int(blocks)?), width, Argument::Pointer(to)];
            self.run("class_totals", [channels, 1, 1], &arguments)?;
        }
        sums.values(count * (channels + 1))
    }

    /// The channels of some voxels, `(voxels, channels)`.
    pub(crate) fn voxels(&self, x: &Buffer, voxels: &[i64], channels: usize) -> Result<Vec<f32>> {
        let count = voxels.len() * channels;
        let (there, to) = (Buffer::of(&self.machine, voxels)?, self.f32s(count)?);
        let arguments = [x.into(), (&there).into(), (&to).into(), long(count), Argument::Int(int(channels)?)];
        self.run_each("take_voxels", count, &arguments)?;
        to.values(count)
    }

    /// Adds to voxels from a first one on, a class each, the vector of their class, `(class, channels)`, where it has one.
    pub(crate) fn add_to_classes(
        &self,
        y: &Buffer,
        (first, classes, voxels): (usize, &Buffer, usize),
        vectors: &[f32],
        channels: usize,
    ) -> Result<()> {
        let from = self.copy(vectors)?;
        let count = voxels * channels;
        let arguments = [
            classes.into(),
            (&from).into(),
            Argument::Int(int(vectors.len() / channels.max(1))?),
            y.into(),
            long(first),
            long(count),
            Argument::Int(int(channels)?),
        ];
        self.run_each("add_to_classes", count, &arguments)
    }

    /// Adds vectors `(voxels, channels)` to voxels, none of which stands twice.
    pub(crate) fn add_to_voxels(
        &self,
        y: &Buffer,
        voxels: &[i64],
        vectors: &[f32],
        channels: usize,
    ) -> Result<()> {
        let (there, from) = (Buffer::of(&self.machine, voxels)?, self.copy(vectors)?);
        let arguments =
            [(&there).into(), (&from).into(), y.into(), long(vectors.len()), Argument::Int(int(channels)?)];
        self.run_each("add_to_voxels", vectors.len(), &arguments)
    }
}
