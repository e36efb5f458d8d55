//! Convolutions in both directions as one form: groups of output voxels, each a product of a run of input values and a
//! matrix of weights.
//!
//! A group is one or more voxels side by side, so that its output values are contiguous, and so that the input of the
//! next group begins a whole number of cache lines later where that can be had. Under each row of the filter a group
//! reads one run of input values; the weight between an input and an output of a group that no tap connects is zero.

use super::super::pad::Padded;
use super::Engine;
use crate::conv_shape::{ConvShape, SpreadClass};
use half::bf16;

/// Where groups `(n, d, h, g)` lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) start: usize,
    pub(super) strides: [usize; 4],
}

/// The run of input values under one row of the filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Where it starts, from the group's first input value.
    pub(super) offset: usize,
    /// The row's first tap.
    pub(super) tap: usize,
}

/// Along W: input voxel `j` of a run and output voxel `o` of a group meet in tap `shift + o * per_output + j * per_input`,
/// if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taps {
    pub(super) shift: isize,
    pub(super) per_output: isize,
    pub(super) per_input: isize,
    pub(super) count: usize,
}

impl Taps {
    /// The tap in which two voxels meet: below 0 or too large where they do not.
    pub(super) fn at(&self, j: usize, o: usize) -> isize {
        self.shift + o as isize * self.per_output + j as isize * self.per_input
    }

    fn meet(&self, j: usize, o: usize) -> bool {
        (0..self.count as isize).contains(&self.at(j, o))
    }
}

/// One gather.
#[derive(Debug)]
pub(super) struct Plan {
    /// Images, planes, rows, and groups in a row.
    pub(super) counts: [usize; 4],
    pub(super) input: Walk,
    pub(super) output: Walk,
    /// Output values of a whole row: the last group may be cut short.
    pub(super) row_values: usize,
    /// Output values of a group.
    pub(super) columns: usize,
    pub(super) spans: Vec<Span>,
    /// Values of each span.
    pub(super) span_len: usize,
    pub(super) taps: Taps,
    /// Channels of input and output.
    pub(super) channels: [usize; 2],
    /// From one channel of input and of output to the next, in the parameter.
    pub(super) weight_strides: [usize; 2],
}

/// Voxels (times the stride, where an image is spread into) that may be joined to a group.
const GROUPS: [usize; 3] = [1, 2, 4];

/// From an image to its response.
pub(super) fn respond(shape: &ConvShape, image: &Padded<bf16>) -> Plan {
    cheapest(|joined| respond_in_groups(shape, image.strides(), joined))
}

/// From a response to the image it spreads into: one plan for each class of planes and rows.
pub(super) fn spread(shape: &ConvShape, response: &Padded<bf16>) -> Vec<Plan> {
    let axes = [shape.spread_axis(0), shape.spread_axis(1)];
    let mut plans = Vec::new();
    for d in &axes[0].classes {
        for h in &axes[1].classes {
            if d.count > 0 && h.count > 0 {
                plans.push(cheapest(|joined| spread_in_groups(shape, response, [d, h], joined)));
            }
        }
    }
    plans
}

fn cheapest(plan: impl Fn(usize) -> Plan) -> Plan {
    let (engine, [first, rest @ ..]) = (Engine::of_process(), GROUPS);
    let costed = |joined| {
        let plan = plan(joined);
        (plan.cost(engine), plan)
    };
    let better = |best: (usize, Plan), other: (usize, Plan)| if other.0 < best.0 { other } else { best };
    rest.into_iter().map(costed).fold(costed(first), better).1
}

fn respond_in_groups(shape: &ConvShape, from: [usize; 4], joined: usize) -> Plan {
    let &ConvShape { batch, response, kernel: [kd, kh, kw], ci, co, .. } = shape;
    let [sd, sh, sw] = shape.params.stride;
    let to = channels_last_strides(response, co);
    let span = |i: usize| Span { offset: i / kh * from[1] + i % kh * from[2], tap: i * kw };
    Plan {
        counts: [batch, response[0], response[1], response[2].div_ceil(joined)],
        input: Walk { start: 0, strides: [from[0], sd * from[1], sh * from[2], joined * sw * ci] },
        output: Walk { start: 0, strides: [to[0], to[1], to[2], joined * co] },
        row_values: response[2] * co,
        columns: joined * co,
        spans: (0..kd * kh).map(span).collect(),
        span_len: ((joined - 1) * sw + kw) * ci,
        taps: Taps { shift: 0, per_output: -(sw as isize), per_input: 1, count: kw },
        channels: [ci, co],
        weight_strides: [kd * kh * kw, ci * kd * kh * kw],
    }
}

fn spread_in_groups(
    shape: &ConvShape,
    response: &Padded<bf16>,
    class: [&SpreadClass; 2],
    joined: usize,
) -> Plan {
    let &ConvShape { batch, image, kernel, ci, co, .. } = shape;
    let (stride, padding) = (shape.params.stride, shape.params.padding[2]);
    let (from, to) = (response.strides(), channels_last_strides(image, ci));
    let voxels = joined * stride[2];
    // Image voxel `o` of group `g` receives from the response voxels `g * joined + (o + padding) / stride - j` with
    // `j` below its number of taps.
    let reach = |o: usize| {
        let (q, residue) = ((o + padding) / stride[2], (o + padding) % stride[2]);
        let taps = kernel[2].saturating_sub(residue).div_ceil(stride[2]) as isize;
        (taps > 0).then(|| [q as isize - taps + 1, q as isize])
    };
    let first = (0..voxels.min(image[2])).filter_map(reach).map(|[first, _]| first).min();
    let last = (0..voxels).filter_map(reach).map(|[_, last]| last).max();
    let (first, last) = (first.unwrap_or(0), last.unwrap_or(-1));
    let before = response.frame.before;
    // Ascending response voxels meet descending taps.
    let tap = |axis: usize, j: usize| class[axis].residue + stride[axis] * (class[axis].taps - 1 - j);
    let rows = class[1].taps;
    let span = |i: usize| Span {
        offset: i / rows * from[1] + i % rows * from[2],
        tap: (tap(0, i / rows) * kernel[1] + tap(1, i % rows)) * kernel[2],
    };
    let spans: Vec<Span> = (0..class[0].taps * rows).map(span).collect();
    let at = |axis: usize| (before[axis] + class[axis].first_q + 1).saturating_sub(class[axis].taps);
    let start = at(0) * from[1] + at(1) * from[2] + before[2].saturating_add_signed(first) * co;
    let volume = kernel[0] * kernel[1] * kernel[2];
    Plan {
        counts: [batch, class[0].count, class[1].count, image[2].div_ceil(voxels)],
        input: Walk { start, strides: [from[0], from[1], from[2], joined * co] },
        output: Walk {
            start: class[0].first_image * to[1] + class[1].first_image * to[2],
            strides: [to[0], stride[0] * to[1], stride[1] * to[2], voxels * ci],
        },
        row_values: image[2] * ci,
        columns: voxels * ci,
        // Where no tap reaches, nothing is read.
        span_len: if spans.is_empty() { 0 } else { (last - first + 1).max(0) as usize * co },
        spans,
        taps: Taps {
            shift: padding as isize - stride[2] as isize * first,
            per_output: 1,
            per_input: -(stride[2] as isize),
            count: kernel[2],
        },
        channels: [co, ci],
        weight_strides: [ci * volume, volume],
    }
}

/// Rows of a tile: groups that are computed at once.
pub(super) const TILE: usize = 16;
/// Values in a row of a tile.
pub(super) const DEPTH: usize = 32;
/// Columns of a tile of sums.
pub(super) const WIDTH: usize = 16;

impl Plan {
    /// Positions from one row of groups to the next, where the positions of a plane are numbered so that tiles can be cut
    /// from them: across rows where the input's rows lie evenly, and few positions between them are wasted.
    pub(super) fn pitch(&self) -> usize {
        let [.., rows, groups] = self.counts;
        let whole = groups.div_ceil(TILE) * TILE;
        let [.., row, step] = self.input.strides;
        if step == 0 || !row.is_multiple_of(step) || row / step < groups {
            return whole;
        }
        let even = row / step;
        let across = ((rows - 1) * even + groups).div_ceil(TILE);
        if across < rows * whole / TILE { even } else { whole }
    }

    /// Tiles of groups in a plane.
    pub(super) fn plane_tiles(&self) -> usize {
        let [.., rows, groups] = self.counts;
        ((rows - 1) * self.pitch() + groups).div_ceil(TILE)
    }

    /// The first values of the tiles into which a span is cut.
    pub(super) fn chunks(&self) -> impl Iterator<Item = usize> {
        (0..self.span_len).step_by(DEPTH)
    }

    /// Whether any tap connects the input values from `l` on with the output values from `column` on.
    pub(super) fn connects(&self, l: usize, column: usize) -> bool {
        if l >= self.span_len || column >= self.columns {
            return false;
        }
        let [inputs, outputs] = self.channels;
        let last_l = (l + DEPTH).min(self.span_len) - 1;
        let last_column = (column + WIDTH).min(self.columns) - 1;
        (l / inputs..=last_l / inputs)
            .any(|j| (column / outputs..=last_column / outputs).any(|o| self.taps.meet(j, o)))
    }

    /// Pairs of values in the tile of a span that begins with `l`.
    pub(super) fn pairs(&self, l: usize) -> usize {
        (self.span_len - l).min(DEPTH).div_ceil(2)
    }

    /// Rough cost of a plane, in cycles: products, loads of rows that are not aligned, and the storing of sums.
    fn cost(&self, engine: Engine) -> usize {
        let blocks = self.columns.div_ceil(2 * WIDTH);
        let tiles = |l: usize| (0..2 * blocks).filter(|tile| self.connects(l, tile * WIDTH)).count();
        if engine == Engine::Vectors {
            let [.., rows, groups] = self.counts;
            let products: usize = self.chunks().map(|l| self.pairs(l) * tiles(l)).sum();
            return rows * groups * (self.spans.len() * products + 8 * blocks);
        }
        let tiles: usize = self.chunks().map(tiles).sum();
        let aligned = self.input.strides.iter().all(|stride| (stride * size_of::<bf16>()).is_multiple_of(64));
        let load = if aligned { 0 } else { 24 };
        let loads = self.chunks().count() * blocks * load;
        self.plane_tiles() * (self.spans.len() * (16 * tiles + loads) + 40 * blocks)
    }
}

fn channels_last_strides(sides: [usize; 3], channels: usize) -> [usize; 4] {
    let [d, h, w] = sides;
    [d * h * w * channels, h * w * channels, w * channels, channels]
}
