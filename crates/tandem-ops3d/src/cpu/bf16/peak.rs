//! The rates of products of bf16 pairs by themselves: registers, no memory.

use super::dot;
use super::tile::{self, Tiles, available};
use half::bf16;
use std::arch::x86_64::_mm512_setzero_ps;
use std::hint::black_box;

/// Floating-point operations of one round of [`tiles`].
pub(crate) const FLOP_TILES: u64 = 4 * 2 * 16 * 16 * 32;
/// Vectors of sums in a round of [`vectors`].
const SUMS: usize = 16;
/// Floating-point operations of one round of [`vectors`].
pub(crate) const FLOP_VECTORS: u64 = SUMS as u64 * 2 * 16 * 2;

/// So many rounds of four products on matrix tiles, on this thread.
pub(crate) fn tiles(rounds: u64) {
    assert!(available(), "products on matrix tiles were asked for without them");
    // SAFETY: tiles are there, and no others of this thread are in use: this function calls nothing that uses them.
    unsafe {
        let _tiles = Tiles::new([16; 8]);
        tile::zero::<0>();
        tile::zero::<1>();
        tile::zero::<2>();
        tile::zero::<3>();
        tile::zero::<4>();
        tile::zero::<5>();
        tile::zero::<6>();
        tile::zero::<7>();
        for _ in 0..rounds {
            tile::multiply::<0, 4, 6>();
            tile::multiply::<1, 4, 7>();
            tile::multiply::<2, 5, 6>();
            tile::multiply::<3, 5, 7>();
        }
    }
}

/// So many rounds of [`SUMS`] products in vectors, on this thread.
pub(crate) fn vectors(rounds: u64) {
    assert!(is_x86_feature_detected!("avx512bf16"), "products of pairs were asked for without them");
    // SAFETY: the processor has the instructions.
    unsafe { vector_rounds(rounds) }
}

/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn vector_rounds(rounds: u64) {
    let (factors, values) = ([bf16::ONE; 32], [bf16::ZERO; 2]);
    let mut sums = [[_mm512_setzero_ps(); 1]; SUMS];
    for _ in 0..rounds {
        // SAFETY: the caller's; one pair each, and sixteen.
        unsafe { dot::add::<SUMS, 1, 0, 1>(&mut sums, [values.as_ptr(); SUMS], [factors.as_ptr()], 1) };
    }
    black_box(&sums);
}
