//! The same sums without matrix tiles, by products of pairs in vectors (AVX-512 BF16): sixteen columns, or image channels, in a
//! vector, and a pair of values that is the same for all of them.

use super::filter::{self, Factors, SUMS};
use super::gather::Job;
use super::pack::{Block, Input, TILE_VALUES};
use super::plan::{DEPTH, Plan, WIDTH};
use half::bf16;
use std::arch::x86_64::*;
use std::ops::Range;

/// `C` vectors of sums for each of `R` rows.
pub(super) type Sums<const R: usize, const C: usize> = [[__m512; C]; R];

/// Sixteen pairs.
///
/// # Safety
/// The processor has the instructions; the pairs exist.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
unsafe fn load_pairs(from: *const bf16) -> __m512bh {
    // SAFETY: the caller's; both are 64 bytes.
    unsafe { std::mem::transmute(_mm512_loadu_si512(from.cast())) }
}

/// One pair, sixteen times.
///
/// # Safety
/// As [`load_pairs`].
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
unsafe fn repeat_pair(from: *const bf16) -> __m512bh {
    // SAFETY: the caller's; both are 64 bytes.
    unsafe { std::mem::transmute(_mm512_set1_epi32(from.cast::<i32>().read_unaligned())) }
}

/// Adds to the sums of `N` vectors, from vector `FIRST` on, the products of each row's pairs and those of the vectors.
///
/// # Safety
/// The processor has the instructions; all pairs exist.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
pub(super) unsafe fn add<const R: usize, const C: usize, const FIRST: usize, const N: usize>(
    sums: &mut Sums<R, C>,
    rows: [*const bf16; R],
    vectors: [*const bf16; N],
    pairs: usize,
) {
    for pair in 0..pairs {
        // SAFETY: the caller's.
        unsafe {
            let column = vectors.map(|vector| load_pairs(vector.add(pair * 2 * WIDTH)));
            for r in 0..R {
                let value = repeat_pair(rows[r].add(2 * pair));
                for c in 0..N {
                    sums[r][FIRST + c] = _mm512_dpbf16_ps(sums[r][FIRST + c], value, column[c]);
                }
            }
        }
    }
}

/// A group: where its input begins, its row's output, and its own from there.
#[derive(Clone, Copy, Default)]
struct Group {
    from: usize,
    row: usize,
    at: usize,
}

/// Groups `(n, d, h, g)` in order.
struct Groups<'a> {
    plan: &'a Plan,
    at: [usize; 4],
}

impl<'a> Groups<'a> {
    fn new(plan: &'a Plan, first: usize) -> Self {
        let [_, d, h, g] = plan.counts;
        Groups { plan, at: [first / (d * h * g), first / (h * g) % d, first / g % h, first % g] }
    }

    fn group(&self) -> Group {
        let Plan { input, output, .. } = self.plan;
        let place =
            |strides: [usize; 4], axes: Range<usize>| axes.map(|i| self.at[i] * strides[i]).sum::<usize>();
        Group {
            from: input.start + place(input.strides, 0..4),
            row: output.start + place(output.strides, 0..3),
            at: place(output.strides, 3..4),
        }
    }

    fn advance(&mut self) {
        for axis in (0..4).rev() {
            self.at[axis] += 1;
            if self.at[axis] < self.plan.counts[axis] || axis == 0 {
                break;
            }
            self.at[axis] = 0;
        }
    }
}

impl Job<'_> {
    /// A range of groups times a range of blocks of columns.
    ///
    /// # Safety
    /// The job's bounds were checked; the processor has the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub(super) unsafe fn groups(&self, groups: Range<usize>, blocks: Range<usize>) {
        for block in blocks {
            let (own, groups) = (&self.packed.blocks[block], groups.clone());
            let narrow = own.both.is_empty() && own.single[1].is_empty();
            // SAFETY: the caller's.
            unsafe {
                match self.shared_steps(own) {
                    _ if !narrow => self.groups_by::<8, 2>(groups, block),
                    Some(2) => self.rows::<2>(groups, block),
                    Some(3) => self.rows::<3>(groups, block),
                    _ => self.groups_by::<14, 1>(groups, block),
                }
            }
        }
        _mm_sfence();
    }

    /// One block of columns, `R` groups at a time.
    ///
    /// # Safety
    /// As [`Self::groups`]; the block has `C` tiles of columns.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn groups_by<const R: usize, const C: usize>(&self, groups: Range<usize>, index: usize) {
        let block = &self.packed.blocks[index];
        let mut cursor = Groups::new(self.plan, groups.start);
        for first in groups.clone().step_by(R) {
            let count = R.min(groups.end - first);
            // A short block repeats its last group, and stores it once.
            let mut places = [Group::default(); R];
            for r in 0..R {
                places[r] = cursor.group();
                if r + 1 < count || r + 1 == R {
                    cursor.advance();
                }
            }
            let last = places.iter().map(|place| place.from).max().unwrap_or(0);
            // What groups read beyond the input's end is zero.
            let end;
            let missing = (last + self.deepest).saturating_sub(self.input.len());
            let (input, skipped) = if missing == 0 || self.deepest == 0 {
                (self.input, 0)
            } else {
                let skipped = places.iter().map(|place| place.from).min().unwrap_or(0);
                end = [&self.input[skipped..], &vec![bf16::ZERO; missing]].concat();
                (&end[..], skipped)
            };
            // SAFETY: the caller's; `deepest` is the furthest that a group reads.
            unsafe {
                let rows = places.map(|place| input.as_ptr().wrapping_add(place.from - skipped));
                let mut sums = [[_mm512_setzero_ps(); C]; R];
                let mut weight = self.packed.tiles.as_ptr().add(block.first_value);
                if C == 2 {
                    for &Input { offset, pairs } in &block.both {
                        let weights = std::array::from_fn(|c| weight.add(c * TILE_VALUES));
                        add::<R, C, 0, C>(&mut sums, rows.map(|row| row.add(offset)), weights, pairs);
                        weight = weight.add(2 * TILE_VALUES);
                    }
                }
                for &Input { offset, pairs } in &block.single[0] {
                    add::<R, C, 0, 1>(&mut sums, rows.map(|row| row.add(offset)), [weight], pairs);
                    weight = weight.add(TILE_VALUES);
                }
                if C == 2 {
                    for &Input { offset, pairs } in &block.single[1] {
                        add::<R, C, 1, 1>(&mut sums, rows.map(|row| row.add(offset)), [weight], pairs);
                        weight = weight.add(TILE_VALUES);
                    }
                }
                for (place, sums) in places.iter().zip(sums).take(count) {
                    let second = if C == 2 { sums[C - 1] } else { _mm512_setzero_ps() };
                    self.store_group([place.row, place.at], [sums[0], second], index);
                }
            }
        }
    }

    /// Neighbouring groups that read the same values, a step apart: over how many steps a group's spans go, where the weights of one tile
    /// of columns lie in their order.
    fn shared_steps(&self, block: &Block) -> Option<usize> {
        let Plan { span_len, input, channels: [inputs, _], spans, .. } = self.plan;
        let step = input.strides[3];
        // Weights of whole tiles of channels are sorted by these.
        let in_order = !inputs.is_multiple_of(DEPTH)
            && block.single[0].len() == spans.len() * self.plan.chunks().count();
        (in_order && step > 0 && step.is_multiple_of(2) && span_len.is_multiple_of(step))
            .then(|| span_len / step)
    }

    /// As [`Self::groups`], one tile of columns, row by row: each pair that is read serves all groups that have it in their spans.
    ///
    /// # Safety
    /// As [`Self::groups`]; [`Self::shared_steps`] are `S`, two or three.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn rows<const S: usize>(&self, groups: Range<usize>, index: usize) {
        let width = self.plan.counts[3];
        let mut group = groups.start;
        while group < groups.end {
            let first = Groups::new(self.plan, group).group();
            let left = (width - group % width).min(groups.end - group);
            let reach = first.from + (left - 1) * self.plan.input.strides[3] + self.deepest;
            // SAFETY: the caller's; the groups lie in one row, and what they read in the input.
            unsafe {
                group += match left {
                    _ if reach > self.input.len() => {
                        self.groups_by::<14, 1>(group..group + left, index);
                        left
                    }
                    16.. => self.neighbours::<16, S>(first, index),
                    8.. => self.neighbours::<8, S>(first, index),
                    4.. => self.neighbours::<4, S>(first, index),
                    _ => self.neighbours::<1, S>(first, index),
                };
            }
        }
    }

    /// `R` groups of a row.
    ///
    /// # Safety
    /// As [`Self::rows`]; the groups exist, and what they read.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn neighbours<const R: usize, const S: usize>(&self, first: Group, index: usize) -> usize {
        let (block, step) = (&self.packed.blocks[index], self.plan.input.strides[3]);
        let chunks = self.plan.span_len.div_ceil(DEPTH);
        // SAFETY: the caller's; the weights hold whole tiles for each span.
        unsafe {
            let mut weights = self.packed.tiles.as_ptr().add(block.first_value);
            let mut sums = [_mm512_setzero_ps(); R];
            for span in block.single[0].iter().step_by(chunks) {
                let row = self.input.as_ptr().add(first.from + span.offset);
                for pair in 0..step / 2 {
                    let weight = |s: usize| load_pairs(weights.add((s * step / 2 + pair) * 2 * WIDTH));
                    let (one, two, three) = (weight(0), weight(1), weight(S - 1));
                    let mut from = row.add(2 * pair);
                    // The values under the first steps of a group; the next group has them one step earlier.
                    let mut a = repeat_pair(from);
                    let mut b = repeat_pair(from.add(step));
                    from = from.add((S - 1) * step);
                    for r in 0..R {
                        let c = repeat_pair(from);
                        from = from.wrapping_add(step);
                        sums[r] = _mm512_dpbf16_ps(sums[r], a, one);
                        if S == 3 {
                            sums[r] = _mm512_dpbf16_ps(sums[r], b, two);
                        }
                        sums[r] = _mm512_dpbf16_ps(sums[r], c, three);
                        (a, b) = if S == 3 { (b, c) } else { (c, c) };
                    }
                }
                weights = weights.add(chunks * TILE_VALUES);
            }
            for r in 0..R {
                let at = first.at + r * self.plan.output.strides[3];
                self.store_group([first.row, at], [sums[r], _mm512_setzero_ps()], index);
            }
        }
        R
    }
}

/// Where the pairs of so many rows lie in a tile of the response and in the image: those of voxels, not of the zeros between rows.
pub(super) fn pairs_of_voxels(rows: usize, pitch: usize, width: usize) -> Vec<[usize; 2]> {
    let mut pairs = Vec::with_capacity(rows * width.div_ceil(2));
    let mut next = 0;
    for row in 0..rows {
        let end = (row * pitch + width).div_ceil(2);
        // Where there are no zeros between them, two rows may share a pair.
        for pair in next.max(row * pitch / 2)..end {
            let [tile, column] = [pair / (DEPTH / 2), pair % (DEPTH / 2)];
            pairs.push([tile * TILE_VALUES + 2 * column, pair * 2 * WIDTH]);
        }
        next = end;
    }
    pairs
}

/// Rows of response channels that are summed up at once.
const CHANNELS: usize = 8;

impl Factors<'_> {
    /// So many response channels of one or two tiles, from `from` on, times one to three inputs. Channels beyond them, of which there may be
    /// up to seven, count as zeros; sums of others are left as they are.
    ///
    /// # Safety
    /// Inputs begin so that all their pairs exist; the processor has the instructions.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn vectors(
        &self,
        from: usize,
        channels: usize,
        inputs: &[usize],
        mut sums: filter::Sums,
    ) {
        for (tile, first) in (0..channels).step_by(WIDTH).enumerate() {
            for channel in (0..WIDTH.min(channels - first)).step_by(CHANNELS) {
                let from = from + tile * self.chunks * TILE_VALUES + channel * DEPTH;
                let to = tile * SUMS + channel * WIDTH;
                // SAFETY: the caller's.
                unsafe {
                    match *inputs {
                        [a, b, c] => self.channels(from, [a, b, c], &mut sums, to),
                        [a, b] => self.channels(from, [a, b], &mut sums, to),
                        _ => self.channels(from, [inputs[0]], &mut sums, to),
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`Self::vectors`].
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn channels<const N: usize>(
        &self,
        from: usize,
        inputs: [usize; N],
        sums: &mut filter::Sums,
        to: usize,
    ) {
        let place = |r: usize, n: usize| n * sums.stride + to + r * WIDTH;
        // SAFETY: the caller's; the sums' bounds are checked.
        unsafe {
            let mut values = [[_mm512_setzero_ps(); N]; CHANNELS];
            if !self.fresh {
                for r in 0..CHANNELS {
                    for n in 0..N {
                        values[r][n] = _mm512_loadu_ps(sums.values[place(r, n)..][..WIDTH].as_ptr());
                    }
                }
            }
            for (plane, start) in self.starts.iter().enumerate() {
                let response = self.response[plane * self.plane + from..].as_ptr();
                let image = inputs.map(|input| self.image[start + input..].as_ptr());
                for &[row, pair] in self.pairs {
                    let rows = std::array::from_fn(|r| response.add(row + r * DEPTH));
                    add::<CHANNELS, N, 0, N>(&mut values, rows, image.map(|image| image.add(pair)), 1);
                }
            }
            for r in 0..CHANNELS {
                for n in 0..N {
                    _mm512_storeu_ps(sums.values[place(r, n)..][..WIDTH].as_mut_ptr(), values[r][n]);
                }
            }
        }
    }
}
