//! Convolutions of 3x3x3 taps with stride 1 by Winograd's minimal filtering, F(2x2x2, 3x3x3).
//!
//! Along each axis two outputs come from four inputs by four products instead of six: `y = A' [(G g) . (B' d)]` (Winograd
//! 1980; Lavin and Gray, arXiv 1509.09308), and 64 products stand for the 216 of eight voxels. An image is cut into tiles
//! of 2x2x2 output voxels. Each of the 64 points of all transformed tiles is a matrix `(tile, channel)`, so that the
//! products are 64 multiplications of matrices; the gradient of the weights is the same with the sum running over tiles.
//!
//! The factors of the transforms are 0, 1 and 1/2: in f32 the result is within a few roundings of the direct sum's.

mod deep;
mod lines;
mod product;
#[cfg(test)]
mod tests;
mod voxels;
mod weight_gradient;
mod weights;

pub(crate) use weight_gradient::weight_gradient;

use super::gather::Store;
use super::pad::Rows;
use super::path::{CpuPath, cpu_path};
use super::scratch::Scratch;
use super::simd::{Lanes, Target, Unit, Work, on_unit};
use crate::conv_shape::ConvShape;
use lines::{LINES, Lines, TileRows, Window};
use rayon::prelude::*;
use std::ops::Range;
use voxels::{AXIS, Layout};
use weights::{Addresses, Transformed};

/// Points of a transformed tile.
const POINTS: usize = 64;
/// The point that is part of every output with factor 1: where a bias is added.
const CENTRE: usize = 21;

/// Whether a convolution is of this form, and its image large enough, against its weights, for the transforms to pay. Plain
/// Rust keeps to the direct sum: it is the path that the others can be compared with.
pub(crate) fn pays(shape: &ConvShape) -> bool {
    if cpu_path() == CpuPath::Portable {
        return false;
    }
    let tiles: usize = shape.response.iter().map(|side| side.div_ceil(2)).product();
    let enough = (shape.ci * shape.co / 128).max(64);
    fits(shape)
        && shape.ci.min(shape.co) >= 8
        && (shape.batch * tiles >= enough || deep::pays(shape.batch * tiles, [shape.ci, shape.co]))
}

/// Whether a convolution is of this form.
fn fits(shape: &ConvShape) -> bool {
    let padding = shape.params.padding;
    shape.kernel == [3; 3] && shape.params.stride == [1; 3] && padding.iter().all(|padding| *padding <= 2)
}

/// As [`super::conv::respond`].
pub(crate) fn respond(
    shape: &ConvShape,
    image: Rows<f32>,
    weight: &[f32],
    bias: Option<&[f32]>,
    to: (&mut [f32], Store),
) {
    assert_eq!(image.dims, shape.image_dims(), "an image is not that of its convolution");
    let addresses = Addresses { from: 27, to: 27 * shape.ci, flipped: false };
    let rows = TileRows::new(image.dims, image_frame(shape));
    run(&rows, image, weight, (addresses, [shape.ci, shape.co]), bias, to);
}

/// As [`super::conv::spread`]: with stride 1 the response of a response, by the flipped filter.
pub(crate) fn spread(
    shape: &ConvShape,
    response: Rows<f32>,
    weight: &[f32],
    bias: Option<&[f32]>,
    to: (&mut [f32], Store),
) {
    assert_eq!(response.dims, shape.response_dims(), "a response is not that of its convolution");
    let addresses = Addresses { from: 27 * shape.ci, to: 27, flipped: true };
    let frame = image_frame(shape).map(|padding| 2 - padding);
    let rows = TileRows::new(response.dims, frame);
    run(&rows, response, weight, (addresses, [shape.co, shape.ci]), bias, to);
}

/// Zeros on both sides of each axis of an image.
fn image_frame(shape: &ConvShape) -> [usize; 3] {
    assert!(fits(shape), "this convolution has no transform");
    shape.params.padding
}

/// Tiles that go together at the least, so that weights that come out of the cache are used often enough, and at the most,
/// so that the tiles of a line stay in it.
const GROUP_TILES: [usize; 2] = [36, 96];

/// Rows of tiles that go together: a number that the products' blocks divide well.
fn group_rows(rows: &TileRows) -> usize {
    let [least, most] = GROUP_TILES.map(|tiles| tiles.div_ceil(rows.tiles()));
    let waste = |count: &usize| {
        let tiles = count * rows.tiles();
        (tiles.next_multiple_of(12) - tiles) * 1000 / tiles
    };
    (least..=most).min_by_key(waste).unwrap_or(least).min(rows.count().div_ceil(2)).max(1)
}

fn run(
    rows: &TileRows,
    input: Rows<f32>,
    weight: &[f32],
    (addresses, [from, to]): (Addresses, [usize; 2]),
    bias: Option<&[f32]>,
    (output, store): (&mut [f32], Store),
) {
    assert_eq!(output.len(), rows.outputs() * to, "a convolution's output has another size");
    if output.is_empty() {
        return;
    }
    if deep::pays(rows.count() * rows.tiles(), [from, to]) {
        return deep::run(rows, input, weight, (addresses, [from, to]), bias, (output, store));
    }
    let unit = Unit::for_channels(to);
    let transformed = Transformed::new(weight, addresses, [from, to], unit);
    let mut biases = vec![0.0; transformed.padded];
    if let Some(bias) = bias {
        biases[..to].copy_from_slice(bias);
    }
    let task_rows = group_rows(rows);
    let target = Target::new(output);
    (0..rows.count().div_ceil(task_rows)).into_par_iter().for_each(|index| {
        let task = Task {
            rows,
            range: index * task_rows..rows.count().min((index + 1) * task_rows),
            input,
            from,
            to,
            weights: &transformed,
            biases: &biases,
            output: target,
            store,
        };
        // SAFETY: the unit is this process's; rows bound what is read and written, and tasks write other rows.
        unsafe { on_unit(unit, task) }
    });
}

/// Some rows of tiles, from image to response.
struct Task<'a> {
    rows: &'a TileRows,
    range: Range<usize>,
    input: Rows<'a, f32>,
    from: usize,
    to: usize,
    weights: &'a Transformed,
    biases: &'a [f32],
    output: Target,
    store: Store,
}

impl Work for Task<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
        let Task { rows, from, to, .. } = self;
        let (count, tiles) = (self.range.len(), rows.tiles());
        // Whole blocks of tiles for either width; what lies behind the last tile is computed for nothing.
        let stored = (count * tiles).next_multiple_of(R1).max((count * tiles).next_multiple_of(R2));
        let image_layout = Layout::new(stored, from.next_multiple_of(L::COUNT));
        let response_layout = Layout::new(stored, self.weights.padded);
        let mut image = Scratch::<f32>::take(image_layout.len());
        let mut response = Scratch::<f32>::take(response_layout.len());
        image.fill(0.0);
        let mut entered = Lines::new(count, 2 * tiles + 2, from, L::COUNT);
        let mut window = Window::of_image(rows, count, from);
        let mut left = Lines::new(count, 2 * tiles, to, L::COUNT);
        // SAFETY: the caller's; the matrices hold as many rows and columns as are said here.
        unsafe {
            entered.image::<L>(rows, self.range.clone(), self.input, &mut window);
            for line in 0..LINES {
                for row in 0..count {
                    let voxels = entered.values[entered.at(line, row)..].as_ptr();
                    let points = image[row * tiles * image_layout.stride..].as_mut_ptr();
                    voxels::image::<L>(voxels, from, from, tiles, (points, image_layout));
                }
                for x in 0..AXIS {
                    let point = AXIS * line + x;
                    let bias = (point == CENTRE).then_some(self.biases);
                    let image = (&image[x * image_layout.point..], image_layout.stride);
                    let response = (&mut response[x * response_layout.point..], response_layout.stride);
                    product::product::<L, R1, R2>(image, self.weights, bias, point, count * tiles, response);
                }
                for row in 0..count {
                    let points = response[row * tiles * response_layout.stride..].as_ptr();
                    let at = left.at(line, row);
                    let voxels = left.values[at..].as_mut_ptr();
                    voxels::response::<L>((points, response_layout), to, tiles, voxels);
                }
            }
            left.response::<L>(rows, self.range, (self.output, self.store), 0..to, to);
        }
    }
}
