//! Weights in the order in which [`super::gather`] reads them.

use super::scratch::Scratch;
use super::simd::Unit;
use rayon::prelude::*;

/// For each block of vectors of channels, the last one of fewer, a matrix `(row, channel)`. A row is one value of one span.
pub(crate) struct Packed {
    values: Scratch<f32>,
    pub(super) rows: usize,
    pub(super) channels: usize,
    pub(super) unit: Unit,
    /// Channels of a block.
    pub(super) width: usize,
}

/// Where weights lie in a parameter whose outputs' channels lie side by side.
pub(crate) struct Addresses<'a> {
    /// Address and voxel of each row, in the order of the spans.
    pub(crate) rows: &'a [(usize, usize)],
    /// Voxels of an output, and channels of each.
    pub(crate) outputs: [usize; 2],
    /// What the tap by which a row's voxel reaches an output's adds to the address; none where they do not meet.
    pub(crate) tap: &'a (dyn Fn(usize, usize) -> Option<usize> + Sync),
}

/// Rows that are packed at once.
const ROWS: usize = 128;
/// The widest block.
pub(super) const WIDTH: usize = 64;

impl Packed {
    pub(crate) fn new(parameter: &[f32], addresses: &Addresses) -> Self {
        let (rows, channels) = (addresses.rows.len(), addresses.outputs.iter().product::<usize>());
        let unit = Unit::for_channels(channels);
        let padded = channels.next_multiple_of(unit.lanes());
        let widest = unit.block_vectors(channels) * unit.lanes();
        let mut values = Scratch::take(rows * padded);
        let mut parts = Vec::new();
        for (block, values) in values.chunks_mut((rows * widest).max(1)).enumerate() {
            let first = block * widest;
            let width = (padded - first).min(widest);
            let chunks = addresses.rows.chunks(ROWS).zip(values.chunks_mut(ROWS * width));
            parts.extend(chunks.map(|(rows, values)| (first, width, rows, values)));
        }
        parts.into_par_iter().for_each(|(first, width, rows, values)| {
            for (row, values) in rows.iter().zip(values.chunks_exact_mut(width)) {
                addresses.read(parameter, *row, first, values);
            }
        });
        Packed { values, rows, channels, unit, width: widest }
    }
}

impl Packed {
    /// The weights to channels from `channel` on, which begins a block.
    pub(super) fn block(&self, channel: usize) -> &[f32] {
        &self.values[channel * self.rows..]
    }

    /// Blocks of channels.
    pub(super) fn blocks(&self) -> usize {
        self.channels.div_ceil(self.width)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.values)
    }
}

impl Addresses<'_> {
    /// The weights of a row to outputs from `first` on; zeros where there is none.
    fn read(&self, parameter: &[f32], (start, from): (usize, usize), first: usize, mut to: &mut [f32]) {
        let [voxels, channels] = self.outputs;
        let (mut voxel, mut channel) = (first / channels, first % channels);
        while voxel < voxels && !to.is_empty() {
            let (these, rest) = to.split_at_mut(to.len().min(channels - channel));
            match (self.tap)(from, voxel) {
                Some(tap) => these.copy_from_slice(&parameter[start + tap + channel..][..these.len()]),
                None => these.fill(0.0),
            }
            (voxel, channel, to) = (voxel + 1, 0, rest);
        }
        to.fill(0.0);
    }
}
