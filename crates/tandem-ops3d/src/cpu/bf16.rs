//! Convolutions of bf16 values, multiplied as they are: on matrix tiles (AMX), or in vectors of pairs (AVX-512 BF16).
//!
//! A tile register holds sixteen rows of 64 bytes; one instruction multiplies `16 x 32` bf16 values by `32 x 16` and adds
//! to `16 x 16` f32 sums. At its full rate the loads decide: a row that lies across two cache lines costs six times as
//! much as an aligned one, and what is not in the second-level cache comes many times slower than it is consumed. Hence
//! the forms of these kernels: neighbouring voxels are joined until they fill a cache line, and work goes in blocks that
//! the cache holds.
//!
//! A row of such a product is a pair of values times a vector of sixteen pairs, which processors without tiles multiply in one
//! instruction. So plans, weights and factors are the same for both, and `dot.rs` holds all that differs.
//!
//! Rows and runs are read in whole tiles, or pairs: values beside a window meet weights of zero. They must be finite, as must the
//! whole image.

mod blocks;
mod dot;
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
use super::path::{CpuPath, cpu_path};
use crate::conv_shape::ConvShape;
use half::bf16;

pub(crate) use filter::weight_gradient;
pub(crate) use tile::available as tiles_available;
#[cfg(test)]
pub(crate) use tile::emulated as tiles_emulated;

/// What multiplies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    /// Tile registers, on [`CpuPath::Amx`].
    Tiles,
    /// Vectors of pairs, on [`CpuPath::Avx512Bf16`].
    Vectors,
}

impl Engine {
    /// That of this process's path.
    fn of_process() -> Self {
        match cpu_path() {
            CpuPath::Amx => Engine::Tiles,
            CpuPath::Avx512Bf16 => Engine::Vectors,
            path => panic!("a kernel on bf16 values was called on path {}", path.name()),
        }
    }
}

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
    let frame = shape.response_frame();
    assert_eq!(response.frame, frame, "a response lies in another frame than its convolution's");
    for plan in plan::spread(shape, response) {
        gather::run(&plan, &response.values, (weight, bias), (image, store));
    }
}
