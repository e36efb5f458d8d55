//! The rate of the tile unit by itself: products of registers, no memory.

use super::tile::{self, Tiles, available};

/// Floating-point operations of one round of [`run`].
pub(crate) const FLOP: u64 = 4 * 2 * 16 * 16 * 32;

/// So many rounds of four products on this thread.
pub(crate) fn run(rounds: u64) {
    assert!(available(), "{}", super::MISSING);
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
