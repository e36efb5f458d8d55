//! Weights as tiles.

use super::super::scratch::Scratch;
use super::super::simd::{Avx512, Lanes, squares};
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
    pub(super) both: Vec<Input>,
    /// Inputs of the first only, and of the second only.
    pub(super) single: [Vec<Input>; 2],
}

/// The input under a tile of weights.
#[derive(Clone, Copy)]
pub(super) struct Input {
    /// From a group's first value.
    pub(super) offset: usize,
    /// Pairs of values that have weights.
    pub(super) pairs: usize,
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
        let input = |l: usize, span: &Span| Input { offset: span.offset + l, pairs: plan.pairs(l) };
        let mut tiles = Vec::new();
        let blocks = (0..plan.columns)
            .step_by(2 * WIDTH)
            .map(|column| {
                let mut block = Block { first_value: tiles.len() * TILE_VALUES, ..Block::default() };
                let connected: &Vec<_> = &plan
                    .chunks()
                    .map(|l| [0, 1].map(|tile| plan.connects(l, column + tile * WIDTH)))
                    .collect();
                let that_are = |which| steps.iter().filter(move |(l, _)| connected[l / DEPTH] == which);
                for &(l, span) in that_are([true, true]) {
                    block.both.push(input(l, span));
                    let tap = span.tap;
                    tiles.extend([column, column + WIDTH].map(|column| Tile { l, tap, column }));
                }
                for tile in 0..2 {
                    for &(l, span) in that_are([tile == 0, tile == 1]) {
                        block.single[tile].push(input(l, span));
                        tiles.push(Tile { l, tap: span.tap, column: column + tile * WIDTH });
                    }
                }
                block
            })
            .collect();
        let mut values = Scratch::take(tiles.len() * TILE_VALUES);
        let mut tasks = Vec::new();
        let mut rest = &mut values[..];
        let channels = |tile: &Tile| (tile.l % inputs, tile.column / (2 * WIDTH));
        for tiles in tiles.chunk_by(|a, b| channels(a) == channels(b)).flat_map(|tiles| tiles.chunks(AT_ONCE))
        {
            let (values, others) = rest.split_at_mut(tiles.len() * TILE_VALUES);
            tasks.push((tiles, values));
            rest = others;
        }
        tasks.into_par_iter().for_each(|(tiles, values)| pack_tiles(tiles, plan, weight, values));
        Packed { tiles: values, blocks }
    }
}

/// Tiles that are packed at once, at the most: those of two tiles of columns under 27 taps.
const AT_ONCE: usize = 54;

/// A tile of weights: its first input value in a span, the span's first tap, its first column.
#[derive(Clone, Copy)]
struct Tile {
    l: usize,
    tap: usize,
    column: usize,
}

impl Tile {
    /// Which of the two tiles of columns of a block.
    fn half(&self) -> usize {
        self.column / WIDTH % 2
    }
}

/// Packs tiles of the same channels.
fn pack_tiles(tiles: &[Tile], plan: &Plan, weight: &[f32], values: &mut [bf16]) {
    let turned = [0, 1].map(|half| {
        let mut of_half = tiles.iter().filter(|tile| tile.half() == half);
        let first = of_half.next()?;
        Turned::new(plan, weight, *first, 1 + of_half.count())
    });
    for (tile, values) in tiles.iter().zip(values.chunks_exact_mut(TILE_VALUES)) {
        match &turned[tile.half()] {
            Some(turned) => turned.pack(*tile, values),
            None => {
                let (rows, columns) = (rows(plan, tile.l, tile.tap), columns(plan, tile.column));
                pack(values, weight, &rows, &columns, plan.taps.count);
            }
        }
    }
}

/// The weights between a tile's inputs and outputs under all taps, `(input, tap, output)`: turned once, they are read in whole
/// vectors, where a gather would fetch them one by one.
struct Turned<'a> {
    plan: &'a Plan,
    values: Scratch<f32>,
    taps: usize,
}

impl<'a> Turned<'a> {
    /// None where a tile is not of one voxel on either side, where no square fits, and where most taps would be turned for nothing.
    fn new(plan: &'a Plan, weight: &[f32], tile: Tile, tiles: usize) -> Option<Self> {
        let ([inputs, outputs], [input, output]) = (plan.channels, plan.weight_strides);
        let taps = input.min(output);
        let whole = inputs.is_multiple_of(DEPTH) && outputs.is_multiple_of(WIDTH);
        // Of each output the inputs' taps lie side by side, or of each input the outputs'.
        let (rows, length) = if input == taps { (1, DEPTH * taps) } else { (DEPTH, taps) };
        if !whole || length < WIDTH || 2 * tiles < taps {
            return None;
        }
        let mut values = Scratch::take(DEPTH * taps * WIDTH);
        let from = &weight[tile.l % inputs * input + tile.column % outputs * output..];
        for (row, values) in values.chunks_exact_mut(length * WIDTH).enumerate().take(rows) {
            // SAFETY: kernels run on an engine of this process, which comes with AVX-512.
            unsafe { turn(&from[row * input..], output, DEPTH * input, length, values) };
        }
        Some(Turned { plan, values, taps })
    }

    fn pack(&self, tile: Tile, to: &mut [bf16]) {
        let [inputs, outputs] = self.plan.channels;
        let along_w = self.plan.taps.at(tile.l / inputs, tile.column / outputs);
        let tap = tile.tap.wrapping_add_signed(along_w);
        assert!(tap < self.taps && to.len() == TILE_VALUES, "a tile has no weights");
        // SAFETY: kernels run on an engine of this process; the tap is one of those that were turned.
        unsafe { pack_turned(&self.values[tap * WIDTH..], self.taps * WIDTH, to) }
    }
}

/// Turns sixteen rows of `length` values, at least sixteen, to `length` rows of sixteen. Meanwhile it asks for what lies `next` values
/// later: weights come from memory, a short way in each of many places.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f")]
unsafe fn turn(from: &[f32], stride: usize, next: usize, length: usize, to: &mut [f32]) {
    assert!((WIDTH - 1) * stride + length <= from.len() && to.len() == length * WIDTH, "weights are missing");
    for x in squares(length, WIDTH) {
        let (from, to) = (from[x..].as_ptr(), to[x * WIDTH..].as_mut_ptr());
        for row in 0..WIDTH {
            _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(next + row * stride).cast());
        }
        // SAFETY: the last square ends with the last value of each row.
        unsafe { Avx512::transpose((from, stride), (to, WIDTH)) };
    }
}

/// Rows of sixteen weights, so far apart, as pairs.
///
/// # Safety
/// The processor has the instructions, and the tile is whole.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_turned(from: &[f32], stride: usize, to: &mut [bf16]) {
    assert!((DEPTH - 1) * stride + WIDTH <= from.len(), "weights are missing");
    // SAFETY: the caller's; all rows are there.
    unsafe {
        let pairs = interleave();
        let row = |k: usize| _mm512_loadu_ps(from.as_ptr().add(k * stride));
        for k in (0..DEPTH).step_by(2) {
            store_pairs(row(k), row(k + 1), pairs, to.as_mut_ptr().add(k * WIDTH));
        }
    }
}

/// Two rows of weights as pairs.
///
/// # Safety
/// The processor has the instructions, and the place two rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn store_pairs(first: __m512, second: __m512, pairs: __m512i, to: *mut bf16) {
    // SAFETY: the caller's.
    unsafe {
        let both = _mm512_cvtne2ps_pbh(second, first);
        let row = _mm512_permutexvar_epi16(pairs, std::mem::transmute::<__m512bh, __m512i>(both));
        _mm512_storeu_si512(to.cast(), row);
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
    // SAFETY: kernels run on an engine of this process; the tile's length was checked.
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
            store_pairs(gather(k), gather(k + 1), pairs, tile.as_mut_ptr().add(k * WIDTH));
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
