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
    let rows: Vec<_> = (0..taps).flat_map(|tap| (0..ci).map(move |c| (c * taps + tap, 0))).collect();
    let outputs: Vec<_> = (0..co).map(|c| (c * ci * taps, 0)).collect();
    let weight = Packed::new(weight, &Addresses { rows: &rows, outputs: &outputs, tap: &|_, _| Some(0) });
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
/// Each class of image voxels (see [`ConvShape::spread_axis`]) is one gather. Along W, voxels of all classes may go together
/// where they have few channels: these lie side by side, so that memory is written in order.
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
    let axes = [0, 1].map(|axis| shape.spread_axis(axis));
    for voxels in Voxels::of_rows(shape) {
        for d in &axes[0].classes {
            for h in &axes[1].classes {
                let untouched = d.taps * h.taps * voxels.read == 0 && bias.is_none() && store == Store::Add;
                if d.count * h.count * voxels.groups * voxels.joined > 0 && !untouched {
                    spread_class(shape, [d, h], &voxels, response, (weight, bias), (&mut *image, store));
                }
            }
        }
    }
}

/// Groups of neighbouring voxels in a row of the image, a stride apart, and what they read of the response.
struct Voxels {
    /// The first voxel, voxels of a group, and groups.
    start: usize,
    joined: usize,
    groups: usize,
    /// The first response voxel that the first group reads, and their number.
    first: isize,
    read: usize,
}

/// Channels up to which voxels of several classes are worth joining although some then meet weights of zero.
const JOINED_CHANNELS: usize = 32;

impl Voxels {
    /// All voxels of a row.
    fn of_rows(shape: &ConvShape) -> Vec<Self> {
        let (width, stride) = (shape.image[2], shape.params.stride[2]);
        let groups = width / stride;
        if shape.kernel[2] > stride && shape.ci > JOINED_CHANNELS {
            let class = |start: usize| Self::new(shape, start, 1, (width - start).div_ceil(stride));
            return (0..stride.min(width)).map(class).collect();
        }
        // What is left of a row after whole groups is one more.
        let rest = Self::new(shape, groups * stride, width % stride, 1);
        vec![Self::new(shape, 0, stride, groups), rest]
    }

    fn new(shape: &ConvShape, start: usize, joined: usize, groups: usize) -> Self {
        let (stride, padding, kernel) = (shape.params.stride[2], shape.params.padding[2], shape.kernel[2]);
        // Image voxel i receives from response voxel r by tap i + padding - stride r.
        let ranges = (start + padding..start + padding + joined).filter_map(|i| {
            let taps = kernel.saturating_sub(i % stride).div_ceil(stride) as isize;
            let end = (i / stride) as isize + 1;
            (taps > 0).then_some([end - taps, end])
        });
        let first = ranges.clone().map(|[first, _]| first).min().unwrap_or(0);
        let end = ranges.map(|[_, end]| end).max().unwrap_or(first);
        Voxels { start, joined, groups, first, read: (end - first) as usize }
    }

    /// The tap by which response voxel `j` of those read reaches voxel `o` of the group.
    fn tap(&self, shape: &ConvShape, j: usize, o: usize) -> Option<usize> {
        let [.., stride] = shape.params.stride;
        let image = (self.start + o + shape.params.padding[2]) as isize;
        let tap = image - stride as isize * (self.first + j as isize);
        usize::try_from(tap).ok().filter(|tap| *tap < shape.kernel[2])
    }
}

fn spread_class(
    shape: &ConvShape,
    class: [&SpreadClass; 2],
    voxels: &Voxels,
    response: &Padded<f32>,
    (weight, bias): (&[f32], Option<&[f32]>),
    (image, store): (&mut [f32], Store),
) {
    let &ConvShape { batch, ci, co, kernel, .. } = shape;
    let stride = shape.params.stride;
    let (from, to) = (response.strides(), channels_last_strides(shape.image, ci));
    let [td, th] = class.map(|class| class.taps);
    let empty = td * th * voxels.read == 0;
    let spans: Vec<Span> = (0..if empty { 0 } else { td * th })
        .map(|i| Span { offset: i / th * from[1] + i % th * from[2], len: voxels.read * co })
        .collect();
    // Ascending response voxels meet descending taps: k = residue + stride * (taps - 1 - j).
    let tap = |axis: usize, j: usize| class[axis].residue + stride[axis] * (class[axis].taps - 1 - j);
    let volume: usize = kernel.iter().product();
    let row = |position: usize| {
        let (span, voxel) = (position / voxels.read, position % voxels.read);
        let start = (tap(0, span / th) * kernel[1] + tap(1, span % th)) * kernel[2];
        (0..co).map(move |c| (c * ci * volume + start, voxel))
    };
    let rows: Vec<_> = (0..spans.len() * voxels.read).flat_map(row).collect();
    let outputs: Vec<_> =
        (0..voxels.joined).flat_map(|voxel| (0..ci).map(move |c| (c * volume, voxel))).collect();
    let tap = |read: usize, voxel: usize| voxels.tap(shape, read, voxel);
    let packed = Packed::new(weight, &Addresses { rows: &rows, outputs: &outputs, tap: &tap });
    let biases = bias.map(|bias| bias.repeat(voxels.joined));
    // A class that no tap reaches reads nothing.
    let input = if empty {
        Walk { start: 0, strides: [0; 4] }
    } else {
        let before = response.frame.before;
        let at = |axis: usize| before[axis] + class[axis].first_q + 1 - class[axis].taps;
        let first = before[2].saturating_add_signed(voxels.first);
        Walk { start: at(0) * from[1] + at(1) * from[2] + first * from[3], strides: from }
    };
    let [d, h] = class.map(|class| class.first_image);
    let plan = Gather {
        counts: [batch, class[0].count, class[1].count, voxels.groups],
        input,
        output: Walk {
            start: d * to[1] + h * to[2] + voxels.start * to[3],
            strides: [to[0], to[1] * stride[0], to[2] * stride[1], to[3] * stride[2]],
        },
        spans: &spans,
        weight: &packed,
        bias: biases.as_deref(),
        store,
    };
    gather(&plan, &response.values, image);
}

pub(crate) fn channels_last_strides(sides: [usize; 3], channels: usize) -> [usize; 4] {
    let [d, h, w] = sides;
    [d * h * w * channels, h * w * channels, w * channels, channels]
}
