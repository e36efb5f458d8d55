//! The gradient of the weights: for each point of the transformed tiles a product with the sum running over tiles.

use super::super::filter::{add_parts, part_count};
use super::super::pad::Rows;
use super::super::scratch::Scratch;
use super::super::simd::{Lanes, Target, Unit, Work, on_unit};
use super::lines::{LINES, Lines, TileRows, Window};
use super::voxels::{self, AXIS, Layout};
use super::weights::{Contract, Points};
use super::{GROUP_TILES, POINTS, deep, image_frame};
use crate::conv_shape::ConvShape;
use rayon::prelude::*;
use std::ops::Range;

/// Tasks that a part of a large gradient is dealt to, by lines.
const SHARES: usize = 4;

/// As [`super::super::filter::weight_gradient`].
pub(crate) fn weight_gradient(shape: &ConvShape, image: Rows<f32>, response: Rows<f32>, to: &mut [f32]) {
    assert_eq!(to.len(), 27 * shape.ci * shape.co, "a gradient is not that of its filters");
    let rows = TileRows::new(image.dims, image_frame(shape));
    let unit = Unit::for_channels(shape.co);
    if deep::pays(rows.count() * rows.tiles(), [shape.ci, shape.co]) {
        return deep::weight_gradient(&rows, [image, response], unit, to);
    }
    let [ci, co] = [shape.ci, shape.co].map(|channels| channels.next_multiple_of(unit.lanes()));
    let size = POINTS * ci * co;
    let parts = part_count(rows.count(), size);
    let mut sums = Scratch::take(parts * size);
    // Few parts of a large gradient: each line is a task of its own, which transforms the rows anew.
    let lines = if parts < 4 { LINES / SHARES } else { LINES };
    sums.par_chunks_mut((size / LINES * lines).max(1)).enumerate().for_each(|(index, sums)| {
        let (part, first) = (index * lines / LINES, index * lines % LINES);
        let range = part * rows.count() / parts..(part + 1) * rows.count() / parts;
        let work = Part { shape, rows: &rows, image, response, range, lines: first..first + lines, sums };
        // SAFETY: the unit is this process's.
        unsafe { on_unit(unit, work) };
    });
    add_parts(&mut sums, size);
    let target = Target::new(to);
    let channels = [shape.ci, shape.co];
    // A vector of outputs at a time.
    (0..co / unit.lanes()).into_par_iter().for_each(|vector| {
        let first = vector * unit.lanes();
        let points = Points { sums: &sums[first..], stride: ci * co, row: co };
        let outputs = first..shape.co.min(first + unit.lanes());
        // SAFETY: the unit is this process's; the gradient has a place for every filter, which is written once.
        unsafe { on_unit(unit, Contract { points, channels, inputs: 0..shape.ci, outputs, target }) }
    });
}

/// A part of the rows of tiles, with sums of its own.
struct Part<'a> {
    shape: &'a ConvShape,
    rows: &'a TileRows,
    image: Rows<'a, f32>,
    response: Rows<'a, f32>,
    /// The part's rows, and the lines whose points it sums up.
    range: Range<usize>,
    lines: Range<usize>,
    /// `(point, input, output)`, both filled up to whole vectors.
    sums: &'a mut [f32],
}

impl Work for Part<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
        let Part { shape, rows, image, response, .. } = self;
        let tiles = rows.tiles();
        let count = GROUP_TILES[0].div_ceil(tiles.max(1)).min(self.range.len().max(1));
        let channels = [shape.ci, shape.co];
        let layouts =
            channels.map(|channels| Layout::new(count * tiles, channels.next_multiple_of(L::COUNT)));
        let mut points = layouts.map(|layout| Scratch::<f32>::take(layout.len()));
        let mut lines = [
            Lines::new(count, 2 * tiles + 2, shape.ci, L::COUNT),
            Lines::new(count, 2 * tiles, shape.co, L::COUNT),
        ];
        let mut windows = [Window::of_image(rows, count, shape.ci), Window::of_response(rows, shape.co)];
        let size = layouts[0].stride * layouts[1].stride;
        if self.range.is_empty() {
            self.sums.fill(0.0);
        }
        for first in self.range.clone().step_by(count) {
            let group = first..self.range.end.min(first + count);
            // SAFETY: the caller's; the matrices hold the group's tiles, the sums all channels of both.
            unsafe {
                lines[0].image::<L>(rows, group.clone(), image, &mut windows[0]);
                lines[1].gradient::<L>(rows, group.clone(), response, &mut windows[1]);
                for line in self.lines.clone() {
                    for row in 0..group.len() {
                        let from = [0, 1].map(|i| lines[i].values[lines[i].at(line, row)..].as_ptr());
                        let to = [0, 1].map(|i| points[i][row * tiles * layouts[i].stride..].as_mut_ptr());
                        voxels::image::<L>(from[0], shape.ci, shape.ci, tiles, (to[0], layouts[0]));
                        voxels::gradient::<L>(from[1], shape.co, shape.co, tiles, (to[1], layouts[1]));
                    }
                    for x in 0..AXIS {
                        let point = AXIS * (line - self.lines.start) + x;
                        let sums = (&mut self.sums[point * size..][..size], first > self.range.start);
                        let factors = [0, 1].map(|i| (&points[i][x * layouts[i].point..], layouts[i].stride));
                        products::<L, R2, false>(factors, group.len() * tiles, sums);
                    }
                }
            }
        }
    }
}

/// The products of one point, summed over tiles: `(input, output)`. They are added to what is there, or written over it. `FAR` says that
/// factors lie in outer caches: then what follows both is asked for meanwhile.
///
/// # Safety
/// The processor has the lanes' instructions; factors and sums have whole vectors.
#[inline(always)]
pub(super) unsafe fn products<L: Lanes, const R2: usize, const FAR: bool>(
    factors: [(&[f32], usize); 2],
    tiles: usize,
    (sums, added): (&mut [f32], bool),
) {
    let [(_, inputs), (_, outputs)] = factors;
    let mut done = 0;
    for output in (0..outputs).step_by(2 * L::COUNT) {
        let two = outputs - output > L::COUNT;
        // As many inputs as the unit has registers for; a vector's length is a multiple of all of these.
        let rows = match two {
            true if R2 < 8 => 4,
            false if L::COUNT >= 16 => 16,
            _ => 8,
        };
        for input in (0..inputs).step_by(rows) {
            let at = [input, output];
            // With each tile a share of what lies behind the factors: all blocks together ask for as much as they read.
            let blocks = outputs.div_ceil(2 * L::COUNT) * inputs.div_ceil(rows);
            let next = factors.map(|(values, row)| {
                let share = row.div_ceil(blocks);
                (values.as_ptr_range().end.wrapping_add(done * tiles * share), share)
            });
            done += 1;
            // SAFETY: the caller's.
            unsafe {
                match (two, rows) {
                    (true, 4) => block::<L, 4, 2, FAR>(factors, tiles, at, next, (sums, added)),
                    (true, _) => block::<L, 8, 2, FAR>(factors, tiles, at, next, (sums, added)),
                    (false, 8) => block::<L, 8, 1, FAR>(factors, tiles, at, next, (sums, added)),
                    (false, _) => block::<L, 16, 1, FAR>(factors, tiles, at, next, (sums, added)),
                }
            }
        }
    }
}

/// # Safety
/// As [`products`]; `R` inputs and `B` vectors of outputs exist.
#[inline(always)]
unsafe fn block<L: Lanes, const R: usize, const B: usize, const FAR: bool>(
    [(image, inputs), (gradient, outputs)]: [(&[f32], usize); 2],
    tiles: usize,
    [input, output]: [usize; 2],
    next: [(*const f32, usize); 2],
    (sums, added): (&mut [f32], bool),
) {
    // SAFETY: the caller's.
    unsafe {
        let to = sums.as_mut_ptr().add(input * outputs + output);
        let mut sums = [[L::splat(0.0); B]; R];
        if added {
            for r in 0..R {
                for b in 0..B {
                    sums[r][b] = L::load(to.add(r * outputs + b * L::COUNT));
                }
            }
        }
        let (mut image, mut gradient) = (image.as_ptr().add(input), gradient.as_ptr().add(output));
        for tile in 0..tiles {
            for (next, share) in if FAR { &next[..] } else { &[] } {
                L::prefetch(next.wrapping_add(tile * share));
            }
            let mut gradients = [L::splat(0.0); B];
            for b in 0..B {
                gradients[b] = L::load(gradient.add(b * L::COUNT));
            }
            for r in 0..R {
                let value = L::splat(*image.add(r));
                for b in 0..B {
                    sums[r][b] = sums[r][b].add_product(value, gradients[b]);
                }
            }
            image = image.wrapping_add(inputs);
            gradient = gradient.wrapping_add(outputs);
        }
        for r in 0..R {
            for b in 0..B {
                sums[r][b].store(to.add(r * outputs + b * L::COUNT));
            }
        }
    }
}
