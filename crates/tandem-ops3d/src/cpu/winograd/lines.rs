//! The transforms along D and H: of whole rows of voxels at once, value by value, whatever the channels.
//!
//! A group of rows of tiles becomes sixteen lines, one for each pair of points along D and H; each holds the group's rows of
//! voxels one after the other.

use super::super::gather::Store;
use super::super::scratch::Scratch;
use super::super::simd::{Lanes, One};
use super::voxels::{enter, leave, leave_transposed};
use std::ops::Range;

/// Lines of a group.
pub(super) const LINES: usize = 16;

/// Rows of tiles of an image in its frame, numbered through: image, plane of tiles, row of tiles.
pub(super) struct Rows {
    batch: usize,
    /// Sides with the frame.
    sides: [usize; 3],
    /// Tiles along each axis.
    tiles: [usize; 3],
}

impl Rows {
    /// Of an image `(n, d, h, w, c)` with its frame; its response is two voxels shorter along each axis.
    pub(super) fn new([batch, d, h, w, _]: [usize; 5]) -> Self {
        let sides = [d, h, w];
        Rows { batch, sides, tiles: sides.map(|side| side.saturating_sub(2).div_ceil(2)) }
    }

    /// Tiles in a row.
    pub(super) fn tiles(&self) -> usize {
        self.tiles[2]
    }

    /// All rows.
    pub(super) fn count(&self) -> usize {
        self.batch * self.tiles[0] * self.tiles[1]
    }

    /// Sides of the response.
    pub(super) fn response(&self) -> [usize; 3] {
        self.sides.map(|side| side.saturating_sub(2))
    }

    /// Voxels of all responses.
    pub(super) fn outputs(&self) -> usize {
        self.batch * self.response().iter().product::<usize>()
    }

    /// Image, and the first plane and row of voxels, of a row of tiles.
    fn place(&self, row: usize) -> [usize; 3] {
        let [depth, height, _] = self.tiles;
        [row / (depth * height), row / height % depth * 2, row % height * 2]
    }
}

/// Sixteen lines of a group.
pub(super) struct Lines {
    pub(super) values: Scratch<f32>,
    /// From one line to the next, and from one row of a line to the next.
    stride: usize,
    row: usize,
    channels: usize,
}

impl Lines {
    /// For groups of up to `count` rows of `voxels` voxels. The last vector of a row may reach `lanes` values further.
    pub(super) fn new(count: usize, voxels: usize, channels: usize, lanes: usize) -> Self {
        let row = voxels * channels;
        // Not a multiple of a page, else the lines share few places of the first cache.
        let stride = (count * row + lanes).next_multiple_of(1024) + 48;
        Lines { values: Scratch::take((LINES + 1) * stride), stride, row, channels }
    }

    /// Where a row of a line begins.
    pub(super) fn at(&self, line: usize, row: usize) -> usize {
        line * self.stride + row * self.row
    }

    /// Clears what lies behind the first values of a group's row.
    fn clear_from(&mut self, first: usize, row: usize) {
        for line in 0..LINES {
            let start = self.at(line, row);
            self.values[start + first..start + self.row].fill(0.0);
        }
    }

    /// A row beside the lines: what is read or written in place of rows that do not exist.
    fn spare(&mut self) -> *mut f32 {
        self.values[LINES * self.stride..].as_mut_ptr()
    }

    /// Transforms a group of rows of an image: `B' d`.
    ///
    /// # Safety
    /// The processor has the lanes' instructions.
    #[inline(always)]
    pub(super) unsafe fn image<L: Lanes>(&mut self, rows: &Rows, group: Range<usize>, image: &[f32]) {
        let [depth, height, width] = rows.sides;
        let len = (2 * rows.tiles() + 2).min(width) * self.channels;
        for (index, row) in group.enumerate() {
            let [n, z, y] = rows.place(row);
            let from = std::array::from_fn(|i| {
                // A row behind the last takes part in outputs that do not exist only: any will do.
                let (z, y) = ((z + i / 4).min(depth - 1), (y + i % 4).min(height - 1));
                image[((n * depth + z) * height + y) * width * self.channels..][..len].as_ptr()
            });
            // What lies behind the last voxel likewise, but chance must not make it NaN, which times zero is NaN.
            self.clear_from(len, index);
            let first = self.at(0, index);
            let to = self.values[first..].as_mut_ptr();
            // SAFETY: the rows were sliced; the lines have room for this one.
            unsafe { for_vectors::<L, _>(len, PlanesIn { from, to, stride: self.stride }) };
        }
    }

    /// Transforms a group of rows of a response's gradient: `A y`. Voxels that do not exist count as zero. `start` is the
    /// first value, `strides` are the distances of images, planes and rows.
    ///
    /// # Safety
    /// As [`Self::image`].
    #[inline(always)]
    pub(super) unsafe fn gradient<L: Lanes>(
        &mut self,
        rows: &Rows,
        group: Range<usize>,
        (response, start, strides): (&[f32], usize, [usize; 3]),
    ) {
        let [depth, height, width] = rows.response();
        let len = width * self.channels;
        let row_len = self.row;
        let zeros = self.spare();
        // SAFETY: the spare row is as long as the others.
        unsafe { std::slice::from_raw_parts_mut(zeros, row_len) }.fill(0.0);
        for (index, row) in group.enumerate() {
            let [n, z, y] = rows.place(row);
            let from = std::array::from_fn(|i| {
                let (z, y) = (z + i / 2, y + i % 2);
                if z >= depth || y >= height {
                    return zeros.cast_const();
                }
                response[start + n * strides[0] + z * strides[1] + y * strides[2]..][..len].as_ptr()
            });
            self.clear_from(len, index);
            let first = self.at(0, index);
            let to = self.values[first..].as_mut_ptr();
            // SAFETY: as in `image`.
            unsafe { for_vectors::<L, _>(len, PlanesOut { from, to, stride: self.stride }) };
        }
    }

    /// Transforms a group's lines to rows of a response: `A' m`.
    ///
    /// # Safety
    /// As [`Self::image`]; the output holds the whole response, and nobody else touches this group's rows.
    #[inline(always)]
    pub(super) unsafe fn response<L: Lanes>(
        &mut self,
        rows: &Rows,
        group: Range<usize>,
        (output, store): (*mut f32, Store),
    ) {
        let [depth, height, width] = rows.response();
        let len = width * self.channels;
        for (index, row) in group.enumerate() {
            let [n, z, y] = rows.place(row);
            let spare = self.spare();
            let to = std::array::from_fn(|i| {
                let (z, y) = (z + i / 2, y + i % 2);
                // SAFETY: the row exists, or is the spare one.
                if z < depth && y < height {
                    unsafe { output.add(((n * depth + z) * height + y) * len) }
                } else {
                    spare
                }
            });
            let from = self.values[self.at(0, index)..].as_ptr();
            // SAFETY: the caller's.
            unsafe {
                match store {
                    Store::Write => {
                        for_vectors::<L, _>(len, PlanesBack::<false> { from, stride: self.stride, to });
                    }
                    Store::Add => {
                        for_vectors::<L, _>(len, PlanesBack::<true> { from, stride: self.stride, to })
                    }
                }
            }
        }
    }
}

/// Does something to corresponding vectors of several rows.
trait AtVector {
    /// # Safety
    /// The processor has the lanes' instructions, and a whole vector exists from `at` on.
    unsafe fn run<L: Lanes>(&self, at: usize);
}

/// # Safety
/// The processor has the lanes' instructions, and the rows have `count` values.
#[inline(always)]
unsafe fn for_vectors<L: Lanes, W: AtVector>(count: usize, work: W) {
    let whole = count / L::COUNT * L::COUNT;
    // SAFETY: the caller's.
    unsafe {
        for at in (0..whole).step_by(L::COUNT) {
            work.run::<L>(at);
        }
        for at in whole..count {
            work.run::<One>(at);
        }
    }
}

struct PlanesIn {
    from: [*const f32; 16],
    to: *mut f32,
    stride: usize,
}

impl AtVector for PlanesIn {
    #[inline(always)]
    unsafe fn run<L: Lanes>(&self, at: usize) {
        // SAFETY: the caller's.
        unsafe {
            let mut values = [[L::splat(0.0); 4]; 4];
            for z in 0..4 {
                let value = |y: usize| L::load(self.from[4 * z + y].add(at));
                values[z] = enter([value(0), value(1), value(2), value(3)]);
            }
            for y in 0..4 {
                let column = enter([values[0][y], values[1][y], values[2][y], values[3][y]]);
                for z in 0..4 {
                    column[z].store(self.to.add((4 * z + y) * self.stride + at));
                }
            }
        }
    }
}

struct PlanesOut {
    from: [*const f32; 4],
    to: *mut f32,
    stride: usize,
}

impl AtVector for PlanesOut {
    #[inline(always)]
    unsafe fn run<L: Lanes>(&self, at: usize) {
        // SAFETY: the caller's.
        unsafe {
            let value = |i: usize| L::load(self.from[i].add(at));
            let rows = [leave_transposed([value(0), value(1)]), leave_transposed([value(2), value(3)])];
            for y in 0..4 {
                let column = leave_transposed([rows[0][y], rows[1][y]]);
                for z in 0..4 {
                    column[z].store(self.to.add((4 * z + y) * self.stride + at));
                }
            }
        }
    }
}

struct PlanesBack<const ADD: bool> {
    from: *const f32,
    stride: usize,
    to: [*mut f32; 4],
}

impl<const ADD: bool> AtVector for PlanesBack<ADD> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(&self, at: usize) {
        // SAFETY: the caller's.
        unsafe {
            let value = |z: usize, y: usize| L::load(self.from.add((4 * z + y) * self.stride + at));
            let mut rows = [[L::splat(0.0); 2]; 4];
            for z in 0..4 {
                rows[z] = leave([value(z, 0), value(z, 1), value(z, 2), value(z, 3)]);
            }
            for y in 0..2 {
                let column = leave([rows[0][y], rows[1][y], rows[2][y], rows[3][y]]);
                for z in 0..2 {
                    let to = self.to[2 * z + y].add(at);
                    if ADD { column[z].add(L::load(to)).store(to) } else { column[z].store(to) }
                }
            }
        }
    }
}
