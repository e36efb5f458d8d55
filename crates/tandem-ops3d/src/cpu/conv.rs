//! Convolutions as gathers: image to response, and response to image.

use super::gather::{Addresses, Gather, Packed, Span, Store, Walk, gather};
use super::pad::Padded;
use crate::conv_shape::{ConvShape, SpreadClass};

/// The response `(n, d', h', w', co)` of an image `(n, d, h, w, ci)` in its [`ConvShape::image_frame`]: the forward pass of a
/// convolution, the input gradient of a transposed one.
pub(crate) fn respond(
    shape: &ConvShape,
    image: &Padded<f32>,
    weight: &[f32],
    bias: Option<&[f32]>,
    (response, store): (&mut [f32], Store),
) {
    let &ConvShape { batch, ci, co, kernel: [kd, kh, kw], .. } = shape;
    assert_eq!(image.frame, shape.image_frame(), "an image lies in another frame than its convolution's");
    let strides = image.strides();
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
        store,
    };
    gather(&plan, &image.values, response);
}

/// The image `(n, d, h, w, ci)` that a response `(n, d', h', w', co)` in its [`ConvShape::response_frame`] spreads into: the
/// input gradient of a convolution, the forward pass of a transposed one.
///
/// Each class of image voxels (see [`ConvShape::spread_axis`]) is one gather.
pub(crate) fn spread(
    shape: &ConvShape,
    response: &Padded<f32>,
    weight: &[f32],
    bias: Option<&[f32]>,
    (image, store): (&mut [f32], Store),
) {
    assert_eq!(
        response.frame,
        shape.response_frame(),
        "a response lies in another frame than its convolution's"
    );
    let axes = [0, 1, 2].map(|axis| shape.spread_axis(axis));
    for d in &axes[0].classes {
        for h in &axes[1].classes {
            for w in &axes[2].classes {
                spread_class(shape, [d, h, w], response, (weight, bias), (image, store));
            }
        }
    }
}

fn spread_class(
    shape: &ConvShape,
    class: [&SpreadClass; 3],
    response: &Padded<f32>,
    (weight, bias): (&[f32], Option<&[f32]>),
    (image, store): (&mut [f32], Store),
) {
    if class.iter().any(|class| class.count == 0) {
        return;
    }
    let &ConvShape { ci, co, kernel, .. } = shape;
    let stride = shape.params.stride;
    let from = response.strides();
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
    let before = response.frame.before;
    let plan = Gather {
        counts: [shape.batch, class[0].count, class[1].count, class[2].count],
        // A class that no tap reaches reads nothing.
        input: if empty {
            Walk { start: 0, strides: [0; 4] }
        } else {
            let first = [0, 1, 2].map(|axis| before[axis] + class[axis].first_q + 1 - class[axis].taps);
            Walk { start: start(from, first), strides: from }
        },
        output: Walk {
            start: start(to, class.map(|c| c.first_image)),
            strides: [to[0], to[1] * stride[0], to[2] * stride[1], to[3] * stride[2]],
        },
        spans: &spans,
        weight: &packed,
        bias,
        store,
    };
    gather(&plan, &response.values, image);
}

pub(crate) fn channels_last_strides(sides: [usize; 3], channels: usize) -> [usize; 4] {
    let [d, h, w] = sides;
    [d * h * w * channels, h * w * channels, w * channels, channels]
}
