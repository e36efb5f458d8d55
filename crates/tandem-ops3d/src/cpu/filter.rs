//! The gradient of a convolution's weight and bias.
//!
//! `dW[tap][ci][co] = sum over voxels of image[voxel + tap][ci] * response[voxel][co]`. A block keeps several values of
//! one filter row `(kw, ci)` times up to four vectors of `co` in registers and walks over voxels. The voxels are cut into
//! parts by shape alone, each with a sum of its own, added in order: the result does not depend on the thread count.

use super::packed::WIDTH;
use super::pad::Rows;
use super::scratch::Scratch;
use super::simd::{Lanes, Unit, Work, on_unit};
use super::transpose::{transpose, transposed};
use super::window::{Window, cut};
use crate::conv_shape::ConvShape;
use rayon::prelude::*;
use std::ops::Range;

/// Voxels of a tile: its response stays in the first cache while the taps pass over it. Images of few channels have few taps:
/// there it pays to read more rows at once.
fn tile_voxels(channels: usize) -> usize {
    if channels < 8 { 512 } else { 128 }
}

/// Writes the weight gradient `(co, ci, kd, kh, kw)` from an image and the gradient of its response.
pub(crate) fn weight_gradient(shape: &ConvShape, image: Rows<f32>, response: Rows<f32>, to: &mut [f32]) {
    assert_eq!(image.dims, shape.image_dims(), "an image is not that of its convolution");
    assert_eq!(response.dims, shape.response_dims(), "a response is not that of its convolution");
    let &ConvShape { batch, ci, co, kernel: [kd, kh, kw], response: [depth, height, _], .. } = shape;
    let unit = Unit::for_channels(co);
    let co_padded = co.next_multiple_of(unit.lanes());
    let taps = kd * kh * kw;
    let size = taps * ci * co_padded;
    let ([sd, sh, _], width) = (shape.params.stride, shape.response[2]);
    let row_bytes = (shape.image[2] * ci + width * co) * size_of::<f32>();
    let blocks = cut(&[0..depth, 0..height], width, ([kd, kh], [sd, sh]), row_bytes);
    let count = batch * blocks.len();
    let parts = part_count(count, size);
    let mut sums = Scratch::take(parts * size);
    if size > 0 {
        let span_size = size / (kd * kh);
        // Few parts of a large gradient: its spans are tasks of their own, which share their images.
        let whole = || -> Vec<_> {
            let all = [0..depth, 0..height];
            (0..batch).into_par_iter().map(|n| windows(shape, image, response, n, &all)).collect()
        };
        let (task, shared) = if parts < 8 { (span_size, Some(whole())) } else { (size, None) };
        sums.par_chunks_mut(task).enumerate().for_each(|(index, sum)| {
            sum.fill(0.0);
            let rows = (tile_voxels(ci) / width.max(1)).max(1);
            let mut packed = Scratch::take(rows * width * WIDTH);
            let (part, first_span) = (index * task / size, index * task % size / span_size);
            let spans = first_span..first_span + task / span_size;
            for block in part * count / parts..(part + 1) * count / parts {
                let (n, at) = (block / blocks.len(), &blocks[block % blocks.len()]);
                let own;
                let windows = match &shared {
                    Some(shared) => &shared[n],
                    None => {
                        own = windows(shape, image, response, n, at);
                        &own
                    }
                };
                // The response of a few rows stays in the first cache while all taps pass over it.
                for starts in starts(shape, windows, at).chunks(rows) {
                    let (spans, packed) = (spans.clone(), &mut *packed);
                    let tile = Tile { shape, windows, starts, spans, co_padded, packed, sum };
                    tile.check_bounds();
                    // SAFETY: the tile's bounds were checked; the unit is this process's.
                    unsafe { on_unit(unit, tile) };
                }
            }
        });
        add_parts(&mut sums, size);
    }
    unpack(&sums, [taps, ci, co, co_padded], to);
}

/// The image under some rows of a response, and these rows.
fn windows<'a>(
    shape: &ConvShape,
    image: Rows<'a, f32>,
    response: Rows<'a, f32>,
    n: usize,
    rows: &[Range<usize>; 2],
) -> [Window<'a>; 2] {
    let rows = [rows[0].clone(), rows[1].clone(), 0..shape.response[2]]
        .map(|rows| rows.start as isize..rows.end as isize);
    let [first, last] = [rows.each_ref().map(|rows| rows.start), rows.each_ref().map(|rows| rows.end - 1)]
        .map(|voxel| shape.first_read(voxel));
    let under = [0, 1, 2].map(|axis| first[axis]..last[axis] + shape.kernel[axis] as isize);
    [Window::of(image, n, &under), Window::of(response, n, &rows)]
}

/// The first image value under each row, and the row's own first value.
fn starts(shape: &ConvShape, windows: &[Window; 2], rows: &[Range<usize>; 2]) -> Vec<[usize; 2]> {
    let places = rows[0].clone().flat_map(|z| rows[1].clone().map(move |y| [z as isize, y as isize, 0]));
    places.map(|place| [windows[0].at(shape.first_read(place)), windows[1].at(place)]).collect()
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
    let by_output = transposed(&sums[..taps * ci * co_padded], 1, [taps * ci, co_padded]);
    transpose(&by_output[..taps * ci * co], co, [taps, ci], gradient);
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
    (BUDGET / size.max(1)).clamp(1, 32).min(rows.max(1))
}

/// Some rows of a response along D and H, and the spans to whose gradient, `(span, l, co_padded)`, they are added.
struct Tile<'a, 'b> {
    shape: &'a ConvShape,
    /// Of the image and of the response.
    windows: &'a [Window<'b>; 2],
    /// The first image value under each row, and the row's own first value.
    starts: &'a [[usize; 2]],
    spans: Range<usize>,
    co_padded: usize,
    /// A block of the response's channels, voxel by voxel: where they lie, many channels apart, few of them fit the first cache.
    packed: &'a mut [f32],
    sum: &'a mut [f32],
}

impl Tile<'_, '_> {
    /// Values of a span.
    fn span_len(&self) -> usize {
        self.shape.kernel[2] * self.shape.ci
    }

    /// From a row's first image value to that of a span.
    fn span_offset(&self, span: usize) -> usize {
        let [plane, row, _] = self.windows[0].strides;
        span / self.shape.kernel[1] * plane + span % self.shape.kernel[1] * row
    }

    /// The largest addresses read must lie inside the buffers. The kernels rely on it.
    fn check_bounds(&self) {
        let width = self.shape.response[2];
        let (Some([image, response]), true) = (self.starts.last(), width > 0) else { return };
        let end = response + width * self.shape.co;
        assert!(end <= self.windows[1].len(), "a weight gradient reads past its response");
        let step = self.shape.params.stride[2] * self.shape.ci;
        let reach = image + self.span_offset(self.spans.end - 1) + (width - 1) * step + self.span_len();
        assert!(reach <= self.windows[0].len(), "a weight gradient reads past its image");
    }
}

impl Work for Tile<'_, '_> {
    /// All taps and channels: blocks of values of one span times several vectors of channels.
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(mut self) {
        let (co, span_len, many) = (self.shape.co, self.span_len(), R1 >= 24);
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
            let mut channel = 0;
            while channel < co {
                let vectors = match (co - channel).div_ceil(L::COUNT) {
                    4.. if many => 4,
                    2.. => 2,
                    _ => 1,
                };
                self.pack(channel, vectors * L::COUNT);
                for span in self.spans.clone() {
                    let at = Block { span, l: 0, channel };
                    match vectors {
                        4 => self.span::<L, 6, 4>(at),
                        2 => self.span::<L, R2, 2>(at),
                        _ => self.span::<L, R1, 1>(at),
                    }
                }
                channel += vectors * L::COUNT;
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

impl Tile<'_, '_> {
    /// Packs so many of the response's channels from one on; what there is none of is 0.
    #[inline(always)]
    fn pack(&mut self, channel: usize, channels: usize) {
        let (co, width) = (self.shape.co, self.shape.response[2]);
        let valid = channels.min(co - channel);
        let rows = self.packed.chunks_exact_mut((width * channels).max(1));
        for (packed, [_, start]) in rows.zip(self.starts) {
            let voxels = self.windows[1][*start..].chunks(co);
            for (packed, voxel) in packed.chunks_exact_mut(channels).zip(voxels) {
                packed[..valid].copy_from_slice(&voxel[channel..channel + valid]);
                packed[valid..].fill(0.0);
            }
        }
    }

    /// Spans of `K` values, `S` at a time.
    ///
    /// # Safety
    /// As [`Work::run`] of this type.
    #[inline(always)]
    unsafe fn short_spans<L: Lanes, const S: usize, const K: usize>(&mut self) {
        for channel in (0..self.shape.co).step_by(L::COUNT) {
            self.pack(channel, L::COUNT);
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
        while at.l < self.span_len() {
            let left = self.span_len() - at.l;
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
        let (span_len, co_padded) = (self.span_len(), self.co_padded);
        let (width, step) = (self.shape.response[2], self.shape.params.stride[2] * self.shape.ci);
        let offsets: [usize; S] = std::array::from_fn(|s| self.span_offset(at.span + s) + at.l);
        let first = (at.span - self.spans.start) * span_len + at.l;
        let (image, mut response) = (self.windows[0].as_ptr(), self.packed.as_ptr());
        let last = (S - 1) * span_len + R - 1;
        let place = |s: usize, r: usize, b: usize| (s * span_len + r) * co_padded + b * L::COUNT;
        let target = &mut self.sum[first * co_padded + at.channel..];
        assert!(last * co_padded + B * L::COUNT <= target.len(), "a block lies outside of its gradient");
        let voxels = self.starts.len() * width;
        assert!(voxels * B * L::COUNT <= self.packed.len(), "a block lies outside of its response");
        // SAFETY: the target's and the response's bounds were checked, the image's are the caller's.
        unsafe {
            let mut sums = [[[L::splat(0.0); B]; R]; S];
            for s in 0..S {
                for r in 0..R {
                    for b in 0..B {
                        sums[s][r][b] = L::load(target.as_ptr().add(place(s, r, b)));
                    }
                }
            }
            for start in self.starts {
                let mut image = offsets.map(|offset| image.add(start[0] + offset));
                for _ in 0..width {
                    let mut gradient = [L::splat(0.0); B];
                    for b in 0..B {
                        gradient[b] = L::load(response.add(b * L::COUNT));
                    }
                    for s in 0..S {
                        if S == 1 {
                            // The next block reads the values beside these.
                            L::prefetch(image[s].wrapping_add(2 * R - 1));
                        }
                        for r in 0..R {
                            let value = L::splat(*image[s].add(r));
                            for b in 0..B {
                                sums[s][r][b] = sums[s][r][b].add_product(value, gradient[b]);
                            }
                        }
                    }
                    // The pointers may end past the image by less than a step; they are not read there.
                    image = image.map(|image| image.wrapping_add(step));
                    response = response.add(B * L::COUNT);
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
