//! The convolution kernels of each kind of storage.

use super::element::Element;
use super::gather::Store;
use super::pad::{Image, Rows};
use super::path::cpu_path;
use super::rows;
use super::scratch::Scratch;
use super::{conv, filter, winograd};
use crate::conv_shape::ConvShape;
use half::bf16;

/// Storage that convolutions run on. Images are in the form that [`Kernels::reads_rows`] says.
pub(crate) trait Kernels: Element {
    /// Whether the kernels read images row by row.
    fn reads_rows() -> bool;
    /// See [`conv::respond`].
    fn respond(
        shape: &ConvShape,
        image: &Image<Self>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [Self], Store),
    );
    /// See [`conv::spread`].
    fn spread(
        shape: &ConvShape,
        response: &Image<Self>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [Self], Store),
    );
    /// See [`filter::weight_gradient`].
    fn weight_gradient(shape: &ConvShape, image: &Image<Self>, response: &Image<Self>, to: &mut [f32]);
}

impl Kernels for f32 {
    fn reads_rows() -> bool {
        true
    }

    fn respond(
        shape: &ConvShape,
        image: &Image<f32>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [f32], Store),
    ) {
        let respond = if winograd::pays(shape) { winograd::respond } else { conv::respond };
        respond(shape, image.rows(), weight, bias, to);
    }

    fn spread(
        shape: &ConvShape,
        response: &Image<f32>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [f32], Store),
    ) {
        let spread = if winograd::pays(shape) { winograd::spread } else { conv::spread };
        spread(shape, response.rows(), weight, bias, to);
    }

    fn weight_gradient(shape: &ConvShape, image: &Image<f32>, response: &Image<f32>, to: &mut [f32]) {
        let gradient =
            if winograd::pays(shape) { winograd::weight_gradient } else { filter::weight_gradient };
        gradient(shape, image.rows(), response.rows(), to);
    }
}

impl Kernels for bf16 {
    fn reads_rows() -> bool {
        !narrow_products()
    }

    fn respond(
        shape: &ConvShape,
        image: &Image<bf16>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [bf16], Store),
    ) {
        #[cfg(target_arch = "x86_64")]
        if let (true, Image::Framed(image)) = (narrow_products(), image) {
            return super::bf16::respond(shape, image, weight, bias, to);
        }
        widened(image, |image| through_f32(to, |to| f32::respond(shape, image, weight, bias, to)));
    }

    fn spread(
        shape: &ConvShape,
        response: &Image<bf16>,
        weight: &[f32],
        bias: Option<&[f32]>,
        to: (&mut [bf16], Store),
    ) {
        #[cfg(target_arch = "x86_64")]
        if let (true, Image::Framed(response)) = (narrow_products(), response) {
            return super::bf16::spread(shape, response, weight, bias, to);
        }
        widened(response, |response| through_f32(to, |to| f32::spread(shape, response, weight, bias, to)));
    }

    fn weight_gradient(shape: &ConvShape, image: &Image<bf16>, response: &Image<bf16>, to: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if let (true, Image::Framed(image), Image::Framed(response)) = (narrow_products(), image, response) {
            return super::bf16::weight_gradient(shape, image, response, to);
        }
        widened(image, |image| {
            widened(response, |response| f32::weight_gradient(shape, image, response, to));
        });
    }
}

/// Runs `f` on the same image in f32.
fn widened<R>(image: &Image<bf16>, f: impl FnOnce(&Image<f32>) -> R) -> R {
    let Rows { dims, read, .. } = image.rows();
    let read = |row: usize, to: &mut [f32]| {
        let mut narrow = vec![bf16::ZERO; to.len()];
        read(row, &mut narrow);
        rows::convert(&narrow, to);
    };
    f(&Image::Rows(Rows { dims, read: &read, whole: None }))
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

/// Whether this process multiplies bf16 values as they are.
fn narrow_products() -> bool {
    cpu_path().multiplies_bf16()
}
