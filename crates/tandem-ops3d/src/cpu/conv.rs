//! Convolutions as gathers: image to response, and response to image.

use super::gather::{Class, Gather, Store, gather};
use super::packed::{Addresses, Packed};
use super::pad::Rows;
use super::transpose::transposed;
use crate::conv_shape::{ConvShape, SpreadClass};

/// The response `(n, d', h', w', co)` of an image `(n, d, h, w, ci)`: the forward pass of a convolution, the input gradient of
/// a transposed one.
pub(crate) fn respond(
    shape: &ConvShape,
    image: Rows<f32>,
    weight: &[f32],
    bias: Option<&[f32]>,
    (response, store): (&mut [f32], Store),
) {
    assert_eq!(image.dims, shape.image_dims(), "an image is not that of its convolution");
    let &ConvShape { ci, co, kernel, response: [d, h, w], params, .. } = shape;
    let (taps, first) = (kernel.iter().product::<usize>(), shape.first_read([0; 3]));
    // From (co, ci, tap) to (ci, tap, co).
    let by_output = transposed(weight, 1, [co, ci * taps]);
    let rows: Vec<_> = (0..taps).flat_map(|tap| (0..ci).map(move |c| ((c * taps + tap) * co, 0))).collect();
    let addresses = Addresses { rows: &rows, outputs: [1, co], tap: &|_, _| Some(0) };
    let class = Class {
        positions: [0..d, 0..h],
        groups: w,
        reads: [0, 1, 2].map(|axis| first[axis]..first[axis] + kernel[axis] as isize),
        start: 0,
        weight: Packed::new(&by_output, &addresses),
        bias: bias.map(<[f32]>::to_vec),
    };
    let output_step = [h * w * co, w * co, co];
    let plan = Gather {
        input: image,
        step: params.stride,
        output_step,
        classes: vec![class],
        output: d * h * w * co,
        store,
    };
    gather(&plan, response);
}

/// The image `(n, d, h, w, ci)` that a response `(n, d', h', w', co)` spreads into: the input gradient of a convolution, the
/// forward pass of a transposed one.
///
/// Each class of image voxels (see [`ConvShape::spread_axis`]) is one convolution of the response. Along W, voxels of all
/// classes may go together where they have few channels: these lie side by side, so that memory is written in order.
pub(crate) fn spread(
    shape: &ConvShape,
    response: Rows<f32>,
    weight: &[f32],
    bias: Option<&[f32]>,
    (image, store): (&mut [f32], Store),
) {
    assert_eq!(response.dims, shape.response_dims(), "a response is not that of its convolution");
    let axes = [0, 1].map(|axis| shape.spread_axis(axis));
    // From (co, ci, tap) to (co, tap, ci).
    let by_output = transposed(weight, shape.co, [shape.ci, shape.kernel.iter().product()]);
    let mut classes = Vec::new();
    for voxels in Voxels::of_rows(shape) {
        for d in &axes[0].classes {
            for h in &axes[1].classes {
                let untouched = d.taps * h.taps * voxels.read == 0 && bias.is_none() && store == Store::Add;
                if d.count * h.count * voxels.groups * voxels.joined > 0 && !untouched {
                    classes.push(spread_class(shape, [d, h], &voxels, &by_output, bias));
                }
            }
        }
    }
    let ([_, h, w], [sd, sh, sw], ci) = (shape.image, shape.params.stride, shape.ci);
    let output_step = [sd * h * w * ci, sh * w * ci, sw * ci];
    let output = shape.image.iter().product::<usize>() * ci;
    gather(&Gather { input: response, step: [1; 3], output_step, classes, output, store }, image);
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
const JOINED_CHANNELS: usize = 16;

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
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Class {
    let &ConvShape { ci, co, kernel, image: [_, height, width], .. } = shape;
    let stride = shape.params.stride;
    let [td, th] = class.map(|class| class.taps);
    // Ascending response voxels meet descending taps: k = residue + stride * (taps - 1 - j).
    let tap = |axis: usize, j: usize| class[axis].residue + stride[axis] * (class[axis].taps - 1 - j);
    let volume: usize = kernel.iter().product();
    let row = |position: usize| {
        let (span, voxel) = (position / voxels.read, position % voxels.read);
        let start = (tap(0, span / th) * kernel[1] + tap(1, span % th)) * kernel[2];
        (0..co).map(move |c| ((c * volume + start) * ci, voxel))
    };
    let rows: Vec<_> = (0..td * th * voxels.read).flat_map(row).collect();
    let along = |read: usize, voxel: usize| voxels.tap(shape, read, voxel).map(|tap| tap * ci);
    let addresses = Addresses { rows: &rows, outputs: [voxels.joined, ci], tap: &along };
    // Position 0 would lie where the class's residue does.
    let first = |axis: usize| class[axis].residue as isize - shape.params.padding[axis] as isize;
    let start = (first(0) * height as isize + first(1)) * width as isize + voxels.start as isize;
    let reads = |taps: usize| 1 - taps as isize..1;
    Class {
        positions: class.map(|class| class.first_q..class.first_q + class.count),
        groups: voxels.groups,
        reads: [reads(td), reads(th), voxels.first..voxels.first + voxels.read as isize],
        start: start * ci as isize,
        weight: Packed::new(weight, &addresses),
        bias: bias.map(|bias| bias.repeat(voxels.joined)),
    }
}
