//! Convolutions of bf16 values on tile matrices (AMX).
//!
//! A tile register holds sixteen rows of 64 bytes; one instruction multiplies `16 x 32` bf16 values by `32 x 16` and adds
//! to `16 x 16` f32 sums. At its full rate the loads decide: a row that lies across two cache lines costs six times as
//! much as an aligned one, and what is not in the second-level cache comes many times slower than it is consumed. Hence
//! the forms of these kernels: neighbouring voxels are joined until they fill a cache line, and work goes in blocks that
//! the cache holds.
//!
//! Rows and runs are read in whole tiles: values beside a window meet weights of zero. They must be finite, as must the
//! whole image.

mod blocks;
mod filter;
mod gather;
mod pack;
pub(crate) mod peak;
mod plan;
mod strip;
#[cfg(test)]
mod tests;
mod tile;

use super::gather::Store;
use super::pad::Padded;
use crate::conv_shape::ConvShape;
use half::bf16;

pub(crate) use filter::weight_gradient;
pub(crate) use tile::available;

const MISSING: &str = "a kernel on tile matrices was called without them";

/// The response `(n, d', h', w', co)` of an image `(n, d, h, w, ci)` in its [`ConvShape::image_frame`].
///
/// Weights `(co, ci, kd, kh, kw)` are rounded to bf16; sums are f32, rounded once.
pub(crate) fn respond(
    shape: &ConvShape,
    image: &Padded<bf16>,
    weight: &[f32],
    bias: Option<&[f32]>,
    (response, store): (&mut [bf16], Store),
) {
    assert!(available(), "{MISSING}");
    assert_eq!(image.frame, shape.image_frame(), "an image lies in another frame than its convolution's");
    let plan = plan::respond(shape, image);
    gather::run(&plan, &image.values, (weight, bias), (response, store));
}

/// The image `(n, d, h, w, ci)` that a response `(n, d', h', w', co)` in its [`ConvShape::response_frame`] spreads into.
pub(crate) fn spread(
    shape: &ConvShape,
    response: &Padded<bf16>,
    weight: &[f32],
    bias: Option<&[f32]>,
    (image, store): (&mut [bf16], Store),
) {
    assert!(available(), "{MISSING}");
    let frame = shape.response_frame();
    assert_eq!(response.frame, frame, "a response lies in another frame than its convolution's");
    for plan in plan::spread(shape, response) {
        gather::run(&plan, &response.values, (weight, bias), (image, store));
    }
}
