//! The gradient of a convolution's weight and bias.
//!
//! `dW[tap][ci][co] = sum over voxels of image[voxel + tap][ci] * response[voxel][co]`. A block keeps several values of
//! one filter row `(kw, ci)` times one or two vectors of `co` in registers and walks over voxels. The voxels are cut into
//! parts by shape alone, each with a sum of its own, added in order: the result does not depend on the thread count.

use super::pad::Padded;
use super::scratch::Scratch;
use super::simd::{Lanes, Unit, Work, on_unit};
use crate::conv_shape::ConvShape;
use crate::storage::filled;
use rayon::prelude::*;
use std::ops::Range;

/// The weight gradient `(co, ci, kd, kh, kw)` from an image in its frame and the gradient of its response in any.
pub(crate) fn weight_gradient(shape: &ConvShape, image: &Padded<f32>, response: &Padded<f32>) -> Vec<f32> {
    let &ConvShape { batch, ci, co, kernel: [kd, kh, kw], .. } = shape;
    let image_strides = image.strides();
    let unit = Unit::for_channels(co);
    let lanes = unit.lanes();
    let first = [0, response.first()];
    let rows = Rows {
        image: &image.values,
        response: &response.values,
        image_strides,
        step: shape.params.stride[2] * ci,
        starts: row_starts(shape, first, [image_strides, response.strides()]),
        width: shape.response[2],
        spans: [kd, kh],
        span_len: kw * ci,
        co,
        co_padded: co.div_ceil(lanes) * lanes,
    };
    check_bounds(&rows);
    let taps = kd * kh * kw;
    let size = taps * ci * rows.co_padded;
    let row_count = batch * shape.response[0] * shape.response[1];
    let parts = part_count(row_count, size);
    let mut sums = Scratch::take(parts * size);
    if size > 0 {
        let span_size = size / (kd * kh);
        // Few parts of a large gradient: its spans are tasks of their own.
        let task = if parts < 8 { span_size } else { size };
        sums.par_chunks_mut(task).enumerate().for_each(|(index, sum)| {
            sum.fill(0.0);
            let (part, first_span) = (index * task / size, index * task % size / span_size);
            let range = [part * row_count / parts, (part + 1) * row_count / parts];
            accumulate(&rows, range, first_span..first_span + task / span_size, sum, unit);
        });
        add_parts(&mut sums, size);
    }
    filled(taps * ci * co, |gradient| unpack(&sums, [taps, ci, co, rows.co_padded], gradient))
}

/// Adds all parts to the first, in order.
pub(super) fn add_parts(sums: &mut [f32], size: usize) {
    let (total, others) = sums.split_at_mut(size);
    total.par_chunks_mut(4096).enumerate().for_each(|(index, total)| {
        for part in others.chunks_exact(size) {
            total.iter_mut().zip(&part[index * 4096..]).for_each(|(total, part)| *total += part);
        }
    });
}

/// From `(tap, ci, co padded)` to `(co, ci, tap)`.
fn unpack(sums: &[f32], [taps, ci, co, co_padded]: [usize; 4], gradient: &mut [f32]) {
    // Sixteen responses at a time: their sums lie in one cache line.
    const GROUP: usize = 16;
    gradient.par_chunks_mut((GROUP * ci * taps).max(1)).enumerate().for_each(|(group, gradient)| {
        let first = group * GROUP;
        for c in 0..ci {
            for tap in 0..taps {
                let row = &sums[(tap * ci + c) * co_padded + first..];
                for o in 0..GROUP.min(co - first) {
                    gradient[(o * ci + c) * taps + tap] = row[o];
                }
            }
        }
    });
}

/// The sum of a response over everything but its channels.
pub(crate) fn bias_gradient(response: &[f32], channels: usize) -> Vec<f32> {
    const VOXELS: usize = 8192;
    let parts: Vec<Vec<f64>> = response
        .par_chunks((VOXELS * channels).max(1))
        .map(|part| {
            let mut sums = vec![0.0f32; channels * 16];
            let mut total = vec![0.0f64; channels];
            // f32 sums stay short, so that rounding does not grow with the volume.
            for stretch in part.chunks(channels * 16 * 32) {
                sums.fill(0.0);
                for block in stretch.chunks(channels * 16) {
                    sums.iter_mut().zip(block).for_each(|(sum, value)| *sum += value);
                }
                sums.iter().enumerate().for_each(|(i, sum)| total[i % channels] += f64::from(*sum));
            }
            total
        })
        .collect();
    (0..channels).map(|c| parts.iter().map(|part| part[c]).sum::<f64>() as f32).collect()
}

/// Parts of the voxels with a sum of their own: enough for many cores, few enough that the sums stay small.
pub(super) fn part_count(rows: usize, size: usize) -> usize {
    const BUDGET: usize = 1 << 20;
    (BUDGET / size.max(1)).clamp(2, 32).min(rows.max(1))
}

/// Where each row `(n, d', h')` of the response begins, and the first image value under it: `[image, response]`.
fn row_starts(shape: &ConvShape, first: [usize; 2], strides: [[usize; 4]; 2]) -> Vec<[usize; 2]> {
    let ([d, h, _], [sd, sh, _]) = (shape.response, shape.params.stride);
    let steps = [[sd, sh], [1, 1]];
    let row = |n: usize, z: usize, y: usize| {
        [0, 1].map(|i| {
            first[i] + n * strides[i][0] + z * steps[i][0] * strides[i][1] + y * steps[i][1] * strides[i][2]
        })
    };
    (0..shape.batch * d * h).map(|index| row(index / (d * h), index / h % d, index % h)).collect()
}

/// The rows `(n, d', h')` of a response, and where the image values under them lie.
struct Rows<'a> {
    image: &'a [f32],
    response: &'a [f32],
    image_strides: [usize; 4],
    /// From one voxel of a row to the next, in the image.
    step: usize,
    /// The first image value under each row, and the row's own first value.
    starts: Vec<[usize; 2]>,
    width: usize,
    spans: [usize; 2],
    span_len: usize,
    co: usize,
    co_padded: usize,
}

impl Rows<'_> {
    fn span_offset(&self, span: usize) -> usize {
        span / self.spans[1] * self.image_strides[1] + span % self.spans[1] * self.image_strides[2]
    }
}

/// The largest addresses read must lie inside the buffers. The kernels rely on it.
fn check_bounds(rows: &Rows) {
    let (Some([last, last_response]), true) = (rows.starts.last(), rows.width > 0) else { return };
    assert!(
        last_response + rows.width * rows.co <= rows.response.len(),
        "a weight gradient reads past its response"
    );
    let last_span = rows.span_offset(rows.spans[0] * rows.spans[1] - 1);
    let reach = last + last_span + (rows.width - 1) * rows.step + rows.span_len;
    assert!(reach <= rows.image.len(), "a weight gradient reads past its image");
}

/// Adds the rows of a range to the `sum` of some spans, `(span, l, co_padded)`.
fn accumulate(rows: &Rows, [first, last]: [usize; 2], spans: Range<usize>, sum: &mut [f32], unit: Unit) {
    // A tile of rows stays in the cache while all taps pass over it.
    let height = (512 / rows.width.max(1)).max(1);
    for start in (first..last).step_by(height) {
        let tile = Tile { rows, range: start..last.min(start + height), spans: spans.clone(), sum };
        // SAFETY: `check_bounds`; the unit is this process's.
        unsafe { on_unit(unit, tile) };
    }
}

/// Some rows of a response, and the spans to whose gradient they are added.
struct Tile<'a> {
    rows: &'a Rows<'a>,
    range: Range<usize>,
    spans: Range<usize>,
    sum: &'a mut [f32],
}

impl Work for Tile<'_> {
    /// All taps and channels: blocks of values of one span times two vectors of channels or one.
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(mut self) {
        let (co, span_len, many) = (self.rows.co, self.rows.span_len, R1 >= 24);
        // SAFETY: the bounds of `check_bounds` hold, and the processor has the lanes' instructions.
        unsafe {
            // The spans of an image with one channel are too short for a block: several go together.
            match (span_len, many) {
                (7, true) => return self.short_spans::<L, 3, 7>(),
                (7, false) => return self.short_spans::<L, 1, 7>(),
                (3, true) => return self.short_spans::<L, 9, 3>(),
                (3, false) => return self.short_spans::<L, 3, 3>(),
                _ => {}
            }
            for span in self.spans.clone() {
                for channel in (0..co).step_by(2 * L::COUNT) {
                    let at = Block { span, l: 0, channel };
                    if co - channel > L::COUNT {
                        self.span::<L, R2, 2>(at);
                    } else {
                        self.span::<L, R1, 1>(at);
                    }
                }
            }
        }
    }
}

/// A block of the gradient: values from `l` on of one span, channels from `channel` on.
#[derive(Clone, Copy)]
struct Block {
    span: usize,
    l: usize,
    channel: usize,
}

impl Tile<'_> {
    /// Spans of `K` values, `S` at a time.
    ///
    /// # Safety
    /// As [`Work::run`] of this type.
    #[inline(always)]
    unsafe fn short_spans<L: Lanes, const S: usize, const K: usize>(&mut self) {
        for channel in (0..self.rows.co).step_by(L::COUNT) {
            let mut span = self.spans.start;
            while span < self.spans.end {
                let at = Block { span, l: 0, channel };
                // SAFETY: the caller's; the spans exist.
                unsafe {
                    if self.spans.end - span >= S {
                        self.block::<L, S, K, 1>(at);
                        span += S;
                    } else {
                        self.block::<L, 1, K, 1>(at);
                        span += 1;
                    }
                }
            }
        }
    }

    /// All values of one span, in the largest blocks that fit.
    ///
    /// # Safety
    /// As [`Work::run`] of this type.
    #[inline(always)]
    unsafe fn span<L: Lanes, const R: usize, const B: usize>(&mut self, mut at: Block) {
        while at.l < self.rows.span_len {
            let left = self.rows.span_len - at.l;
            // SAFETY: the caller's; the block's values exist.
            unsafe {
                at.l += match left {
                    _ if left >= R => self.block::<L, 1, R, B>(at),
                    8.. if R > 8 => self.block::<L, 1, 8, B>(at),
                    4.. => self.block::<L, 1, 4, B>(at),
                    2.. => self.block::<L, 1, 2, B>(at),
                    _ => self.block::<L, 1, 1, B>(at),
                };
            }
        }
    }

    /// Adds the rows to `R` values of each of `S` spans, times `B` vectors of channels; returns `R`.
    ///
    /// # Safety
    /// As [`Work::run`] of this type; the values of all spans exist.
    #[inline(always)]
    unsafe fn block<L: Lanes, const S: usize, const R: usize, const B: usize>(&mut self, at: Block) -> usize {
        let rows = self.rows;
        let first = (at.span - self.spans.start) * rows.span_len + at.l;
        let target = &mut self.sum[first * rows.co_padded + at.channel..];
        let last = (S - 1) * rows.span_len + R - 1;
        assert!(last * rows.co_padded + B * L::COUNT <= target.len(), "a block lies outside of its gradient");
        let place = |s: usize, r: usize, b: usize| (s * rows.span_len + r) * rows.co_padded + b * L::COUNT;
        let valid = (rows.co - at.channel).min(B * L::COUNT);
        // SAFETY: the target's bound was checked, the sources' are the caller's. A response's last voxels may have fewer
        // channels than a vector: those rows go through a buffer.
        unsafe {
            let mut sums = [[[L::splat(0.0); B]; R]; S];
            for s in 0..S {
                for r in 0..R {
                    for b in 0..B {
                        sums[s][r][b] = L::load(target.as_ptr().add(place(s, r, b)));
                    }
                }
            }
            let offsets: [usize; S] = std::array::from_fn(|s| rows.span_offset(at.span + s) + at.l);
            for row in self.range.clone() {
                let mut image = offsets.map(|offset| rows.image.as_ptr().add(rows.starts[row][0] + offset));
                let mut response = rows.response.as_ptr().add(rows.starts[row][1] + at.channel);
                for _ in 0..rows.width {
                    let mut gradient = [L::splat(0.0); B];
                    if valid == B * L::COUNT {
                        for b in 0..B {
                            gradient[b] = L::load(response.add(b * L::COUNT));
                        }
                    } else {
                        let mut buffer = [0.0f32; 32];
                        buffer.as_mut_ptr().copy_from_nonoverlapping(response, valid);
                        for b in 0..B {
                            gradient[b] = L::load(buffer.as_ptr().add(b * L::COUNT));
                        }
                    }
                    for s in 0..S {
                        for r in 0..R {
                            let value = L::splat(*image[s].add(r));
                            for b in 0..B {
                                sums[s][r][b] = sums[s][r][b].add_product(value, gradient[b]);
                            }
                        }
                    }
                    // The pointers may end past their buffers by less than a step; they are not read there.
                    image = image.map(|image| image.wrapping_add(rows.step));
                    response = response.wrapping_add(rows.co);
                }
            }
            for s in 0..S {
                for r in 0..R {
                    for b in 0..B {
                        sums[s][r][b].store(target.as_mut_ptr().add(place(s, r, b)));
                    }
                }
            }
        }
        R
    }
}
