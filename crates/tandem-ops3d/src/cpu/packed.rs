//! Weights in the order in which [`super::gather`] reads them.

use super::scratch::Scratch;
use super::simd::{Target, Unit};
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

/// Where weights lie in a parameter: each row and each output adds its part. A row and an output whose voxels meet in no tap
/// have none.
pub(crate) struct Addresses<'a> {
    /// Address and voxel of each row, in the order of the spans.
    pub(crate) rows: &'a [(usize, usize)],
    /// Address and voxel of each output.
    pub(crate) outputs: &'a [(usize, usize)],
    /// The tap by which a row's voxel reaches an output's, where there are several of either.
    pub(crate) tap: Option<&'a (dyn Fn(usize, usize) -> Option<usize> + Sync)>,
}

/// Rows that are packed at once: what they read for all outputs of a block stays in the first cache.
const ROWS: usize = 128;
/// The widest block.
pub(super) const WIDTH: usize = 64;

impl Packed {
    pub(crate) fn new(parameter: &[f32], addresses: &Addresses) -> Self {
        let (rows, channels) = (addresses.rows.len(), addresses.outputs.len());
        let unit = Unit::for_channels(channels);
        let padded = channels.next_multiple_of(unit.lanes());
        let widest = unit.block_vectors(channels) * unit.lanes();
        let mut values = Scratch::take(rows * padded);
        // In the order of their addresses, whatever that of the spans: neighbours in memory are read together.
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_unstable_by_key(|row| addresses.rows[*row].0);
        let target = Target::new(&mut values);
        let blocks = padded.div_ceil(widest);
        let chunks = rows.div_ceil(ROWS);
        (0..blocks * chunks).into_par_iter().for_each(|index| {
            let (block, chunk) = (index / chunks, index % chunks);
            let first = block * widest;
            let width = (padded - first).min(widest);
            let order = &order[chunk * ROWS..rows.min((chunk + 1) * ROWS)];
            let mut transposed = [0.0; ROWS * WIDTH];
            let outputs = &addresses.outputs[first..channels.min(first + width)];
            addresses.read(parameter, order, outputs, &mut transposed);
            for (row, values) in order.iter().zip(transposed.chunks_exact(WIDTH)) {
                // SAFETY: a block has a place for each row, and the rows of an order are distinct.
                unsafe {
                    target.at(first * rows + row * width).copy_from_nonoverlapping(values.as_ptr(), width);
                }
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
    /// The weights of some rows and outputs, `(row, output)` in rows of [`WIDTH`].
    fn read(&self, parameter: &[f32], rows: &[usize], outputs: &[(usize, usize)], to: &mut [f32]) {
        let rows: Vec<(usize, usize)> = rows.iter().map(|row| self.rows[*row]).collect();
        let taps = self.taps(&rows, outputs);
        let weight = |(start, voxel): (usize, usize), (offset, output): (usize, usize)| match &taps {
            None => parameter[start + offset],
            Some(taps) => taps[voxel][output].map_or(0.0, |tap| parameter[start + offset + tap]),
        };
        // Along the axis whose weights lie closer together.
        let apart = |of: &[(usize, usize)]| of.get(1).map_or(0, |second| second.0.abs_diff(of[0].0));
        if apart(outputs) < apart(&rows) {
            for (to, row) in to.chunks_exact_mut(WIDTH).zip(&rows) {
                to.iter_mut().zip(outputs).for_each(|(to, output)| *to = weight(*row, *output));
            }
        } else {
            for (column, output) in outputs.iter().enumerate() {
                let to = to.chunks_exact_mut(WIDTH).zip(&rows);
                to.for_each(|(to, row)| to[column] = weight(*row, *output));
            }
        }
    }

    /// [`Self::tap`] of every voxel of these rows and outputs.
    fn taps(&self, rows: &[(usize, usize)], outputs: &[(usize, usize)]) -> Option<Vec<Vec<Option<usize>>>> {
        let tap = self.tap?;
        let voxels = |of: &[(usize, usize)]| 0..of.iter().map(|(_, voxel)| voxel + 1).max().unwrap_or(0);
        Some(voxels(rows).map(|row| voxels(outputs).map(|output| tap(row, output)).collect()).collect())
    }
}
