//! The transforms along D and H: of whole rows of voxels at once, value by value, whatever the channels.
//!
//! A group of rows of tiles becomes sixteen lines, one for each pair of points along D and H; each holds the group's rows of
//! voxels one after the other.

use super::super::gather::Store;
use super::super::pad::Rows;
use super::super::scratch::Scratch;
use super::super::simd::{Lanes, One, STREAMED_BYTES, Target};
use super::voxels::{enter, leave, leave_transposed};
use std::ops::Range;

/// Lines of a group.
pub(super) const LINES: usize = 16;

/// Rows of tiles of an image, numbered through: image, plane of tiles, row of tiles.
pub(super) struct TileRows {
    batch: usize,
    /// Sides of the image, and zeros on both sides of each axis.
    image: [usize; 3],
    frame: [usize; 3],
    /// Tiles along each axis.
    tiles: [usize; 3],
}

impl TileRows {
    /// Of an image `(n, d, h, w, c)`; its response is two voxels shorter along each axis than the image in its frame.
    pub(super) fn new([batch, d, h, w, _]: [usize; 5], frame: [usize; 3]) -> Self {
        let mut rows = TileRows { batch, image: [d, h, w], frame, tiles: [0; 3] };
        rows.tiles = rows.response().map(|side| side.div_ceil(2));
        rows
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
    fn response(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| (self.image[axis] + 2 * self.frame[axis]).saturating_sub(2))
    }

    /// Voxels of all responses.
    pub(super) fn outputs(&self) -> usize {
        self.batch * self.response().iter().product::<usize>()
    }

    /// Image, and the first plane and row of the response's voxels, of a row of tiles.
    fn place(&self, row: usize) -> [usize; 3] {
        let [depth, height, _] = self.tiles;
        [row / (depth * height), row / height % depth * 2, row % height * 2]
    }

    /// The first rows of a group that lie in one plane of tiles.
    fn in_one_plane(&self, group: &Range<usize>) -> Range<usize> {
        let height = self.tiles[1];
        group.start..group.end.min((group.start / height + 1) * height)
    }
}

/// Rows of voxels, in their frame, that a group's tiles are made of.
pub(super) struct Window {
    values: Scratch<f32>,
    stride: usize,
}

impl Window {
    /// For an image of so many channels and `count` rows of tiles at once.
    pub(super) fn of_image(rows: &TileRows, count: usize, channels: usize) -> Self {
        Self::new(4 * (2 * count + 2), (2 * rows.tiles() + 2) * channels)
    }

    /// For the gradient of a response, one row of tiles at once.
    pub(super) fn of_response(rows: &TileRows, channels: usize) -> Self {
        Self::new(4, 2 * rows.tiles() * channels)
    }

    fn new(count: usize, row: usize) -> Self {
        // Not a multiple of a page, else rows share few places of the first cache.
        let stride = row.next_multiple_of(16) + 16;
        Window { values: Scratch::take(count * stride), stride }
    }

    /// Reads a row of an image between zeros, or zeros where there is no such row.
    fn read(&mut self, at: usize, image: Rows<f32>, row: Option<usize>, before: usize) {
        let [_, _, _, width, channels] = image.dims;
        let target = &mut self.values[at * self.stride..][..self.stride];
        let Some(row) = row else { return target.fill(0.0) };
        let (left, rest) = target.split_at_mut(before * channels);
        let (inside, right) = rest.split_at_mut(width * channels);
        left.fill(0.0);
        right.fill(0.0);
        (image.read)(row, inside);
    }

    fn row(&self, at: usize) -> *const f32 {
        self.values[at * self.stride..].as_ptr()
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

    /// Transforms a group of rows of an image: `B' d`.
    ///
    /// # Safety
    /// The processor has the lanes' instructions.
    #[inline(always)]
    pub(super) unsafe fn image<L: Lanes>(
        &mut self,
        rows: &TileRows,
        group: Range<usize>,
        image: Rows<f32>,
        window: &mut Window,
    ) {
        let ([depth, height, _], [before_d, before_h, before_w]) = (rows.image, rows.frame);
        let mut rest = group.clone();
        while !rest.is_empty() {
            let run = rows.in_one_plane(&rest);
            rest.start = run.end;
            let [n, first_z, first_y] = rows.place(run.start);
            let lines = 2 * run.len() + 2;
            for at in 0..4 * lines {
                let z = (first_z + at / lines).wrapping_sub(before_d);
                let y = (first_y + at % lines).wrapping_sub(before_h);
                let row = (z < depth && y < height).then(|| (n * depth + z) * height + y);
                window.read(at, image, row, before_w);
            }
            for (index, row) in run.enumerate() {
                let from = std::array::from_fn(|i| window.row(i / 4 * lines + 2 * index + i % 4));
                let first = self.at(0, row - group.start);
                let to = self.values[first..].as_mut_ptr();
                // SAFETY: the window's rows are as long as those of the lines, which have room for this one.
                unsafe { for_vectors::<L, _>(self.row, PlanesIn { from, to, stride: self.stride }) };
            }
        }
    }

    /// Transforms a group of rows of a response's gradient: `A y`. Voxels that do not exist count as zero.
    ///
    /// # Safety
    /// As [`Self::image`].
    #[inline(always)]
    pub(super) unsafe fn gradient<L: Lanes>(
        &mut self,
        rows: &TileRows,
        group: Range<usize>,
        response: Rows<f32>,
        window: &mut Window,
    ) {
        let [depth, height, _] = rows.response();
        for (index, row) in group.enumerate() {
            let [n, z, y] = rows.place(row);
            for at in 0..4 {
                let (z, y) = (z + at / 2, y + at % 2);
                let row = (z < depth && y < height).then(|| (n * depth + z) * height + y);
                window.read(at, response, row, 0);
            }
            let from = std::array::from_fn(|i| window.row(i));
            let first = self.at(0, index);
            let to = self.values[first..].as_mut_ptr();
            // SAFETY: as in `image`.
            unsafe { for_vectors::<L, _>(self.row, PlanesOut { from, to, stride: self.stride }) };
        }
    }

    /// A row beside the lines: what is written in place of rows that do not exist.
    fn spare(&mut self) -> *mut f32 {
        self.values[LINES * self.stride..].as_mut_ptr()
    }

    /// Transforms a group's lines to some channels of a response's rows, which has `all` of them: `A' m`.
    ///
    /// # Safety
    /// As [`Self::image`]; the output holds the whole response, and nobody else touches this group's rows and channels.
    #[inline(always)]
    pub(super) unsafe fn response<L: Lanes>(
        &mut self,
        rows: &TileRows,
        group: Range<usize>,
        (output, store): (Target, Store),
        channels: Range<usize>,
        all: usize,
    ) {
        let [depth, height, width] = rows.response();
        // Rows of all channels, with none between voxels, are written from end to end, others voxel by voxel.
        let (runs, len) = if self.channels == all { (1, width * all) } else { (width, channels.len()) };
        let stream = rows.outputs() * all * size_of::<f32>() >= STREAMED_BYTES;
        for (index, row) in group.enumerate() {
            let [n, z, y] = rows.place(row);
            let spare = self.spare();
            let first = self.values[self.at(0, index)..].as_ptr();
            let stride = self.stride;
            for run in 0..runs {
                let from = first.wrapping_add(run * self.channels);
                let to = std::array::from_fn(|i| {
                    let (z, y) = (z + i / 2, y + i % 2);
                    let at = (((n * depth + z) * height + y) * width + run) * all + channels.start;
                    // Outside of the output where the row does not exist: then it is not used.
                    if z < depth && y < height { output.at(at) } else { spare }
                });
                // SAFETY: the caller's.
                unsafe {
                    match store {
                        Store::Write if stream => {
                            for_vectors::<L, _>(len, PlanesBack::<STREAM> { from, stride, to });
                        }
                        Store::Write => for_vectors::<L, _>(len, PlanesBack::<WRITE> { from, stride, to }),
                        Store::Add => for_vectors::<L, _>(len, PlanesBack::<ADD> { from, stride, to }),
                    }
                }
            }
        }
        // SAFETY: the caller's.
        unsafe { L::finish() };
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

/// How [`PlanesBack`] stores.
const WRITE: u8 = 0;
const STREAM: u8 = 1;
const ADD: u8 = 2;

struct PlanesBack<const STORE: u8> {
    from: *const f32,
    stride: usize,
    to: [*mut f32; 4],
}

impl<const STORE: u8> AtVector for PlanesBack<STORE> {
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
                    match STORE {
                        ADD => column[z].add(L::load(to)).store(to),
                        STREAM => column[z].stream(to),
                        _ => column[z].store(to),
                    }
                }
            }
        }
    }
}
