//! Strips of voxels in the two orders that a sum over voxels needs: as pairs, and channel by channel.

use super::super::pad::Padded;
use super::pack::interleave;
use super::plan::WIDTH;
use half::bf16;
use std::arch::x86_64::*;

/// Which voxels of which channels of an image a strip holds.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) image: &'a Padded<'a, bf16>,
    /// The first row's first voxel: image, plane, row, voxel, in the frame.
    pub(super) first: [usize; 4],
    /// From one row and voxel to the next.
    pub(super) steps: [usize; 2],
    /// Rows, and voxels in each. What lies outside of the frame is zero.
    pub(super) counts: [usize; 2],
    /// Channels of a voxel, and the first of sixteen of them. Channels that do not exist are zero. Those beyond the image's own are the
    /// voxels that follow.
    pub(super) channels: usize,
    pub(super) channel: usize,
}

/// Writes rows of voxels of sixteen channels, `pitch` voxels apart, and zeros in between and after them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn assemble(source: &Source, pitch: usize, strip: &mut [bf16]) {
    let &Source { image, first: [n, z, y, x], steps, counts: [rows, width], channels, channel } = source;
    let [_, _, height, sides_w, own] = image.dims;
    let strides = image.strides();
    let valid = (channels - channel).min(WIDTH);
    let mask = if valid == WIDTH { u16::MAX } else { (1 << valid) - 1 };
    let whole = sides_w.saturating_sub(x + channels.div_ceil(own) - 1);
    let inside = width.min(whole.div_ceil(steps[1]));
    for (r, target) in strip.chunks_mut(pitch * WIDTH).enumerate() {
        let row = y + r * steps[0];
        let count = if r < rows && row < height { inside.min(target.len() / WIDTH) } else { 0 };
        let (voxels, rest) = target.split_at_mut(count * WIDTH);
        rest.fill(bf16::ZERO);
        if count == 0 {
            continue;
        }
        let from = n * strides[0] + z * strides[1] + row * strides[2] + x * own + channel;
        let from = &image.values[from..from + (count - 1) * steps[1] * own + valid];
        for (v, voxel) in voxels.chunks_exact_mut(WIDTH).enumerate() {
            // SAFETY: the slices hold `valid` values from here and sixteen.
            unsafe {
                let value = _mm256_maskz_loadu_epi16(mask, from.as_ptr().add(v * steps[1] * own).cast());
                _mm256_storeu_si256(voxel.as_mut_ptr().cast(), value);
            }
        }
    }
}

/// Pairs of the voxels of a strip, from voxel `first` on: `(first, first + 1), (first + 2, first + 3), ...`, each pair
/// channel by channel.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pairs(strip: &[bf16], first: usize, target: &mut [bf16]) {
    let order = interleave();
    let strip = &strip[first * WIDTH..];
    for (from, to) in strip.chunks_exact(2 * WIDTH).zip(target.chunks_exact_mut(2 * WIDTH)) {
        // SAFETY: 64 bytes each.
        unsafe {
            let pair = _mm512_permutexvar_epi16(order, _mm512_loadu_si512(from.as_ptr().cast()));
            _mm512_storeu_si512(to.as_mut_ptr().cast(), pair);
        }
    }
}

/// Tiles of a strip's channels: sixteen rows, one for each channel, of 32 voxels.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn channel_rows(strip: &[bf16], target: &mut [bf16]) {
    let order = interleave();
    for (from, to) in strip.chunks_exact(32 * WIDTH).zip(target.chunks_exact_mut(32 * WIDTH)) {
        let mut rows = [_mm512_setzero_si512(); 16];
        for (k, row) in rows.iter_mut().enumerate() {
            // SAFETY: sixteen rows of 64 bytes.
            let pair = unsafe { _mm512_loadu_si512(from.as_ptr().add(2 * WIDTH * k).cast()) };
            *row = _mm512_permutexvar_epi16(order, pair);
        }
        for (c, row) in transposed(rows).into_iter().enumerate() {
            // SAFETY: likewise.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().add(2 * WIDTH * c).cast(), row) };
        }
    }
}

/// The transpose of sixteen rows of sixteen 32-bit values.
#[target_feature(enable = "avx512f")]
#[inline]
fn transposed(mut rows: [__m512i; 16]) -> [__m512i; 16] {
    for i in (0..16).step_by(2) {
        let [a, b] = [rows[i], rows[i + 1]];
        rows[i] = _mm512_unpacklo_epi32(a, b);
        rows[i + 1] = _mm512_unpackhi_epi32(a, b);
    }
    for i in (0..16).step_by(4) {
        let [a, b, c, d] = [rows[i], rows[i + 1], rows[i + 2], rows[i + 3]];
        rows[i] = _mm512_unpacklo_epi64(a, c);
        rows[i + 1] = _mm512_unpackhi_epi64(a, c);
        rows[i + 2] = _mm512_unpacklo_epi64(b, d);
        rows[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    // Quarter q of row 4 g + i now holds column 4 q + i of rows 4 g to 4 g + 3.
    let mut columns = rows;
    for i in 0..4 {
        let [a, b, c, d] = [rows[i], rows[4 + i], rows[8 + i], rows[12 + i]];
        let [even_low, even_high] = [_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d)];
        let [odd_low, odd_high] = [_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d)];
        columns[i] = _mm512_shuffle_i32x4::<0x88>(even_low, even_high);
        columns[4 + i] = _mm512_shuffle_i32x4::<0x88>(odd_low, odd_high);
        columns[8 + i] = _mm512_shuffle_i32x4::<0xdd>(even_low, even_high);
        columns[12 + i] = _mm512_shuffle_i32x4::<0xdd>(odd_low, odd_high);
    }
    columns
}
