//! Few tiles of many channels: the transformed filters would be larger than all tiles. Here they are never stored as a whole:
//! a task transforms the filters of one block of channels, a part of the inputs at a time, and multiplies at once. The tiles themselves lie in
//! outer caches by then, so products ask for what comes next.

use super::super::gather::Store;
use super::super::pad::Rows;
use super::super::scratch::Scratch;
use super::super::simd::{Lanes, Target, Unit, Work, on_unit};
use super::lines::{LINES, Lines, TileRows, Window};
use super::product::{Filters, blocks};
use super::voxels::{self, AXIS, Layout};
use super::weight_gradient::products;
use super::weights::{Addresses, Contract, Points, transform};
use super::{CENTRE, POINTS};
use rayon::prelude::*;
use std::ops::Range;

/// Input channels whose filters are transformed at once: with those of one block they stay in the second cache.
pub(super) const INPUTS: usize = 64;

/// Whether all tiles are so few that transformed filters would outweigh them.
pub(super) fn pays(tiles: usize, [from, to]: [usize; 2]) -> bool {
    tiles * 128 <= from * to
}

/// The points of all tiles of an image, `(share, point, tile, channel)`: the channels in shares of [`INPUTS`], so that a product
/// reads memory from end to end.
pub(super) struct Tiles {
    values: Scratch<f32>,
    layout: Layout,
}

/// Which transform leads to points.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Entering {
    /// `B' d` of an image.
    Image,
    /// `A y` of a response's gradient.
    Gradient,
}

impl Tiles {
    /// Of an image of so many channels; whole blocks of tiles are stored, what lies behind the last is zero.
    pub(super) fn of(rows: &TileRows, image: Rows<f32>, entering: Entering, unit: Unit) -> Self {
        let channels = image.dims[4];
        let tiles = rows.count() * rows.tiles();
        let stride = channels.next_multiple_of(unit.lanes()).min(INPUTS);
        let layout = Layout::new(tiles.next_multiple_of(STORED), stride);
        let mut values = Scratch::take(channels.div_ceil(INPUTS) * LINES * layout.len());
        for point in values.chunks_exact_mut(layout.point) {
            point[tiles * stride..].fill(0.0);
        }
        let target = Target::new(&mut values);
        (0..rows.count()).into_par_iter().with_min_len(2).for_each(|row| {
            // SAFETY: the unit is this process's; each row of tiles is written once.
            unsafe { on_unit(unit, Row { rows, row, image, entering, target, layout }) }
        });
        Tiles { values, layout }
    }

    /// The points of one share of the channels, and the distance of tiles.
    pub(super) fn point(&self, share: usize, point: usize) -> (&[f32], usize) {
        (
            &self.values[(share * POINTS + point) * self.layout.point..][..self.layout.point],
            self.layout.stride,
        )
    }
}

/// A number of tiles that every unit's blocks divide.
const STORED: usize = 24;

/// One row of tiles on its way to points.
struct Row<'a> {
    rows: &'a TileRows,
    row: usize,
    image: Rows<'a, f32>,
    entering: Entering,
    target: Target,
    layout: Layout,
}

impl Work for Row<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
        let Row { rows, row, image, layout, .. } = self;
        let (tiles, channels) = (rows.tiles(), image.dims[4]);
        // SAFETY: the caller's; the target has room for every tile.
        unsafe {
            let (mut lines, mut window) = match self.entering {
                Entering::Image => {
                    (Lines::new(1, 2 * tiles + 2, channels, L::COUNT), Window::of_image(rows, 1, channels))
                }
                Entering::Gradient => {
                    (Lines::new(1, 2 * tiles, channels, L::COUNT), Window::of_response(rows, channels))
                }
            };
            match self.entering {
                Entering::Image => lines.image::<L>(rows, row..row + 1, image, &mut window),
                Entering::Gradient => lines.gradient::<L>(rows, row..row + 1, image, &mut window),
            }
            for (share, first) in (0..channels).step_by(INPUTS).enumerate() {
                let taken = (channels - first).min(INPUTS);
                for line in 0..LINES {
                    let from = lines.values[lines.at(line, 0) + first..].as_ptr();
                    let point = share * POINTS + AXIS * line;
                    let to = self.target.at(point * layout.point + row * tiles * layout.stride);
                    match self.entering {
                        Entering::Image => voxels::image::<L>(from, channels, taken, tiles, (to, layout)),
                        Entering::Gradient => {
                            voxels::gradient::<L>(from, channels, taken, tiles, (to, layout))
                        }
                    }
                }
            }
        }
    }
}

/// As [`super::run`].
pub(super) fn run(
    rows: &TileRows,
    input: Rows<f32>,
    weight: &[f32],
    (addresses, [from, to]): (Addresses, [usize; 2]),
    bias: Option<&[f32]>,
    (output, store): (&mut [f32], Store),
) {
    let unit = Unit::for_channels(to);
    let image = Tiles::of(rows, input, Entering::Image, unit);
    let target = Target::new(output);
    let width = block_vectors(unit, to) * unit.lanes();
    (0..to.div_ceil(width)).into_par_iter().for_each(|block| {
        let outputs = block * width..to.min((block + 1) * width);
        let block = Block { rows, image: &image, weight, addresses, from, to, outputs, bias, target, store };
        // SAFETY: the unit is this process's; blocks write other channels of the output.
        unsafe { on_unit(unit, block) }
    });
}

/// Vectors of output channels in a block: four where the unit has registers for them, since all of the image passes by each block,
/// but two where a core would have no block of four. The choice changes no sum.
fn block_vectors(unit: Unit, to: usize) -> usize {
    let enough = to / (4 * unit.lanes()) >= rayon::current_num_threads();
    if enough { unit.block_vectors(to) } else { 2 }
}

/// One block of output channels, from points of the image to the response.
struct Block<'a> {
    rows: &'a TileRows,
    image: &'a Tiles,
    weight: &'a [f32],
    addresses: Addresses,
    from: usize,
    to: usize,
    outputs: Range<usize>,
    bias: Option<&'a [f32]>,
    target: Target,
    store: Store,
}

impl Work for Block<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
        let Block { rows, image, weight, addresses, from, to, .. } = self;
        let tiles = rows.count() * rows.tiles();
        let (first, valid) = (self.outputs.start, self.outputs.len());
        let width = valid.next_multiple_of(L::COUNT);
        let mut start = [0.0; 64];
        if let Some(bias) = self.bias {
            start[..valid].copy_from_slice(&bias[self.outputs.clone()]);
        }
        let layout = Layout::new(tiles.next_multiple_of(STORED), width);
        let mut response = Scratch::<f32>::take(LINES * layout.len());
        // Not a multiple of a page, else the points share few places of the first cache.
        let stride = INPUTS.min(from) * width + 16;
        let mut filters = Scratch::<f32>::take(POINTS * stride);
        for (share, inputs) in (0..from).step_by(INPUTS).enumerate() {
            let count = INPUTS.min(from - inputs);
            // SAFETY: the caller's; the filters have room for so many, the matrices for whole blocks of tiles.
            unsafe {
                for input in 0..count {
                    for lane in (0..width).step_by(L::COUNT) {
                        let channels = [inputs + input, first + lane];
                        let at = filters.as_mut_ptr().add(input * width + lane);
                        transform::<L>(weight, addresses, channels, to, (at, stride));
                    }
                }
                for point in 0..POINTS {
                    let filters = Filters {
                        weight: &filters[point * stride..],
                        inputs: count,
                        start: if inputs > 0 {
                            None
                        } else if point == CENTRE {
                            Some(&start)
                        } else {
                            Some(&[0.0; 64])
                        },
                    };
                    let image = image.point(share, point);
                    let response = (&mut response[point * layout.point..], width);
                    match width / L::COUNT {
                        4 => blocks::<L, 6, 6, 4, true>(image, &filters, tiles, response),
                        3 => blocks::<L, 8, 8, 3, true>(image, &filters, tiles, response),
                        2 => blocks::<L, R2, R2, 2, true>(image, &filters, tiles, response),
                        _ => blocks::<L, R2, R2, 1, true>(image, &filters, tiles, response),
                    }
                }
            }
        }
        let mut lines = Lines::new(1, 2 * rows.tiles(), width, L::COUNT);
        for row in 0..rows.count() {
            // SAFETY: as above; each row of the response exists once.
            unsafe {
                for line in 0..LINES {
                    let points = response[AXIS * line * layout.point + row * rows.tiles() * width..].as_ptr();
                    let at = lines.at(line, 0);
                    voxels::response::<L>(
                        (points, layout),
                        width,
                        rows.tiles(),
                        lines.values[at..].as_mut_ptr(),
                    );
                }
                lines.response::<L>(rows, row..row + 1, (self.target, self.store), first..first + valid, to);
            }
        }
    }
}

/// As [`super::weight_gradient`]: `(output, input, tap)`.
pub(super) fn weight_gradient(
    rows: &TileRows,
    [image, response]: [Rows<f32>; 2],
    unit: Unit,
    to: &mut [f32],
) {
    let channels = [image, response].map(|image| image.dims[4]);
    let image = Tiles::of(rows, image, Entering::Image, unit);
    let response = Tiles::of(rows, response, Entering::Gradient, unit);
    let tiles = [&image, &response];
    let shares = channels.map(|channels| channels.div_ceil(INPUTS));
    let target = Target::new(to);
    let count = rows.count() * rows.tiles();
    (0..shares[0] * shares[1]).into_par_iter().for_each(|index| {
        let shares = [index / shares[1], index % shares[1]];
        // SAFETY: the unit is this process's; each pair of shares has filters of its own.
        unsafe { on_unit(unit, Share { tiles, count, channels, shares, target }) }
    });
}

/// The gradient of the filters from one share of inputs to one share of outputs.
struct Share<'a> {
    /// Of the image and of the response's gradient.
    tiles: [&'a Tiles; 2],
    count: usize,
    channels: [usize; 2],
    shares: [usize; 2],
    target: Target,
}

impl Work for Share<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
        let Share { tiles, channels, shares, .. } = self;
        let [inputs, row] = tiles.map(|tiles| tiles.layout.stride);
        // Not a multiple of a page, see `Block`.
        let stride = inputs * row + 16;
        let mut sums = Scratch::<f32>::take(POINTS * stride);
        for (point, sums) in sums.chunks_exact_mut(stride).enumerate() {
            let factors = [0, 1].map(|i| tiles[i].point(shares[i], point));
            // SAFETY: the caller's; tiles and sums have whole vectors.
            unsafe { products::<L, R2, true>(factors, self.count, (sums, false)) };
        }
        let first = shares.map(|share| share * INPUTS);
        let [inputs, outputs] = [0, 1].map(|i| first[i]..channels[i].min(first[i] + INPUTS));
        let points = Points { sums: &sums, stride, row };
        // SAFETY: the caller's; each filter has a place, which nobody else writes.
        unsafe {
            Contract { points, channels, inputs, outputs, target: self.target }.run::<L, R1, R2>();
        }
    }
}
