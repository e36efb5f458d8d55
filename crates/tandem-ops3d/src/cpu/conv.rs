//! Convolutions as gathers: image to response, and response to image.

use super::gather::{Addresses, Gather, Packed, Span, Walk, gather};
use super::pad::pad;
use crate::conv_shape::ConvShape;

/// The response `(n, d', h', w', co)` of an image `(n, d, h, w, ci)`: the forward pass of a convolution, the input
/// gradient of a transposed one.
pub(crate) fn respond(
    shape: &ConvShape,
    image: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    response: &mut [f32],
) {
    let &ConvShape { batch, ci, co, kernel: [kd, kh, kw], .. } = shape;
    let padding = shape.params.padding;
    let padded = (padding != [0; 3]).then(|| pad(image, shape.image_dims(), padding, padding));
    let (values, sides) = padded.as_ref().map_or((image, shape.image), |p| (&p.values[..], p.sides));

    let strides = channels_last_strides(sides, ci);
    let spans: Vec<Span> = (0..kd * kh)
        .map(|i| Span { offset: i / kh * strides[1] + i % kh * strides[2], len: kw * ci })
        .collect();
    let taps = kd * kh * kw;
    let rows: Vec<usize> = (0..taps).flat_map(|tap| (0..ci).map(move |c| c * taps + tap)).collect();
    let weight = Packed::new(weight, &Addresses { rows: &rows, channel_stride: ci * taps }, co);
    let [sd, sh, sw] = shape.params.stride;
    let plan = Gather {
        counts: [batch, shape.response[0], shape.response[1], shape.response[2]],
        input: Walk { start: 0, strides: [strides[0], sd * strides[1], sh * strides[2], sw * strides[3]] },
        output: Walk { start: 0, strides: channels_last_strides(shape.response, co) },
        spans: &spans,
        weight: &weight,
        bias,
    };
    gather(&plan, values, response);
}

/// The image `(n, d, h, w, ci)` that a response `(n, d', h', w', co)` spreads into: the input gradient of a convolution,
/// the forward pass of a transposed one.
///
/// With strides, image voxels fall into classes by their position modulo the stride; the voxels of one class see the
/// same taps, so that each class is one gather.
pub(crate) fn spread(
    shape: &ConvShape,
    response: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    image: &mut [f32],
) {
    let axes = [0, 1, 2].map(|axis| SpreadAxis::new(shape, axis));
    let (before, after) = (axes.each_ref().map(|axis| axis.before), axes.each_ref().map(|axis| axis.after));
    let padded =
        (before != [0; 3] || after != [0; 3]).then(|| pad(response, shape.response_dims(), before, after));
    let (values, sides) = padded.as_ref().map_or((response, shape.response), |p| (&p.values[..], p.sides));
    for d in &axes[0].classes {
        for h in &axes[1].classes {
            for w in &axes[2].classes {
                spread_class(shape, [d, h, w], (values, sides), weight, bias, image);
            }
        }
    }
}

fn spread_class(
    shape: &ConvShape,
    class: [&SpreadClass; 3],
    (values, sides): (&[f32], [usize; 3]),
    weight: &[f32],
    bias: Option<&[f32]>,
    image: &mut [f32],
) {
    let &ConvShape { ci, co, kernel, .. } = shape;
    let stride = shape.params.stride;
    let from = channels_last_strides(sides, co);
    let to = channels_last_strides(shape.image, ci);
    let [td, th, tw] = class.map(|class| class.taps);
    let empty = td * th * tw == 0;
    let spans: Vec<Span> = (0..if empty { 0 } else { td * th })
        .map(|i| Span { offset: i / th * from[1] + i % th * from[2], len: tw * co })
        .collect();
    // Ascending response voxels meet descending taps: k = residue + stride * (taps - 1 - j).
    let tap = |axis: usize, j: usize| class[axis].residue + stride[axis] * (class[axis].taps - 1 - j);
    let volume = kernel[0] * kernel[1] * kernel[2];
    let positions =
        (0..spans.len() * tw).map(|p| [tap(0, p / (th * tw)), tap(1, p / tw % th), tap(2, p % tw)]);
    let flat = positions.map(|[d, h, w]| (d * kernel[1] + h) * kernel[2] + w);
    let rows: Vec<usize> = flat.flat_map(|tap| (0..co).map(move |c| c * ci * volume + tap)).collect();
    let packed = Packed::new(weight, &Addresses { rows: &rows, channel_stride: volume }, ci);
    let start = |strides: [usize; 4], first: [usize; 3]| (0..3).map(|a| first[a] * strides[a + 1]).sum();
    let plan = Gather {
        counts: [shape.batch, class[0].count, class[1].count, class[2].count],
        // A class that no tap reaches reads nothing.
        input: if empty {
            Walk { start: 0, strides: [0; 4] }
        } else {
            Walk { start: start(from, class.map(|c| c.first_response)), strides: from }
        },
        output: Walk {
            start: start(to, class.map(|c| c.first_image)),
            strides: [to[0], to[1] * stride[0], to[2] * stride[1], to[3] * stride[2]],
        },
        spans: &spans,
        weight: &packed,
        bias,
    };
    if class.iter().all(|class| class.count > 0) {
        gather(&plan, values, image);
    }
}

/// How one axis of a response spreads.
struct SpreadAxis {
    classes: Vec<SpreadClass>,
    /// Zeros that the response needs on either side.
    before: usize,
    after: usize,
}

/// The image voxels `stride * q + residue - padding`.
struct SpreadClass {
    residue: usize,
    /// Taps that reach them: `residue`, `residue + stride`, ...
    taps: usize,
    /// How many such voxels the image has, and the first of them.
    count: usize,
    first_image: usize,
    /// The first response voxel (in the padded response) that the first of them receives from.
    first_response: usize,
}

impl SpreadAxis {
    fn new(shape: &ConvShape, axis: usize) -> Self {
        let (stride, padding) = (shape.params.stride[axis], shape.params.padding[axis]);
        let (kernel, image) = (shape.kernel[axis], shape.image[axis]);
        let before = kernel.div_ceil(stride) - 1;
        let mut after = 0;
        let classes = (0..stride)
            .map(|residue| {
                let first_q = padding.saturating_sub(residue).div_ceil(stride);
                let end_q = (image + padding).saturating_sub(residue).div_ceil(stride).max(first_q);
                let taps = kernel.saturating_sub(residue).div_ceil(stride);
                if taps > 0 {
                    after = after.max(end_q.saturating_sub(shape.response[axis]));
                }
                SpreadClass {
                    residue,
                    taps,
                    count: end_q - first_q,
                    first_image: (stride * first_q + residue).saturating_sub(padding),
                    first_response: (before + first_q + 1).saturating_sub(taps),
                }
            })
            .collect();
        SpreadAxis { classes, before, after }
    }
}

pub(crate) fn channels_last_strides(sides: [usize; 3], channels: usize) -> [usize; 4] {
    let [d, h, w] = sides;
    [d * h * w * channels, h * w * channels, w * channels, channels]
}
