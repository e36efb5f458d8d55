//! The part of an image that a task reads, between zeros where it reaches beyond the image.

use super::pad::Rows;
use super::scratch::Scratch;
use std::ops::{Deref, Range};

/// Voxels of an image `(n, d, h, w, c)` by their place along D, H and W; it may lie outside of the image.
pub(super) type Voxels = [Range<isize>; 3];

/// Bytes of a window that stays in the second cache beside weights and sums.
const WINDOW_BYTES: usize = 768 << 10;
/// Blocks that positions are cut into at the least, where there are enough of them: both cores are busy to the end.
const BLOCKS: usize = 16;
/// Voxels that are enough for a block.
const MIN_VOXELS: usize = 240;
/// What a block costs beside its input, in bytes that might be read instead.
const BLOCK_COST: usize = 64 << 10;

/// Cuts output positions along D and H, `groups` voxels in each row, into equal blocks whose input stays in the cache, so that
/// as little as possible is read for two of them. A position reads `reads` voxels along either axis, `step` apart from the
/// next position's, in rows of `row` bytes.
pub(super) fn cut(
    all: &[Range<usize>; 2],
    groups: usize,
    (reads, step): ([usize; 2], [usize; 2]),
    row: usize,
) -> Vec<[Range<usize>; 2]> {
    let len = [0, 1].map(|axis| all[axis].len());
    let most = (len[0] * len[1] * groups).div_ceil(BLOCKS).max(MIN_VOXELS);
    let mut best = ([1, 1], usize::MAX);
    for planes in 1..=len[0].min(16) {
        for rows in 1..=len[1] {
            let block = [planes, rows];
            let [d, h] = [0, 1].map(|axis| (block[axis] - 1) * step[axis] + reads[axis].max(step[axis]));
            if block != [1, 1] && (d * h * row > WINDOW_BYTES || planes * rows * groups > most) {
                break;
            }
            let blocks = [0, 1].map(|axis| len[axis].div_ceil(block[axis]));
            let cost = blocks[0] * blocks[1] * (d * h * row + BLOCK_COST);
            if cost < best.1 {
                best = (block, cost);
            }
        }
    }
    let parts = |axis: usize| {
        let (all, count) = (&all[axis], len[axis].div_ceil(best.0[axis]));
        let at = move |part: usize| all.start + part * all.len() / count;
        (0..count).map(move |part| at(part)..at(part + 1))
    };
    parts(0).flat_map(|d| parts(1).map(move |h| [d.clone(), h])).collect()
}

/// Some voxels of one image of a batch.
pub(super) struct Window<'a> {
    values: Values<'a>,
    /// The place of its first voxel.
    first: [isize; 3],
    /// From one plane, row and voxel to the next.
    pub(super) strides: [usize; 3],
}

enum Values<'a> {
    Own(Scratch<f32>),
    Lent(&'a [f32]),
}

impl Deref for Window<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match &self.values {
            Values::Own(values) => values,
            Values::Lent(values) => values,
        }
    }
}

impl<'a> Window<'a> {
    /// Of image `n`; where it lies in memory and the voxels need no zeros, it is lent as it is.
    pub(super) fn of(image: Rows<'a, f32>, n: usize, voxels: &Voxels) -> Self {
        let [_, depth, height, width, channels] = image.dims;
        let inside = (0..3).all(|i| voxels[i].start >= 0 && voxels[i].end <= image.dims[i + 1] as isize);
        if let (true, Some(whole)) = (inside, image.whole) {
            let size = depth * height * width * channels;
            let strides = [height * width * channels, width * channels, channels];
            return Window { values: Values::Lent(&whole[n * size..][..size]), first: [0; 3], strides };
        }
        // Rows are read whole.
        let [planes, lines, columns] = voxels;
        let columns = columns.start.min(0)..columns.end.max(width as isize);
        let row = columns.len() * channels;
        let strides = [lines.len() * row, row, channels];
        let mut values = Scratch::take(planes.len() * strides[0]);
        let before = columns.start.unsigned_abs() * channels;
        let inside = |place: isize, side: usize| usize::try_from(place).ok().filter(|place| *place < side);
        for (plane, z) in planes.clone().enumerate() {
            for (line, y) in lines.clone().enumerate() {
                let to = &mut values[plane * strides[0] + line * row..][..row];
                let (Some(z), Some(y)) = (inside(z, depth), inside(y, height)) else {
                    to.fill(0.0);
                    continue;
                };
                let (left, rest) = to.split_at_mut(before);
                let (middle, right) = rest.split_at_mut(width * channels);
                left.fill(0.0);
                right.fill(0.0);
                (image.read)((n * depth + z) * height + y, middle);
            }
        }
        Window { values: Values::Own(values), first: [planes.start, lines.start, columns.start], strides }
    }

    /// Where a voxel's values begin, which does not lie before the window's first.
    pub(super) fn at(&self, voxel: [isize; 3]) -> usize {
        assert!((0..3).all(|i| voxel[i] >= self.first[i]), "a kernel reads before its window");
        (0..3).map(|i| (voxel[i] - self.first[i]) as usize * self.strides[i]).sum()
    }
}
