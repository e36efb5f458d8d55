//! How the voxels of a weight gradient are cut into blocks that the cache holds.

use super::plan::{DEPTH, WIDTH};
use crate::conv_shape::ConvShape;
use std::ops::Range;

/// Bytes of a block's factors: they stay in the second-level cache while all taps pass over them. Tests have
/// images of one block and of several.
const BLOCK_BYTES: usize = if cfg!(test) { 60 << 10 } else { 900 << 10 };
/// Values of the sums of all parts together.
const SUM_VALUES: usize = 1 << 20;

/// Planes and rows of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Planes of all images of a batch, numbered through.
    pub(super) planes: Range<usize>,
    pub(super) rows: Range<usize>,
    /// Planes of all images in their frames that these planes' filters touch.
    pub(super) image_planes: Range<usize>,
}

/// A way to cut, the same for all blocks.
pub(super) struct Cut {
    /// Voxels from one row of the response to the next, with zeros between.
    pub(super) pitch: usize,
    /// Rows of an image's share beyond those of the response.
    pub(super) overlap: usize,
    /// Shares into which the image is dealt along H and W, by position modulo the stride.
    pub(super) shares: [usize; 2],
    /// Whether pairs may begin at even voxels only (1) or at odd ones as well (2).
    pub(super) parities: usize,
    /// Tiles in a plane of a block.
    pub(super) chunks: usize,
    /// Pairs in a plane of a share.
    pub(super) pairs: usize,
    blocks: Vec<Block>,
}

impl Cut {
    pub(super) fn new(shape: &ConvShape) -> Self {
        let [depth, height, width] = shape.response;
        let ([kd, kh, kw], [sd, sh, sw]) = (shape.kernel, shape.params.stride);
        let (pitch, overlap) = (width + (kw - 1) / sw, (kh - 1) / sh);
        let odd = |tap: usize| (tap / kw / sh * pitch + tap % kw / sw) % 2 == 1;
        let mut cut = Cut {
            pitch,
            overlap,
            shares: [sh.min(kh), sw.min(kw)],
            parities: if (0..kh * kw).any(odd) { 2 } else { 1 },
            chunks: 0,
            pairs: 0,
            blocks: Vec::new(),
        };
        let planes = shape.batch * depth;
        if planes == 0 || height == 0 || width == 0 {
            return cut;
        }
        let (rows, planes_each) = cut.cheapest(shape);
        (cut.chunks, cut.pairs) = cut.sizes(rows);
        let image_depth = (depth - 1) * sd + kd;
        // Planes of an image that no filter touches may follow its last.
        let stored_depth = shape.image[0] + 2 * shape.params.padding[0];
        debug_assert!(image_depth <= stored_depth);
        let touched = |plane: usize| plane / depth * stored_depth + plane % depth * sd;
        for first in (0..planes).step_by(planes_each) {
            for row in (0..height).step_by(rows) {
                let last = planes.min(first + planes_each);
                cut.blocks.push(Block {
                    planes: first..last,
                    rows: row..height.min(row + rows),
                    image_planes: touched(first)..touched(last - 1) + kd,
                });
            }
        }
        cut
    }

    pub(super) fn shares(&self) -> usize {
        self.shares[0] * self.shares[1]
    }

    /// Parts of the voxels with sums of their own, of `size` values: enough for many cores.
    pub(super) fn parts(&self, size: usize) -> usize {
        (SUM_VALUES / size.max(1)).clamp(1, 32).min(self.blocks.len().max(1))
    }

    /// Whether all voxels are one block.
    pub(super) fn is_whole(&self) -> bool {
        self.blocks.len() == 1
    }

    /// The blocks of one part.
    pub(super) fn part(&self, part: usize, parts: usize) -> &[Block] {
        let count = self.blocks.len();
        &self.blocks[part * count / parts..(part + 1) * count / parts]
    }

    /// Tiles and pairs of a plane of so many rows.
    fn sizes(&self, rows: usize) -> (usize, usize) {
        let chunks = (rows * self.pitch).div_ceil(DEPTH);
        (chunks, chunks * DEPTH / 2 + (self.overlap * self.pitch + self.pitch) / 2 + 1)
    }

    /// Rows and planes of a block that fits into the cache, at the least cost for each row.
    fn cheapest(&self, shape: &ConvShape) -> (usize, usize) {
        let (planes, height) = (shape.batch * shape.response[0], shape.response[1]);
        let [ci_tiles, co_tiles] = [shape.ci, shape.co].map(|channels| channels.div_ceil(WIDTH));
        let (count, taps) = (ci_tiles.min(2), shape.kernel.iter().product::<usize>());
        let (kd, sd) = (shape.kernel[0], shape.params.stride[0]);
        let mut best = (f64::INFINITY, 1, 1);
        for cuts in 1..=height {
            let rows = height.div_ceil(cuts);
            let (chunks, pairs) = self.sizes(rows);
            let image_tiles = self.shares() * count;
            let image_bytes = image_tiles * self.parities * pairs * 64;
            let response_bytes = co_tiles * chunks * 1024;
            let margin = kd.saturating_sub(sd) * image_bytes;
            let fit = BLOCK_BYTES.saturating_sub(margin) / (sd * image_bytes + response_bytes);
            let fit = if rows == 1 { fit.max(1) } else { fit }.min(planes);
            if fit == 0 {
                continue;
            }
            let each = planes.div_ceil(planes.div_ceil(fit));
            // Cycles: preparing both factors, multiplying, reading and writing the sums.
            let prepare = ((each - 1) * sd + kd) * image_tiles * (1 + self.parities) * pairs * 2
                + each * co_tiles * chunks * 110;
            let products = taps * count * co_tiles;
            let cycles = prepare + each * chunks * products * 16 + products * 60;
            // Blocks that are cut short at the end cost as much as whole ones.
            let useful = height as f64 / height.div_ceil(rows) as f64 * each as f64;
            let cost = cycles as f64 / useful;
            if cost < best.0 {
                best = (cost, rows, each);
            }
        }
        (best.1, best.2)
    }
}
