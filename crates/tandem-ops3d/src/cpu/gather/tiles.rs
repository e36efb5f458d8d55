//! Images of one channel by five to eight taps in a row: Winograd's minimal filtering along W, F(4, 4).
//!
//! Four neighbouring outputs by four taps take seven products in place of sixteen, `y = A' [(G g) . (B' d)]` (Winograd 1980;
//! Lavin and Gray, arXiv 1509.09308), at the points 0, 1, -1, 2, -2, 1/2 and infinity. More taps are two filters of four, the
//! second one with zeros behind its last tap. What they read lies four voxels apart, as neighbouring tiles do, so that the
//! points of a tile serve both, and the sums of both, of all rows of a filter, stay at the points: 14 products for each row
//! in place of the 28 of seven taps.
//!
//! The factors of `A'` and `B'` are exact in f32; the result is within a few roundings of the direct sum's.

use super::super::packed::WIDTH;
use super::super::scratch::Scratch;
use super::super::simd::Lanes;
use super::single::add;
use super::{Task, store};

/// Outputs of a tile, and taps of one of the two filters.
const TILE: usize = 4;
/// Points of a tile.
const POINTS: usize = 7;
/// Tiles of a block.
const BLOCK: usize = 10;

/// `B'`, each row times a power of two that `G` makes good.
const ENTER: [[f32; POINTS]; POINTS] = [
    [-0.5, 1.0, 0.625, -1.25, -0.125, 0.25, 0.0],
    [0.0, 0.5, -0.5, -1.125, 0.125, 0.25, 0.0],
    [0.0, -0.25, 0.75, -0.4375, -0.1875, 0.125, 0.0],
    [0.0, 0.5, -0.75, -1.0, 0.75, 0.5, 0.0],
    [0.0, -0.5, 1.25, 0.0, -1.25, 0.5, 0.0],
    [0.0, 1.0, 0.0, -1.25, 0.0, 0.25, 0.0],
    [0.0, -0.5, 1.0, 0.625, -1.25, -0.125, 0.25],
];
/// `G`.
const EXPAND: [[f32; TILE]; POINTS] = [
    [-2.0, 0.0, 0.0, 0.0],
    [-4.0 / 3.0, -4.0 / 3.0, -4.0 / 3.0, -4.0 / 3.0],
    [8.0 / 9.0, -8.0 / 9.0, 8.0 / 9.0, -8.0 / 9.0],
    [1.0 / 18.0, 1.0 / 9.0, 2.0 / 9.0, 4.0 / 9.0],
    [-1.0 / 30.0, 1.0 / 15.0, -2.0 / 15.0, 4.0 / 15.0],
    [128.0 / 45.0, 64.0 / 45.0, 32.0 / 45.0, 16.0 / 45.0],
    [0.0, 0.0, 0.0, 4.0],
];

impl Task<'_> {
    /// Computes a task in blocks of two rows by [`BLOCK`] tiles times one vector.
    ///
    /// # Safety
    /// As [`Self::blocks`]; the form fits.
    #[inline(always)]
    pub(super) unsafe fn tiles<L: Lanes>(&self) {
        let [depth, height, _] = self.part.at.each_ref().map(|at| at.len());
        // SAFETY: the caller's.
        let image = unsafe { Image::new::<L>(self) };
        for first in (0..self.valid).step_by(L::COUNT) {
            // SAFETY: the caller's.
            let filter = unsafe { Filter::new::<L>(self, first) };
            for d in 0..depth {
                for h in (0..height).step_by(2) {
                    let mut tile = 0;
                    while tile < image.tiles {
                        let at = [d, h, tile];
                        // SAFETY: the caller's; the image has points for so many tiles more than there are.
                        tile += unsafe {
                            match (image.tiles - tile >= BLOCK - 1, h + 1 < height) {
                                (true, true) => self.block_of_tiles::<L, BLOCK, true>(at, &image, &filter),
                                (true, false) => self.block_of_tiles::<L, BLOCK, false>(at, &image, &filter),
                                (false, true) => self.block_of_tiles::<L, 4, true>(at, &image, &filter),
                                (false, false) => self.block_of_tiles::<L, 4, false>(at, &image, &filter),
                            }
                        };
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`Self::tiles`]; the second row exists if there are to be `TWO`. Tiles beyond the last are computed for nothing.
    #[inline(always)]
    unsafe fn block_of_tiles<L: Lanes, const R: usize, const TWO: bool>(
        &self,
        [d, h, tile]: [usize; 3],
        image: &Image,
        filter: &Filter,
    ) -> usize {
        let rows = if TWO { 2 } else { 1 };
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [[[L::splat(0.0); R]; 2]; POINTS];
            for (point, sums) in sums.iter_mut().enumerate() {
                let [mut upper, mut lower] = [[L::splat(0.0); R]; 2];
                for plane in 0..filter.planes {
                    let weight = |line: usize| filter.at::<L>(point, plane, line);
                    let from = |line: usize| image.at(point, d * self.plan.step[0] + plane, h + line, tile);
                    add::<L, R, 2>(&mut upper, from(0), weight(0), L::COUNT);
                    for line in 1..filter.lines {
                        if TWO {
                            let weights = [weight(line), weight(line - 1)];
                            add_to_both::<L, R>(&mut upper, &mut lower, from(line), weights);
                        } else {
                            add::<L, R, 2>(&mut upper, from(line), weight(line), L::COUNT);
                        }
                    }
                    if TWO {
                        add::<L, R, 2>(&mut lower, from(filter.lines), weight(filter.lines - 1), L::COUNT);
                    }
                }
                *sums = [upper, lower];
            }
            let [first_d, first_h, first] = self.part.at.each_ref().map(|at| at.start);
            let valid = (self.valid - filter.first).min(L::COUNT);
            let bias = L::load(filter.bias.as_ptr());
            let step = self.plan.output_step[2];
            for row in 0..rows {
                let group = first + TILE * tile;
                let [_, to] = self.place([first_d + d, first_h + h + row, group]);
                let to = self.target.at(to + self.channel + filter.first);
                let groups = (self.part.at[2].end - group).min(TILE * R);
                for r in 0..groups.div_ceil(TILE) {
                    let outputs = leave(std::array::from_fn(|point| sums[point][row][r]), bias);
                    for (i, output) in outputs.into_iter().enumerate().take(groups - TILE * r) {
                        let to = to.wrapping_add((TILE * r + i) * step);
                        store::<L, 1>(&[output], to, valid, (self.plan.store, self.stream));
                    }
                }
            }
        }
        R
    }
}

/// The points of a task's image: for each point, plane and line a row of tiles.
struct Image {
    values: Scratch<f32>,
    lines: usize,
    planes: usize,
    row: usize,
    /// Tiles of outputs in a row.
    tiles: usize,
}

impl Image {
    /// `B' d`.
    ///
    /// # Safety
    /// As [`Task::tiles`].
    #[inline(always)]
    unsafe fn new<L: Lanes>(task: &Task) -> Self {
        let at = &task.part.at;
        let read =
            |axis: usize| task.part.class.reads[axis].len() + (at[axis].len() - 1) * task.plan.step[axis];
        let [planes, lines, columns] = [0, 1, 2].map(read);
        let tiles = at[2].len().div_ceil(TILE);
        // The last tile's second filter reads one tile more; blocks compute some that do not exist.
        let row = (tiles + BLOCK).next_multiple_of(L::COUNT);
        let mut values = Scratch::<f32>::take(POINTS * planes * lines * row);
        // Each fourth voxel of a row side by side, and zeros behind them: one row for each of the four.
        let phase = row + L::COUNT;
        let mut phases = Scratch::<f32>::take(TILE * phase);
        phases.fill(0.0);
        let [first, _] = task.place(at.each_ref().map(|at| at.start));
        for line in 0..planes * lines {
            let [plane, row_of_plane] = [line / lines, line % lines];
            let from = first + plane * task.window.strides[0] + row_of_plane * task.window.strides[1];
            for (tile, voxels) in task.window[from..from + columns].chunks(TILE).enumerate() {
                for (i, voxel) in voxels.iter().enumerate() {
                    phases[i * phase + tile] = *voxel;
                }
            }
            for tile in (0..row).step_by(L::COUNT) {
                // SAFETY: phases are a vector longer than a row of tiles; each point has a row for each line.
                unsafe {
                    let voxel = |i: usize| L::load(phases.as_ptr().add(i % TILE * phase + tile + i / TILE));
                    let voxels: [L; POINTS] = std::array::from_fn(voxel);
                    for (point, factors) in ENTER.iter().enumerate() {
                        let mut sum = L::splat(0.0);
                        for i in 0..POINTS {
                            sum = sum.add_product(voxels[i], L::splat(factors[i]));
                        }
                        sum.store(values.as_mut_ptr().add((point * planes * lines + line) * row + tile));
                    }
                }
            }
        }
        Image { values, lines, planes, row, tiles }
    }

    fn at(&self, point: usize, plane: usize, line: usize, tile: usize) -> *const f32 {
        self.values
            .as_ptr()
            .wrapping_add(((point * self.planes + plane) * self.lines + line) * self.row + tile)
    }
}

/// The points of a filter to one vector of channels: for each point, plane and line those of its two halves.
struct Filter {
    values: Scratch<f32>,
    planes: usize,
    lines: usize,
    bias: [f32; WIDTH],
    /// The vector's first channel, in its block.
    first: usize,
}

impl Filter {
    /// `G g`.
    ///
    /// # Safety
    /// As [`Task::tiles`].
    #[inline(always)]
    unsafe fn new<L: Lanes>(task: &Task, first: usize) -> Self {
        let class = task.part.class;
        let [planes, lines, taps] = class.reads.each_ref().map(|reads| reads.len());
        let mut bias = [0.0; WIDTH];
        let valid = (task.valid - first).min(L::COUNT);
        if let Some(values) = &class.bias {
            bias[..valid].copy_from_slice(&values[task.channel + first..][..valid]);
        }
        let width = task.valid.next_multiple_of(L::COUNT);
        let weight = &class.weight.block(task.channel)[first..];
        let mut values = Scratch::<f32>::take(POINTS * planes * lines * 2 * L::COUNT);
        for line in 0..planes * lines {
            for half in 0..2 {
                for (point, factors) in EXPAND.iter().enumerate() {
                    let at = ((point * planes * lines + line) * 2 + half) * L::COUNT;
                    // SAFETY: the weights hold a row for each tap of each line, from the vector's first channel on.
                    unsafe {
                        let mut sum = L::splat(0.0);
                        for (tap, factor) in (half * TILE..taps).zip(factors) {
                            let weight = L::load(weight.as_ptr().add((line * taps + tap) * width));
                            sum = sum.add_product(weight, L::splat(*factor));
                        }
                        sum.store(values[at..at + L::COUNT].as_mut_ptr());
                    }
                }
            }
        }
        Filter { values, planes, lines, bias, first }
    }

    fn at<L: Lanes>(&self, point: usize, plane: usize, line: usize) -> *const f32 {
        let line = (point * self.planes + plane) * self.lines + line;
        self.values.as_ptr().wrapping_add(line * 2 * L::COUNT)
    }
}

/// `A' m`, and the bias.
///
/// # Safety
/// The processor has the lanes' instructions.
#[inline(always)]
unsafe fn leave<L: Lanes>(
    [zero, one, minus_one, two, minus_two, half, end]: [L; POINTS],
    bias: L,
) -> [L; TILE] {
    // SAFETY: the caller's.
    unsafe {
        let (even, odd) = (one.add(minus_one), one.sub(minus_one));
        let (even_two, odd_two) = (two.add(minus_two), two.sub(minus_two));
        let times = |sum: L, value: L, factor: f32| sum.add_product(value, L::splat(factor));
        [
            bias.add(zero).add(even).add(even_two).add(half),
            times(times(bias.add(odd), odd_two, 2.0), half, 0.5),
            times(times(bias.add(even), even_two, 4.0), half, 0.25),
            times(times(bias.add(odd), odd_two, 8.0), half, 0.125).add(end),
        ]
    }
}

/// Adds one line of points to those of two rows, which it reaches by two lines of a filter: each value, read once, serves four sums.
///
/// # Safety
/// As [`add`].
#[inline(always)]
unsafe fn add_to_both<L: Lanes, const R: usize>(
    upper: &mut [L; R],
    lower: &mut [L; R],
    from: *const f32,
    weights: [*const f32; 2],
) {
    // SAFETY: the caller's.
    unsafe {
        let [above, below] = weights.map(|weight| L::load(weight));
        let [above_next, below_next] = weights.map(|weight| L::load(weight.add(L::COUNT)));
        let value = L::splat(*from);
        upper[0] = upper[0].add_product(value, above);
        lower[0] = lower[0].add_product(value, below);
        for r in 1..R {
            let value = L::splat(*from.add(r));
            upper[r - 1] = upper[r - 1].add_product(value, above_next);
            lower[r - 1] = lower[r - 1].add_product(value, below_next);
            upper[r] = upper[r].add_product(value, above);
            lower[r] = lower[r].add_product(value, below);
        }
        let value = L::splat(*from.add(R));
        upper[R - 1] = upper[R - 1].add_product(value, above_next);
        lower[R - 1] = lower[R - 1].add_product(value, below_next);
    }
}
