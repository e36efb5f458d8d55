//! Filters in the transformed domain.

use super::super::scratch::Scratch;
use super::super::simd::{Lanes, Target, Unit, Work, on_unit, squares};
use super::POINTS;
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

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
        // Blocks of two vectors; the last one may be a single vector.
        let block = first / (2 * L::COUNT) * 2 * L::COUNT;
        let width = (self.padded - block).min(2 * L::COUNT);
        let at = self.target.at(block * self.from + self.input * width + first - block);
        let channels = [self.input, first];
        // SAFETY: the caller's; the target has room for every filter.
        unsafe {
            transform::<L>(self.weight, self.addresses, channels, self.to, (at, self.padded * self.from))
        };
    }
}

/// `G g` of the filters from one input channel to a vector of output channels, of which there are `outputs`; points lie
/// `stride` values apart.
///
/// # Safety
/// The processor has the lanes' instructions; the target has room for all points.
#[inline(always)]
pub(super) unsafe fn transform<L: Lanes>(
    weight: &[f32],
    addresses: Addresses,
    [input, first]: [usize; 2],
    outputs: usize,
    (target, stride): (*mut f32, usize),
) {
    let (start, valid) = (input * addresses.from + first * addresses.to, L::COUNT.min(outputs - first));
    let filters = &weight[start..start + (valid - 1) * addresses.to + 27];
    let mut taps = Taps::uninit();
    let taps = taps.as_mut_ptr();
    // SAFETY: the last square ends with the last tap, and the last filter was found to exist. A vector of each tap is written before it
    // is read; the target is the caller's.
    unsafe {
        if valid == L::COUNT {
            for tap in squares(27, L::COUNT) {
                L::transpose((filters[tap..].as_ptr(), addresses.to), (tap_of(taps, tap), 16));
            }
        } else {
            for tap in 0..27 {
                L::splat(0.0).store(tap_of(taps, tap));
                for (lane, filter) in filters.chunks(addresses.to).enumerate() {
                    *tap_of(taps, tap).add(lane) = filter[tap];
                }
            }
        }
        let half = L::splat(0.5);
        let zero = L::splat(0.0);
        let expand = |a: L, b: L, c: L| {
            let ends = a.add(c);
            [a, zero.add_product(ends.add(b), half), zero.add_product(ends.sub(b), half), c]
        };
        let mut by_w = [[zero; 4]; 9];
        for row in 0..9 {
            let tap = |i: usize| {
                let tap = 3 * row + i;
                L::load(tap_of(taps, if addresses.flipped { 26 - tap } else { tap }))
            };
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
                    by_d[z].store(target.add((16 * z + 4 * y + x) * stride));
                }
            }
        }
    }
}

/// Room for the taps of a vector of filters, sixteen values each, at least a vector. What is written to it is not filled with zeros
/// first: that took a tenth of the time of layers with many channels.
type Taps = MaybeUninit<[[f32; 16]; 27]>;

fn tap_of(taps: *mut [[f32; 16]; 27], tap: usize) -> *mut f32 {
    taps.cast::<f32>().wrapping_add(16 * tap)
}

/// Sums of products: for each point a matrix `(input, output)`.
#[derive(Clone, Copy)]
pub(super) struct Points<'a> {
    pub(super) sums: &'a [f32],
    /// From one point, and from one input, to the next.
    pub(super) stride: usize,
    pub(super) row: usize,
}

/// The gradient of the filters from some inputs to some outputs: `G' u` along each axis.
pub(super) struct Contract<'a> {
    /// Whole vectors, which begin with the first of these channels.
    pub(super) points: Points<'a>,
    /// All channels, of the input and of the output.
    pub(super) channels: [usize; 2],
    pub(super) inputs: Range<usize>,
    pub(super) outputs: Range<usize>,
    /// `(output, input, tap)`.
    pub(super) target: Target,
}

impl Work for Contract<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
        let Points { sums, stride, row } = self.points;
        for first in (0..self.outputs.len()).step_by(L::COUNT) {
            for input in 0..self.inputs.len() {
                let mut taps = Taps::uninit();
                let taps = taps.as_mut_ptr();
                let points = &sums[input * row + first..];
                assert!(63 * stride + L::COUNT <= points.len(), "filters lie outside of their sums");
                // SAFETY: all points were found to exist; a vector of each tap is written.
                unsafe {
                    let mut by_w = [MaybeUninit::<[L; 3]>::uninit(); 16];
                    for line in 0..16 {
                        let point = |x: usize| L::load(points.as_ptr().add((4 * line + x) * stride));
                        by_w[line].write(narrow([point(0), point(1), point(2), point(3)]));
                    }
                    for x in 0..3 {
                        let mut by_h = [[L::splat(0.0); 3]; 4];
                        for z in 0..4 {
                            let line = |y: usize| by_w[4 * z + y].assume_init_ref()[x];
                            by_h[z] = narrow([line(0), line(1), line(2), line(3)]);
                        }
                        for y in 0..3 {
                            let by_d = narrow([by_h[0][y], by_h[1][y], by_h[2][y], by_h[3][y]]);
                            for z in 0..3 {
                                by_d[z].store(tap_of(taps, 9 * z + 3 * y + x));
                            }
                        }
                    }
                }
                let valid = L::COUNT.min(self.outputs.len() - first);
                let (output, filter) = (self.outputs.start + first, self.channels[0] * 27);
                let at = output * filter + (self.inputs.start + input) * 27;
                if valid == L::COUNT {
                    for tap in squares(27, L::COUNT) {
                        // SAFETY: the last square ends with the last tap; the target is the caller's.
                        unsafe { L::transpose((tap_of(taps, tap), 16), (self.target.at(at + tap), filter)) };
                    }
                    continue;
                }
                for lane in 0..valid {
                    // SAFETY: the lane is one of those written; the target is the caller's.
                    let values: [f32; 27] =
                        std::array::from_fn(|tap| unsafe { *tap_of(taps, tap).add(lane) });
                    // SAFETY: the caller's.
                    unsafe { self.target.at(at + lane * filter).cast::<[f32; 27]>().write(values) };
                }
            }
        }
    }
}

/// `G' u`.
///
/// # Safety
/// The processor has the lanes' instructions.
#[inline(always)]
unsafe fn narrow<L: Lanes>([a, b, c, d]: [L; 4]) -> [L; 3] {
    // SAFETY: the caller's.
    unsafe {
        let half = L::splat(0.5);
        let (sum, difference) = (b.add(c), b.sub(c));
        [a.add_product(sum, half), L::splat(0.0).add_product(difference, half), d.add_product(sum, half)]
    }
}
