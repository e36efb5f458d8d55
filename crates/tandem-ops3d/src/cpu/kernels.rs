//! The convolution kernels of each kind of storage.

use super::element::Element;
use super::gather::Store;
use super::pad::Padded;
use super::rows;
use super::scratch::Scratch;
#[cfg(target_arch = "x86_64")]
use super::simd::{CpuPath, cpu_path};
use super::{conv, filter, winograd};
use crate::conv_shape::ConvShape;
use half::bf16;

/// Storage that convolutions run on.
pub(crate) trait Kernels: Element {
    /// See [`conv::respond`].
    fn respond(
        shape: &ConvShape,
        image: &Padded<Self>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [Self], Store),
    );
    /// See [`conv::spread`].
    fn spread(
        shape: &ConvShape,
        response: &Padded<Self>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [Self], Store),
    );
    /// See [`filter::weight_gradient`].
    fn weight_gradient(shape: &ConvShape, image: &Padded<Self>, response: &Padded<Self>) -> Vec<f32>;
}

impl Kernels for f32 {
    fn respond(
        shape: &ConvShape,
        image: &Padded<f32>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [f32], Store),
    ) {
        let run = if winograd::pays(shape) { winograd::respond } else { conv::respond };
        run(shape, image, weight, bias, to);
    }

    fn spread(
        shape: &ConvShape,
        response: &Padded<f32>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [f32], Store),
    ) {
        let run = if winograd::pays(shape) { winograd::spread } else { conv::spread };
        run(shape, response, weight, bias, to);
    }

    fn weight_gradient(shape: &ConvShape, image: &Padded<f32>, response: &Padded<f32>) -> Vec<f32> {
        let run = if winograd::pays(shape) { winograd::weight_gradient } else { filter::weight_gradient };
        run(shape, image, response)
    }
}

impl Kernels for bf16 {
    fn respond(
        shape: &ConvShape,
        image: &Padded<bf16>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [bf16], Store),
    ) {
        #[cfg(target_arch = "x86_64")]
        if tiles() {
            return super::amx::respond(shape, image, weight, bias, to);
        }
        through_f32(to, |to| f32::respond(shape, &image.widened(), weight, bias, to));
    }

    fn spread(
        shape: &ConvShape,
        response: &Padded<bf16>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [bf16], Store),
    ) {
        #[cfg(target_arch = "x86_64")]
        if tiles() {
            return super::amx::spread(shape, response, weight, bias, to);
        }
        through_f32(to, |to| f32::spread(shape, &response.widened(), weight, bias, to));
    }

    fn weight_gradient(shape: &ConvShape, image: &Padded<bf16>, response: &Padded<bf16>) -> Vec<f32> {
        #[cfg(target_arch = "x86_64")]
        if tiles() {
            return super::amx::weight_gradient(shape, image, response);
        }
        f32::weight_gradient(shape, &image.widened(), &response.widened())
    }
}

/// Runs an f32 kernel and rounds its output.
fn through_f32((to, store): (&mut [bf16], Store), run: impl FnOnce((&mut [f32], Store))) {
    let mut wide = Scratch::<f32>::take(to.len());
    if store == Store::Add {
        rows::convert_all(to, &mut wide);
    }
    run((&mut wide, store));
    rows::convert_all(&wide, to);
}

/// Whether matrix tiles are there, and no narrower path was asked for.
#[cfg(target_arch = "x86_64")]
fn tiles() -> bool {
    cpu_path() == CpuPath::Amx
}
