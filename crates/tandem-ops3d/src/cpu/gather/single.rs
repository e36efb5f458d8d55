//! Images of one channel: neighbouring voxels read the same values, a step of one apart.

use super::super::packed::WIDTH;
use super::super::simd::Lanes;
use super::{Task, store};

/// Taps in a row.
const TAPS: usize = 3;

impl Task<'_> {
    /// Taps in a row, of an image of one channel whose voxels, and rows, are read a step of one apart.
    pub(super) fn taps_of_one_channel(&self) -> Option<usize> {
        let steps = self.plan.step[2] * self.window.strides[2] * self.plan.step[1];
        (steps == 1 && self.part.is_whole()).then_some(self.part.class.reads[2].len())
    }

    /// Computes a task in blocks of two rows by `R` voxels times one vector, for spans of three values: each value that is read
    /// serves both rows, by the weights of neighbouring spans.
    ///
    /// # Safety
    /// As [`Self::blocks`]; the form fits.
    #[inline(always)]
    pub(super) unsafe fn single<L: Lanes, const R: usize>(&self) {
        let mut bias = [0.0f32; WIDTH];
        if let Some(values) = &self.part.class.bias {
            bias[..self.valid].copy_from_slice(&values[self.channel..self.channel + self.valid]);
        }
        let width = self.valid.next_multiple_of(L::COUNT);
        for first in (0..self.valid).step_by(L::COUNT) {
            let filters = Filters {
                weight: self.part.class.weight.block(self.channel)[first..].as_ptr(),
                width,
                bias: bias[first..].as_ptr(),
                first,
            };
            let [d, h, groups] = &self.part.at;
            for d in d.clone() {
                for row in h.clone().step_by(2) {
                    let two = row + 1 < h.end;
                    let mut group = groups.start;
                    while group < groups.end {
                        let at = [d, row, group];
                        // SAFETY: the caller's: the voxels of the block exist.
                        unsafe {
                            group += match (groups.end - group, two) {
                                (left, true) if left >= R => self.rows::<L, R, true>(at, &filters),
                                (left, false) if left >= R => self.rows::<L, R, false>(at, &filters),
                                (4.., true) => self.rows::<L, 4, true>(at, &filters),
                                (_, true) => self.rows::<L, 1, true>(at, &filters),
                                (_, false) => self.rows::<L, 1, false>(at, &filters),
                            };
                        }
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`Self::single`]; `R` voxels exist, in both rows if there are to be `TWO`.
    #[inline(always)]
    unsafe fn rows<L: Lanes, const R: usize, const TWO: bool>(
        &self,
        [d, h, group]: [usize; 3],
        filters: &Filters,
    ) -> usize {
        let [planes, lines, _] = self.part.class.reads.each_ref().map(|read| read.len());
        let [read, _] = self.place([d, h, group]);
        let span = TAPS * filters.width;
        // SAFETY: the caller's; the weights hold a row for each value of each span.
        unsafe {
            let mut upper = [L::load(filters.bias); R];
            let mut lower = upper;
            for plane in 0..planes {
                let from = self.window.as_ptr().add(read + plane * self.window.strides[0]);
                let weight = filters.weight.add(plane * lines * span);
                add::<L, R, TAPS>(&mut upper, from, weight, filters.width);
                for line in 1..lines {
                    let from = from.add(line * self.window.strides[1]);
                    let weight = weight.add(line * span);
                    if TWO {
                        let weights = [weight, weight.sub(span)];
                        add_to_both::<L, R, TAPS>(&mut upper, &mut lower, from, weights, filters.width);
                    } else {
                        add::<L, R, TAPS>(&mut upper, from, weight, filters.width);
                    }
                }
                if TWO {
                    let from = from.add(lines * self.window.strides[1]);
                    add::<L, R, TAPS>(&mut lower, from, weight.add((lines - 1) * span), filters.width);
                }
            }
            for (row, sums) in [upper, lower].iter().enumerate().take(if TWO { 2 } else { 1 }) {
                let [_, to] = self.place([d, h + row, group]);
                for r in 0..R {
                    let to = self.target.at(to + r * self.plan.output_step[2] + self.channel + filters.first);
                    let valid = (self.valid - filters.first).min(L::COUNT);
                    store::<L, 1>(&[sums[r]], to, valid, (self.plan.store, self.stream));
                }
            }
        }
        R
    }
}

/// Weights of one vector of channels.
struct Filters {
    weight: *const f32,
    /// From one row of weights to the next.
    width: usize,
    bias: *const f32,
    /// The vector's first channel, in its block.
    first: usize,
}

/// Adds one span of `K` values to the sums of `R` voxels; rows of weights lie `width` apart.
///
/// # Safety
/// The values and the weights exist, and the processor has the lanes' instructions.
#[inline(always)]
pub(super) unsafe fn add<L: Lanes, const R: usize, const K: usize>(
    sums: &mut [L; R],
    from: *const f32,
    weight: *const f32,
    width: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        for k in 0..K {
            let weight = L::load(weight.add(k * width));
            for r in 0..R {
                sums[r] = sums[r].add_product(L::splat(*from.add(r + k)), weight);
            }
        }
    }
}

/// Adds one row of values to the sums of `R` voxels of two rows, which it reaches by two spans of `K` values.
///
/// # Safety
/// As [`add`].
#[inline(always)]
unsafe fn add_to_both<L: Lanes, const R: usize, const K: usize>(
    upper: &mut [L; R],
    lower: &mut [L; R],
    from: *const f32,
    weights: [*const f32; 2],
    width: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        for k in 0..K {
            let [above, below] = weights.map(|weight| L::load(weight.add(k * width)));
            for r in 0..R {
                let value = L::splat(*from.add(r + k));
                upper[r] = upper[r].add_product(value, above);
                lower[r] = lower[r].add_product(value, below);
            }
        }
    }
}
