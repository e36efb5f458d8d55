//! The gradient of the weights: for each point of the transformed tiles a product with the sum running over tiles.

use super::super::filter::{add_parts, part_count};
use super::super::pad::Padded;
use super::super::scratch::Scratch;
use super::super::simd::{Lanes, Unit, Work, on_unit};
use super::lines::{LINES, Lines, Rows};
use super::voxels::{self, AXIS, Layout};
use super::{GROUP_TILES, POINTS, fits};
use crate::conv_shape::ConvShape;
use crate::storage::filled;
use rayon::prelude::*;
use std::ops::Range;

/// Tasks that a part of a large gradient is dealt to, by lines.
const SHARES: usize = 4;

/// As [`super::super::filter::weight_gradient`].
pub(crate) fn weight_gradient(shape: &ConvShape, image: &Padded<f32>, response: &Padded<f32>) -> Vec<f32> {
    assert!(fits(shape), "this convolution has no transform");
    let (unit, rows) = (Unit::for_channels(shape.co), Rows::new(image.dims));
    let [ci, co] = [shape.ci, shape.co].map(|channels| channels.next_multiple_of(unit.lanes()));
    let size = POINTS * ci * co;
    let parts = part_count(rows.count(), size);
    let mut sums = Scratch::take(parts * size);
    // Few parts of a large gradient: each line is a task of its own, which transforms the rows anew.
    let lines = if parts < 4 { LINES / SHARES } else { LINES };
    sums.par_chunks_mut((size / LINES * lines).max(1)).enumerate().for_each(|(index, sums)| {
        let (part, first) = (index * lines / LINES, index * lines % LINES);
        let range = part * rows.count() / parts..(part + 1) * rows.count() / parts;
        sums.fill(0.0);
        let work = Part { shape, rows: &rows, image, response, range, lines: first..first + lines, sums };
        // SAFETY: the unit is this process's.
        unsafe { on_unit(unit, work) };
    });
    add_parts(&mut sums, size);
    filled(27 * shape.ci * shape.co, |gradient| {
        // Sixteen outputs at a time: their sums lie in one line of the cache.
        let row = 27 * shape.ci;
        gradient.par_chunks_mut((SIDE_BY_SIDE * row).max(1)).enumerate().for_each(|(block, gradient)| {
            for input in 0..shape.ci {
                let sums = &sums[input * co + block * SIDE_BY_SIDE..];
                let filters = contract(sums, ci * co);
                for (output, gradient) in gradient.chunks_exact_mut(row).enumerate() {
                    let filter = &mut gradient[27 * input..][..27];
                    filter.iter_mut().zip(&filters).for_each(|(tap, values)| *tap = values[output]);
                }
            }
        });
    })
}

/// A part of the rows of tiles, with sums of its own.
struct Part<'a> {
    shape: &'a ConvShape,
    rows: &'a Rows,
    image: &'a Padded<f32>,
    response: &'a Padded<f32>,
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
        let strides = response.strides();
        let source = (&response.values[..], response.first(), [strides[0], strides[1], strides[2]]);
        let size = layouts[0].stride * layouts[1].stride;
        for first in self.range.clone().step_by(count) {
            let group = first..self.range.end.min(first + count);
            // SAFETY: the caller's; the matrices hold the group's tiles, the sums all channels of both.
            unsafe {
                lines[0].image::<L>(rows, group.clone(), &image.values);
                lines[1].gradient::<L>(rows, group.clone(), source);
                for line in self.lines.clone() {
                    for row in 0..group.len() {
                        let from = [0, 1].map(|i| lines[i].values[lines[i].at(line, row)..].as_ptr());
                        let to = [0, 1].map(|i| points[i][row * tiles * layouts[i].stride..].as_mut_ptr());
                        voxels::image::<L>(from[0], shape.ci, tiles, (to[0], layouts[0]));
                        voxels::gradient::<L>(from[1], shape.co, tiles, (to[1], layouts[1]));
                    }
                    for x in 0..AXIS {
                        let point = AXIS * (line - self.lines.start) + x;
                        let sums = &mut self.sums[point * size..][..size];
                        let factors = [0, 1].map(|i| (&points[i][x * layouts[i].point..], layouts[i].stride));
                        products::<L, R2>(factors, group.len() * tiles, sums);
                    }
                }
            }
        }
    }
}

/// Adds the products of one point, summed over tiles, to `(input, output)`.
///
/// # Safety
/// The processor has the lanes' instructions; factors and sums have whole vectors.
#[inline(always)]
unsafe fn products<L: Lanes, const R2: usize>(factors: [(&[f32], usize); 2], tiles: usize, sums: &mut [f32]) {
    let [(_, inputs), (_, outputs)] = factors;
    for output in (0..outputs).step_by(2 * L::COUNT) {
        let two = outputs - output > L::COUNT;
        // As many inputs as the unit has registers for; a vector's length is a multiple of all of these.
        let rows = match two {
            true if R2 < 8 => 4,
            false if L::COUNT >= 16 => 16,
            _ => 8,
        };
        for input in (0..inputs).step_by(rows) {
            // SAFETY: the caller's.
            unsafe {
                match (two, rows) {
                    (true, 4) => block::<L, 4, 2>(factors, tiles, [input, output], sums),
                    (true, _) => block::<L, 8, 2>(factors, tiles, [input, output], sums),
                    (false, 8) => block::<L, 8, 1>(factors, tiles, [input, output], sums),
                    (false, _) => block::<L, 16, 1>(factors, tiles, [input, output], sums),
                }
            }
        }
    }
}

/// # Safety
/// As [`products`]; `R` inputs and `B` vectors of outputs exist.
#[inline(always)]
unsafe fn block<L: Lanes, const R: usize, const B: usize>(
    [(image, inputs), (gradient, outputs)]: [(&[f32], usize); 2],
    tiles: usize,
    [input, output]: [usize; 2],
    sums: &mut [f32],
) {
    // SAFETY: the caller's.
    unsafe {
        let to = sums.as_mut_ptr().add(input * outputs + output);
        let mut sums = [[L::splat(0.0); B]; R];
        for r in 0..R {
            for b in 0..B {
                sums[r][b] = L::load(to.add(r * outputs + b * L::COUNT));
            }
        }
        let (mut image, mut gradient) = (image.as_ptr().add(input), gradient.as_ptr().add(output));
        for _ in 0..tiles {
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

/// Filters that are found at once.
const SIDE_BY_SIDE: usize = 16;
type Values = [f32; SIDE_BY_SIDE];

/// The taps of filters to neighbouring outputs, `G' u` along each axis, from their points, which lie `stride` values apart.
fn contract(points: &[f32], stride: usize) -> [Values; 27] {
    let point = |index: usize| {
        let mut values = [0.0; SIDE_BY_SIDE];
        // The last filters may be fewer.
        let from = &points[index * stride..];
        let count = from.len().min(SIDE_BY_SIDE);
        values[..count].copy_from_slice(&from[..count]);
        values
    };
    let mut by_w = [[[0.0; SIDE_BY_SIDE]; 3]; 16];
    for (line, by_w) in by_w.iter_mut().enumerate() {
        *by_w = narrow([0, 1, 2, 3].map(|x| point(4 * line + x)));
    }
    let mut taps = [[0.0; SIDE_BY_SIDE]; 27];
    for x in 0..3 {
        let by_h = [0, 1, 2, 3].map(|z| narrow([0, 1, 2, 3].map(|y| by_w[4 * z + y][x])));
        for y in 0..3 {
            let by_d = narrow(by_h.map(|rows| rows[y]));
            for (z, values) in by_d.into_iter().enumerate() {
                taps[9 * z + 3 * y + x] = values;
            }
        }
    }
    taps
}

fn narrow([a, b, c, d]: [Values; 4]) -> [Values; 3] {
    let mut out = [[0.0; SIDE_BY_SIDE]; 3];
    for i in 0..SIDE_BY_SIDE {
        let (sum, difference) = (0.5 * (b[i] + c[i]), 0.5 * (b[i] - c[i]));
        out[0][i] = a[i] + sum;
        out[1][i] = difference;
        out[2][i] = sum + d[i];
    }
    out
}
