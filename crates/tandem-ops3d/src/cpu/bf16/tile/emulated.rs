//! Tiles in plain memory: so the kernels that use them are tested on processors without them, slowly.

use super::Tiles;
use std::cell::RefCell;
use std::marker::PhantomData;

/// Bytes of a row, and rows at most.
const ROW: usize = 64;
const ROWS: usize = 16;

struct Tile {
    rows: usize,
    /// bf16 pairs, or f32 sums, as words.
    words: [[u32; ROW / 4]; ROWS],
}

thread_local! {
    /// None where they are not configured.
    static TILES: RefCell<Option<Vec<Tile>>> = const { RefCell::new(None) };
}

fn with<R>(work: impl FnOnce(&mut [Tile]) -> R) -> R {
    TILES.with_borrow_mut(|tiles| work(tiles.as_mut().expect("tiles are used before they are configured")))
}

pub(super) fn configure(rows: [u8; 8]) -> Tiles {
    let tile = |rows: u8| {
        assert!((1..=ROWS).contains(&usize::from(rows)), "a tile of {rows} rows");
        Tile { rows: rows.into(), words: [[0; ROW / 4]; ROWS] }
    };
    TILES.with_borrow_mut(|tiles| {
        assert!(tiles.is_none(), "tiles are configured twice");
        *tiles = Some(rows.map(tile).into());
    });
    Tiles { thread: PhantomData }
}

pub(super) fn release() {
    TILES.take().expect("tiles are released that are not configured");
}

pub(super) fn zero(tile: usize) {
    with(|tiles| tiles[tile].words = [[0; ROW / 4]; ROWS]);
}

/// # Safety
/// All rows are readable.
pub(super) unsafe fn load(tile: usize, from: *const u8, stride: usize) {
    with(|tiles| {
        let tile = &mut tiles[tile];
        tile.words = [[0; ROW / 4]; ROWS];
        for (row, words) in tile.words.iter_mut().take(tile.rows).enumerate() {
            // SAFETY: the caller's. Rows need no alignment.
            *words = unsafe { from.add(row * stride).cast::<[u32; ROW / 4]>().read_unaligned() };
        }
    });
}

/// # Safety
/// All rows are writable.
pub(super) unsafe fn store(tile: usize, to: *mut u8, stride: usize) {
    with(|tiles| {
        let tile = &tiles[tile];
        for (row, words) in tile.words.iter().take(tile.rows).enumerate() {
            // SAFETY: as above.
            unsafe { to.add(row * stride).cast::<[u32; ROW / 4]>().write_unaligned(*words) };
        }
    });
}

/// Row m of c gets, for each pair k of row m of a, its products with the pairs of row k of b: first those of the lower halves.
pub(super) fn multiply(c: usize, a: usize, b: usize) {
    let halves = |word: u32| [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)];
    with(|tiles| {
        assert!(c != a && c != b && a != b, "a product needs three tiles");
        assert_eq!(tiles[c].rows, tiles[a].rows, "rows of a product and of its left factor");
        assert_eq!(tiles[b].rows, ROW / 4, "rows of the right factor and pairs of a row of the left one");
        for m in 0..tiles[c].rows {
            let mut sums = tiles[c].words[m].map(f32::from_bits);
            for (pair, columns) in tiles[a].words[m].into_iter().zip(&tiles[b].words) {
                let [low, high] = halves(pair);
                for (sum, column) in sums.iter_mut().zip(columns) {
                    let of_column = halves(*column);
                    *sum += low * of_column[0];
                    *sum += high * of_column[1];
                }
            }
            tiles[c].words[m] = sums.map(f32::to_bits);
        }
    });
}
