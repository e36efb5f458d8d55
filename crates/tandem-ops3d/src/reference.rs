//! Plain-loop twins of the kernels, in f64: the oracle of this crate's tests, and of anyone who writes a kernel.

use crate::conv_shape::ConvShape;
use crate::cpu::element::Element;
use crate::cpu::gather::Store;
use tandem_reference::relative_error;

/// Calls `f(image index, response index, weight index)` for every product of a convolution, without channels' order
/// or layout in mind.
fn each_product(shape: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    let &ConvShape { batch, image, response, kernel, ci, co, params } = shape;
    let index = |sides: [usize; 3], n: usize, at: [usize; 3]| {
        ((n * sides[0] + at[0]) * sides[1] + at[1]) * sides[2] + at[2]
    };
    for n in 0..batch {
        for o in positions(response) {
            for k in positions(kernel) {
                let at = [0, 1, 2].map(|a| (o[a] * params.stride[a] + k[a]).wrapping_sub(params.padding[a]));
                if (0..3).any(|a| at[a] >= image[a]) {
                    continue;
                }
                for c in 0..ci {
                    for r in 0..co {
                        f(
                            index(image, n, at) * ci + c,
                            index(response, n, o) * co + r,
                            index(kernel, r * ci + c, k),
                        );
                    }
                }
            }
        }
    }
}

fn positions(sides: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let [d, h, w] = sides;
    (0..d * h * w).map(move |i| [i / (h * w), i / w % h, i % w])
}

/// Convolution without bias.
pub(crate) fn respond(shape: &ConvShape, image: &[f32], weight: &[f32]) -> Vec<f64> {
    let mut response = vec![0.0; shape.response_dims().iter().product()];
    each_product(shape, |i, r, w| response[r] += f64::from(image[i]) * f64::from(weight[w]));
    response
}

/// Transposed convolution without bias.
pub(crate) fn spread(shape: &ConvShape, response: &[f32], weight: &[f32]) -> Vec<f64> {
    let mut image = vec![0.0; shape.image_dims().iter().product()];
    each_product(shape, |i, r, w| image[i] += f64::from(response[r]) * f64::from(weight[w]));
    image
}

/// Weight gradient.
pub(crate) fn weight_gradient(shape: &ConvShape, image: &[f32], response: &[f32]) -> Vec<f64> {
    let mut weight = vec![0.0; shape.weight_dims().iter().product()];
    each_product(shape, |i, r, w| weight[w] += f64::from(image[i]) * f64::from(response[r]));
    weight
}

/// Checks a convolution over memory that was never written, one that adds to it, and one with a bias.
pub(crate) fn check_outputs<T: Element + Into<f64>>(
    shape: &ConvShape,
    (expected, tolerance): (&[f64], f64),
    bias: &[f32],
    run: impl Fn(Option<&[f32]>, (&mut [T], Store)),
) {
    let mut ours = vec![T::from_f32(f32::NAN); expected.len()];
    let mut compare = |bias: Option<&[f32]>, store, expected: &[f64]| {
        run(bias, (&mut ours, store));
        let error = relative_error(&ours, expected);
        assert!(error < tolerance, "{store:?} with bias {} of {shape:?}: {error}", bias.is_some());
    };
    compare(None, Store::Write, expected);
    let twice: Vec<f64> = expected.iter().map(|value| 2.0 * value).collect();
    compare(None, Store::Add, &twice);
    let biased = expected.iter().enumerate().map(|(i, value)| value + f64::from(bias[i % bias.len()]));
    compare(Some(bias), Store::Write, &biased.collect::<Vec<_>>());
}
