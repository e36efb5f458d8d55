//! Weights as tiles.

use super::super::scratch::Scratch;
use super::plan::{DEPTH, Plan, Span, WIDTH};
use half::bf16;
use rayon::prelude::*;
use std::arch::x86_64::*;

/// Values of a tile of weights: rows of input pairs times columns.
pub(super) const TILE_VALUES: usize = DEPTH * WIDTH;

/// The weights of a plan, cut into blocks of two tiles of columns.
pub(super) struct Packed {
    pub(super) tiles: Scratch<bf16>,
    pub(super) blocks: Vec<Block>,
}

/// Two tiles of columns: the inputs that they read, from a group's first value, in the order of the weights' tiles.
#[derive(Default)]
pub(super) struct Block {
    /// Where the block's weights begin.
    pub(super) first_value: usize,
    /// Inputs of both tiles of columns; their weights' tiles alternate.
    pub(super) both: Vec<usize>,
    /// Inputs of the first only, and of the second only.
    pub(super) single: [Vec<usize>; 2],
}

impl Packed {
    pub(super) fn new(plan: &Plan, weight: &[f32]) -> Self {
        let inputs = plan.channels[0];
        // The same channels under all taps follow each other: they share cache lines in the parameter and in the image.
        let mut steps: Vec<(usize, &Span)> =
            plan.spans.iter().flat_map(|span| plan.chunks().map(move |l| (l, span))).collect();
        if inputs.is_multiple_of(DEPTH) {
            steps.sort_by_key(|(l, _)| l % inputs);
        }
        let mut tiles = Vec::new();
        let blocks = (0..plan.columns)
            .step_by(2 * WIDTH)
            .map(|column| {
                let mut block = Block { first_value: tiles.len() * TILE_VALUES, ..Block::default() };
                let connected = |l| [0, 1].map(|tile| plan.connects(l, column + tile * WIDTH));
                for &(l, span) in steps.iter().filter(|(l, _)| connected(*l) == [true, true]) {
                    block.both.push(span.offset + l);
                    tiles.extend([(l, span.tap, column), (l, span.tap, column + WIDTH)]);
                }
                for tile in 0..2 {
                    let only = [tile == 0, tile == 1];
                    for &(l, span) in steps.iter().filter(|(l, _)| connected(*l) == only) {
                        block.single[tile].push(span.offset + l);
                        tiles.push((l, span.tap, column + tile * WIDTH));
                    }
                }
                block
            })
            .collect();
        let mut values = Scratch::take(tiles.len() * TILE_VALUES);
        values.par_chunks_exact_mut(TILE_VALUES).with_min_len(8).zip(&tiles).for_each(
            |(values, &(l, tap, column))| {
                pack(values, weight, &rows(plan, l, tap), &columns(plan, column), plan.taps.count);
            },
        );
        Packed { tiles: values, blocks }
    }
}

/// Input values of a tile, or outputs: what each contributes to the weight's address and to its tap along W.
#[derive(Clone, Copy)]
pub(super) struct Side<const N: usize> {
    pub(super) address: [i32; N],
    pub(super) tap: [i32; N],
}

impl<const N: usize> Side<N> {
    /// A side whose values have no weights.
    pub(super) fn none() -> Self {
        Side { address: [0; N], tap: [i32::MIN / 2; N] }
    }
}

fn rows(plan: &Plan, l: usize, tap: usize) -> Side<DEPTH> {
    let mut side = Side::none();
    for k in 0..DEPTH.min(plan.span_len - l) {
        let (j, channel) = ((l + k) / plan.channels[0], (l + k) % plan.channels[0]);
        let shift = plan.taps.shift + j as isize * plan.taps.per_input;
        side.address[k] = ((tap + channel * plan.weight_strides[0]) as isize + shift) as i32;
        side.tap[k] = shift as i32;
    }
    side
}

fn columns(plan: &Plan, column: usize) -> Side<WIDTH> {
    let mut side = Side::none();
    for c in 0..WIDTH.min(plan.columns - column) {
        let (o, channel) = ((column + c) / plan.channels[1], (column + c) % plan.channels[1]);
        let shift = o as isize * plan.taps.per_output;
        side.address[c] = ((channel * plan.weight_strides[1]) as isize + shift) as i32;
        side.tap[c] = shift as i32;
    }
    side
}

/// One tile: the weights between all rows and columns that meet in one of `taps` taps along W, as pairs of rows.
pub(super) fn pack(
    tile: &mut [bf16],
    weight: &[f32],
    rows: &Side<DEPTH>,
    columns: &Side<WIDTH>,
    taps: usize,
) {
    assert!(tile.len() == TILE_VALUES && weight.len() <= i32::MAX as usize, "a parameter is too large");
    // SAFETY: kernels run where tiles are available; the tile's length was checked.
    unsafe { pack_wide(tile, weight, rows, columns, taps as i32) }
}

/// # Safety
/// The processor has the instructions, and the tile is whole.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_wide(tile: &mut [bf16], weight: &[f32], rows: &Side<DEPTH>, columns: &Side<WIDTH>, taps: i32) {
    // SAFETY: the caller's; the sides hold sixteen values at least; only addresses inside of the parameter are read.
    unsafe {
        let addresses = _mm512_loadu_si512(columns.address.as_ptr().cast());
        let column_taps = _mm512_loadu_si512(columns.tap.as_ptr().cast());
        let pairs = interleave();
        let gather = |k: usize| {
            let tap = _mm512_add_epi32(column_taps, _mm512_set1_epi32(rows.tap[k]));
            // As unsigned numbers, negative taps are too large as well.
            let meet = _mm512_cmplt_epu32_mask(tap, _mm512_set1_epi32(taps));
            let address = _mm512_add_epi32(addresses, _mm512_set1_epi32(rows.address[k]));
            let inside = _mm512_mask_cmplt_epu32_mask(meet, address, _mm512_set1_epi32(weight.len() as i32));
            _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), inside, address, weight.as_ptr())
        };
        for k in (0..DEPTH).step_by(2) {
            let both = _mm512_cvtne2ps_pbh(gather(k + 1), gather(k));
            let row = _mm512_permutexvar_epi16(pairs, std::mem::transmute::<__m512bh, __m512i>(both));
            _mm512_storeu_si512(tile.as_mut_ptr().add(k * WIDTH).cast(), row);
        }
    }
}

/// The permutation that makes pairs of two vectors of sixteen: 0, 16, 1, 17, ...
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn interleave() -> __m512i {
    let mut order = [0u16; 32];
    for i in 0..16 {
        order[2 * i] = i as u16;
        order[2 * i + 1] = 16 + i as u16;
    }
    // SAFETY: 64 readable bytes.
    unsafe { _mm512_loadu_si512(order.as_ptr().cast()) }
}
