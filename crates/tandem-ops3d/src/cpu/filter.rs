//! The gradient of a convolution's weight and bias.
//!
//! `dW[tap][ci][co] = sum over voxels of image[voxel + tap][ci] * response[voxel][co]`. A block keeps several values of
//! one filter row `(kw, ci)` times one or two vectors of `co` in registers and walks over voxels. The voxels are cut into
//! parts by shape alone, each with a sum of its own, added in order: the result does not depend on the thread count.

use super::conv::channels_last_strides;
use super::pad::pad;
use super::scratch::Scratch;
use super::simd::{CpuPath, Lanes, Portable, cpu_path};
use crate::conv_shape::ConvShape;
use crate::storage::filled;
use rayon::prelude::*;
use std::ops::Range;

/// The weight gradient `(co, ci, kd, kh, kw)` from an image and the gradient of its response.
pub(crate) fn weight_gradient(shape: &ConvShape, image: &[f32], response: &[f32]) -> Vec<f32> {
    let &ConvShape { batch, ci, co, kernel: [kd, kh, kw], .. } = shape;
    let padding = shape.params.padding;
    let padded = (padding != [0; 3]).then(|| pad(image, shape.image_dims(), padding, padding));
    let (values, sides) = padded.as_ref().map_or((image, shape.image), |p| (&p.values[..], p.sides));

    let path = if cpu_path() == CpuPath::Avx512 && co <= 8 { CpuPath::Avx2 } else { cpu_path() };
    let lanes = if path == CpuPath::Avx512 { 16 } else { 8 };
    let rows = Rows {
        image: values,
        response,
        image_strides: channels_last_strides(sides, ci),
        stride: shape.params.stride,
        counts: [batch, shape.response[0], shape.response[1]],
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
            accumulate(&rows, range, first_span..first_span + task / span_size, sum, path);
        });
        add_parts(&mut sums, size);
    }
    filled(taps * ci * co, |gradient| unpack(&sums, [taps, ci, co, rows.co_padded], gradient))
}

/// Adds all parts to the first, in order.
fn add_parts(sums: &mut [f32], size: usize) {
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
fn part_count(rows: usize, size: usize) -> usize {
    const BUDGET: usize = 1 << 20;
    (BUDGET / size.max(1)).clamp(2, 32).min(rows.max(1))
}

/// The rows `(n, d', h')` of a response, and where the image values under them lie.
struct Rows<'a> {
    image: &'a [f32],
    response: &'a [f32],
    image_strides: [usize; 4],
    stride: [usize; 3],
    counts: [usize; 3],
    width: usize,
    spans: [usize; 2],
    span_len: usize,
    co: usize,
    co_padded: usize,
}

impl Rows<'_> {
    /// The first image value under a row.
    fn image_start(&self, row: usize) -> usize {
        let [_, d, h] = self.counts;
        let [n, z, y] = [row / (d * h), row / h % d, row % h];
        n * self.image_strides[0]
            + z * self.stride[0] * self.image_strides[1]
            + y * self.stride[1] * self.image_strides[2]
    }
    fn span_offset(&self, span: usize) -> usize {
        span / self.spans[1] * self.image_strides[1] + span % self.spans[1] * self.image_strides[2]
    }
}

/// The largest addresses read must lie inside the buffers. The kernels rely on it.
fn check_bounds(rows: &Rows) {
    let count: usize = rows.counts.iter().product();
    assert_eq!(
        rows.response.len(),
        count * rows.width * rows.co,
        "a response has another size than its shape"
    );
    if count == 0 || rows.width == 0 || rows.span_len == 0 {
        return;
    }
    let step = rows.stride[2] * rows.image_strides[3];
    let last_span = rows.span_offset(rows.spans[0] * rows.spans[1] - 1);
    let reach = rows.image_start(count - 1) + last_span + (rows.width - 1) * step + rows.span_len;
    assert!(reach <= rows.image.len(), "a weight gradient reads past its image");
}

/// Adds the rows of a range to the `sum` of some spans, `(span, l, co_padded)`.
fn accumulate(rows: &Rows, [first, last]: [usize; 2], spans: Range<usize>, sum: &mut [f32], path: CpuPath) {
    // A tile of rows stays in the cache while all taps pass over it.
    let height = (512 / rows.width.max(1)).max(1);
    for start in (first..last).step_by(height) {
        let tile = Tile { rows: start..last.min(start + height), spans: spans.clone() };
        // SAFETY: `check_bounds`; the path was chosen by what the processor has.
        unsafe {
            match path {
                #[cfg(target_arch = "x86_64")]
                CpuPath::Avx512 => x86::tile_512(rows, &tile, sum),
                #[cfg(target_arch = "x86_64")]
                CpuPath::Avx2 => x86::tile_256(rows, &tile, sum),
                _ => run_tile::<Portable, 4>(rows, &tile, sum),
            }
        }
    }
}

/// Rows of a response, and the spans whose gradient they are added to.
struct Tile {
    rows: Range<usize>,
    spans: Range<usize>,
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::simd::{Avx2, Avx512};
    use super::{Rows, Tile, run_tile};

    #[target_feature(enable = "avx512f,avx512vl")]
    pub(super) unsafe fn tile_512(rows: &Rows, tile: &Tile, sum: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe { run_tile::<Avx512, 12>(rows, tile, sum) }
    }
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn tile_256(rows: &Rows, tile: &Tile, sum: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe { run_tile::<Avx2, 6>(rows, tile, sum) }
    }
}

/// All taps and channels of one tile of rows, in blocks of up to `R` values times two vectors.
///
/// # Safety
/// The bounds of [`check_bounds`] hold, and the processor has the lanes' instructions.
#[inline(always)]
unsafe fn run_tile<L: Lanes, const R: usize>(rows: &Rows, tile: &Tile, sum: &mut [f32]) {
    for span in tile.spans.clone() {
        let mut done = 0;
        while done < rows.span_len {
            let left = rows.span_len - done;
            let mut channel = 0;
            while channel < rows.co {
                let two = rows.co - channel > L::COUNT;
                let at = Block { span, l: done, channel };
                // SAFETY: the caller's.
                unsafe {
                    match (left, two) {
                        (1, true) => block::<L, 1, 2>(rows, tile, at, sum),
                        (1, false) => block::<L, 1, 1>(rows, tile, at, sum),
                        (2..4, true) => block::<L, 2, 2>(rows, tile, at, sum),
                        (2..4, false) => block::<L, 2, 1>(rows, tile, at, sum),
                        (_, true) if left < R => block::<L, 4, 2>(rows, tile, at, sum),
                        (_, false) if left < R => block::<L, 4, 1>(rows, tile, at, sum),
                        (_, true) => block::<L, R, 2>(rows, tile, at, sum),
                        (_, false) => block::<L, R, 1>(rows, tile, at, sum),
                    }
                }
                channel += if two { 2 * L::COUNT } else { L::COUNT };
            }
            done += match left {
                1 => 1,
                2..4 => 2,
                _ if left < R => 4,
                _ => R,
            };
        }
    }
}

/// A block of the gradient: values `l..l + R` of one span, channels from `channel` on.
#[derive(Clone, Copy)]
struct Block {
    span: usize,
    l: usize,
    channel: usize,
}

/// Adds one tile of rows to one block of the gradient.
///
/// # Safety
/// As [`run_tile`]; `l + R` values of the span exist.
#[inline(always)]
unsafe fn block<L: Lanes, const R: usize, const B: usize>(
    rows: &Rows,
    tile: &Tile,
    at: Block,
    sum: &mut [f32],
) {
    let target =
        &mut sum[((at.span - tile.spans.start) * rows.span_len + at.l) * rows.co_padded + at.channel..];
    assert!((R - 1) * rows.co_padded + B * L::COUNT <= target.len(), "a block lies outside of its gradient");
    let step = rows.stride[2] * rows.image_strides[3];
    let valid = (rows.co - at.channel).min(B * L::COUNT);
    // SAFETY: the target's bound was checked, the sources' are the caller's. A response's last voxels may have fewer
    // channels than a vector: those rows go through a buffer.
    unsafe {
        let mut sums = [[L::splat(0.0); B]; R];
        for r in 0..R {
            for b in 0..B {
                sums[r][b] = L::load(target.as_ptr().add(r * rows.co_padded + b * L::COUNT));
            }
        }
        for row in tile.rows.clone() {
            let mut image = rows.image.as_ptr().add(rows.image_start(row) + rows.span_offset(at.span) + at.l);
            let mut response = rows.response.as_ptr().add(row * rows.width * rows.co + at.channel);
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
                for r in 0..R {
                    let value = L::splat(*image.add(r));
                    for b in 0..B {
                        sums[r][b] = sums[r][b].add_product(value, gradient[b]);
                    }
                }
                // The pointers may end past their buffers by less than a step; they are not read there.
                image = image.wrapping_add(step);
                response = response.wrapping_add(rows.co);
            }
        }
        for r in 0..R {
            for b in 0..B {
                sums[r][b].store(target.as_mut_ptr().add(r * rows.co_padded + b * L::COUNT));
            }
        }
    }
}
