//! Filters in the transformed domain.

use super::super::scratch::Scratch;
use super::super::simd::{Lanes, Target, Unit, Work, on_unit};
use super::POINTS;
use rayon::prelude::*;

/// Where the filter from one channel to another lies in a parameter.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    /// From one input channel, and one output channel, to the next.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Whether the taps run backwards.
    pub(super) flipped: bool,
}

/// `G g` along each axis: for each point and block of two vectors of output channels a matrix `(input, output)`.
pub(super) struct Transformed {
    pub(super) values: Scratch<f32>,
    pub(super) inputs: usize,
    /// Output channels, filled up to whole vectors.
    pub(super) padded: usize,
}

impl Transformed {
    pub(super) fn new(weight: &[f32], addresses: Addresses, [from, to]: [usize; 2], unit: Unit) -> Self {
        let padded = to.next_multiple_of(unit.lanes());
        let mut values = Scratch::take(POINTS * from * padded);
        let vectors = padded / unit.lanes();
        let target = Target::new(&mut values);
        (0..vectors * from).into_par_iter().with_min_len(8).for_each(|index| {
            let (vector, input) = (index / from, index % from);
            let work = Filters { weight, addresses, from, to, padded, vector, input, target };
            // SAFETY: the unit is this process's; each vector of filters is written once.
            unsafe { on_unit(unit, work) }
        });
        Transformed { values, inputs: from, padded }
    }

    /// The filters of one point to output channels from `channel` on, which begins a block.
    pub(super) fn block(&self, point: usize, channel: usize) -> &[f32] {
        &self.values[(point * self.padded + channel) * self.inputs..]
    }
}

/// The filters from one input channel to a vector of output channels.
struct Filters<'a> {
    weight: &'a [f32],
    addresses: Addresses,
    from: usize,
    to: usize,
    padded: usize,
    vector: usize,
    input: usize,
    target: Target,
}

impl Work for Filters<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
        let first = self.vector * L::COUNT;
        let mut taps = [[0.0f32; 16]; 27];
        for lane in 0..L::COUNT.min(self.to - first) {
            let start = self.input * self.addresses.from + (first + lane) * self.addresses.to;
            let filter = &self.weight[start..start + 27];
            for (tap, value) in filter.iter().enumerate() {
                taps[if self.addresses.flipped { 26 - tap } else { tap }][lane] = *value;
            }
        }
        // Blocks of two vectors; the last one may be a single vector.
        let block = first / (2 * L::COUNT) * 2 * L::COUNT;
        let width = (self.padded - block).min(2 * L::COUNT);
        // SAFETY: a tap has sixteen values, at least a vector; the target has room for every filter.
        unsafe {
            let half = L::splat(0.5);
            let zero = L::splat(0.0);
            let expand = |a: L, b: L, c: L| {
                let ends = a.add(c);
                [a, zero.add_product(ends.add(b), half), zero.add_product(ends.sub(b), half), c]
            };
            let mut by_w = [[zero; 4]; 9];
            for row in 0..9 {
                let tap = |i: usize| L::load(taps[3 * row + i].as_ptr());
                by_w[row] = expand(tap(0), tap(1), tap(2));
            }
            for x in 0..4 {
                let mut by_h = [[zero; 4]; 3];
                for z in 0..3 {
                    by_h[z] = expand(by_w[3 * z][x], by_w[3 * z + 1][x], by_w[3 * z + 2][x]);
                }
                for y in 0..4 {
                    let by_d = expand(by_h[0][y], by_h[1][y], by_h[2][y]);
                    for z in 0..4 {
                        let point = 16 * z + 4 * y + x;
                        let at =
                            (point * self.padded + block) * self.from + self.input * width + first - block;
                        by_d[z].store(self.target.at(at));
                    }
                }
            }
        }
    }
}
