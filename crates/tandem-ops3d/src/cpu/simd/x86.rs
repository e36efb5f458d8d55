//! The lanes of x86-64.

use super::{Lanes, Work};
use std::arch::x86_64::*;

/// Eight values in a ymm register.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

// SAFETY: the intrinsics need AVX2 and FMA, which the trait asks of its caller.
unsafe impl Lanes for Avx2 {
    const COUNT: usize = 8;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see the impl.
        Avx2(unsafe { _mm256_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see the impl; eight readable values.
        Avx2(unsafe { _mm256_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see the impl; eight writable values.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: see the impl.
        unsafe {
            if (to as usize).is_multiple_of(32) { _mm256_stream_ps(to, self.0) } else { self.store(to) }
        }
    }
    #[inline(always)]
    unsafe fn finish() {
        // SAFETY: every x86-64 processor has it.
        unsafe { _mm_sfence() }
    }
    #[inline(always)]
    unsafe fn prefetch(address: *const f32) {
        // SAFETY: every x86-64 processor has it, and it fails at no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: see the impl.
        Avx2(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Avx2(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Avx2(unsafe { _mm256_sub_ps(self.0, other.0) })
    }
}

/// Sixteen values in a zmm register.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

// SAFETY: the intrinsics need AVX-512F, which the trait asks of its caller.
unsafe impl Lanes for Avx512 {
    const COUNT: usize = 16;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see the impl.
        Avx512(unsafe { _mm512_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see the impl; sixteen readable values.
        Avx512(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see the impl; sixteen writable values.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: see the impl.
        unsafe {
            if (to as usize).is_multiple_of(64) { _mm512_stream_ps(to, self.0) } else { self.store(to) }
        }
    }
    #[inline(always)]
    unsafe fn finish() {
        // SAFETY: every x86-64 processor has it.
        unsafe { _mm_sfence() }
    }
    #[inline(always)]
    unsafe fn prefetch(address: *const f32) {
        // SAFETY: every x86-64 processor has it, and it fails at no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: see the impl.
        Avx512(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Avx512(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see the impl.
        Avx512(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn transpose((from, from_row): (*const f32, usize), (to, to_row): (*mut f32, usize)) {
        // SAFETY: see the impl; the rows of both sides are the caller's.
        unsafe {
            // Quarter `q` of register `r` of a group is quarter `group` of row `4 q + r`.
            let quarter = |row: usize, group: usize| _mm_loadu_ps(from.add(row * from_row + 4 * group));
            for group in 0..4 {
                let rows: [__m512; 4] = std::array::from_fn(|r| {
                    let first = _mm512_castps128_ps512(quarter(r, group));
                    let second = _mm512_insertf32x4::<1>(first, quarter(4 + r, group));
                    let third = _mm512_insertf32x4::<2>(second, quarter(8 + r, group));
                    _mm512_insertf32x4::<3>(third, quarter(12 + r, group))
                });
                let pairs = |a, b| (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let ((a, b), (c, d)) = (pairs(rows[0], rows[1]), pairs(rows[2], rows[3]));
                let columns = [
                    _mm512_shuffle_ps::<0x44>(a, c),
                    _mm512_shuffle_ps::<0xee>(a, c),
                    _mm512_shuffle_ps::<0x44>(b, d),
                    _mm512_shuffle_ps::<0xee>(b, d),
                ];
                for (column, values) in columns.into_iter().enumerate() {
                    _mm512_storeu_ps(to.add((4 * group + column) * to_row), values);
                }
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512vl")]
pub(super) unsafe fn zmm(work: impl Work) {
    // SAFETY: the caller's.
    unsafe { work.run::<Avx512, 24, 12>() }
}
#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
pub(super) unsafe fn wide_ymm(work: impl Work) {
    // SAFETY: the caller's.
    unsafe { work.run::<Avx2, 24, 12>() }
}
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn ymm(work: impl Work) {
    // SAFETY: the caller's.
    unsafe { work.run::<Avx2, 12, 6>() }
}
