//! A mask of bits: 64 voxels to a word, so that most of what is asked of a mask costs a word operation for 64 of them.

use ndarray::{ArrayView3, Axis};
use rayon::prelude::*;
use std::ops::Range;

/// A mask as bits, row by row along k: voxel k of a row is bit `k % 64` of its word `k / 64`. Every row has words of its
/// own, with room for one voxel more than it has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bits {
    shape: [usize; 3],
    words: usize,
    bits: Vec<u64>,
}

impl Bits {
    /// No voxel.
    pub(crate) fn empty(shape: [usize; 3]) -> Self {
        let words = shape[2] / 64 + 1;
        Bits { shape, words, bits: vec![0; shape[0] * shape[1] * words] }
    }

    pub(crate) fn of(mask: ArrayView3<bool>) -> Self {
        let mut packed = Bits::empty(mask.dim().into());
        let planes = mask.axis_iter(Axis(0)).into_par_iter();
        packed.planes_mut().zip(planes).for_each(|(to, plane)| {
            for (to, row) in to.into_iter().zip(plane.rows()) {
                let mut voxels = row.iter();
                for word in to.iter_mut() {
                    for (bit, &here) in (0..64).zip(&mut voxels) {
                        *word |= u64::from(here) << bit;
                    }
                }
            }
        });
        packed
    }

    /// A mask whose rows are computed: `fill` gets i, j and the words of the row.
    pub(crate) fn by_row(shape: [usize; 3], fill: impl Fn(usize, usize, &mut [u64]) + Sync) -> Self {
        let mut mask = Bits::empty(shape);
        let planes = mask.planes_mut().enumerate();
        planes.for_each(|(i, rows)| rows.into_iter().enumerate().for_each(|(j, row)| fill(i, j, row)));
        mask
    }

    /// The rows of each plane of constant i.
    fn planes_mut(&mut self) -> impl IndexedParallelIterator<Item = Vec<&mut [u64]>> {
        let (words, plane) = (self.words, (self.shape[1] * self.words).max(1));
        self.bits.par_chunks_mut(plane).map(move |plane| plane.chunks_mut(words).collect())
    }

    pub(crate) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The words of a row; none where it lies outside.
    pub(crate) fn row(&self, i: usize, j: usize) -> Option<&[u64]> {
        let inside = i < self.shape[0] && j < self.shape[1];
        let row = inside.then(|| (i * self.shape[1] + j) * self.words)?;
        Some(&self.bits[row..row + self.words])
    }

    /// All rows, with their i and j, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, usize, &[u64])> {
        let rows = self.bits.chunks(self.words).enumerate();
        rows.map(|(row, words)| (row / self.shape[1], row % self.shape[1], words))
    }

    /// How many voxels there are.
    pub(crate) fn count(&self) -> usize {
        self.bits.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// How many voxels two masks of one shape share.
    pub(crate) fn shared(&self, other: &Bits) -> usize {
        self.bits.iter().zip(&other.bits).map(|(a, b)| (a & b).count_ones() as usize).sum()
    }

    /// The smallest box that holds every voxel of two masks of one shape; empty where there is none.
    pub(crate) fn bounds(&self, other: &Bits) -> [Range<usize>; 3] {
        let (mut first, mut end) = ([usize::MAX; 3], [0; 3]);
        let mut add = |axis: usize, at: usize| {
            first[axis] = first[axis].min(at);
            end[axis] = end[axis].max(at + 1);
        };
        for ((i, j, a), (.., b)) in self.rows().zip(other.rows()) {
            for (word, both) in a.iter().zip(b).map(|(a, b)| a | b).enumerate().filter(|(_, both)| *both != 0)
            {
                add(0, i);
                add(1, j);
                add(2, 64 * word + both.trailing_zeros() as usize);
                add(2, 64 * word + 63 - both.leading_zeros() as usize);
            }
        }
        [0, 1, 2].map(|axis| first[axis].min(end[axis])..end[axis])
    }

    /// What lies in a box.
    pub(crate) fn within(&self, [is, js, ks]: &[Range<usize>; 3]) -> Self {
        let (skipped, shift) = (ks.start / 64, ks.start % 64);
        Bits::by_row([is.len(), js.len(), ks.len()], |i, j, to| {
            let from = self.row(is.start + i, js.start + j).unwrap_or_default();
            let word = |at: usize| from.get(at).copied().unwrap_or(0);
            for (at, to) in to.iter_mut().enumerate() {
                // Two steps, because a word cannot be shifted by all of its bits.
                *to = word(skipped + at) >> shift | word(skipped + at + 1) << 1 << (63 - shift);
            }
            let last = ks.len() / 64;
            to[last] &= (1 << (ks.len() % 64)) - 1;
        })
    }

    /// The mask's surface: its voxels with a background voxel among their six face neighbours (the mask minus its
    /// erosion). What lies outside of the array counts as background.
    pub(crate) fn surface(&self) -> Self {
        let nothing = vec![0; self.words];
        let beside = |i: usize, j: usize| self.row(i, j).unwrap_or(&nothing);
        Bits::by_row(self.shape, |i, j, to| {
            let row = beside(i, j);
            let around = [
                beside(i.wrapping_sub(1), j),
                beside(i + 1, j),
                beside(i, j.wrapping_sub(1)),
                beside(i, j + 1),
            ];
            for (at, to) in to.iter_mut().enumerate() {
                let inside = around.iter().fold(before(row, at) & after(row, at), |all, row| all & row[at]);
                *to = row[at] & !inside;
            }
        })
    }
}

/// The voxels before those of a word: each bit where the next voxel is. A row without words has no voxels.
pub(crate) fn before(row: &[u64], word: usize) -> u64 {
    let at = |word: usize| row.get(word).copied().unwrap_or(0);
    at(word) << 1 | at(word.wrapping_sub(1)) >> 63
}

/// The voxels after those of a word.
fn after(row: &[u64], word: usize) -> u64 {
    let at = |word: usize| row.get(word).copied().unwrap_or(0);
    at(word) >> 1 | at(word + 1) << 63
}

/// The places of the bits of a row, in order.
pub(crate) fn ones(row: &[u64]) -> impl Iterator<Item = usize> {
    row.iter().enumerate().flat_map(|(word, &bits)| {
        let mut left = bits;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(64 * word + bit)
        })
    })
}

/// How far it is from place `k` to the nearest bit of a row; none where the row has no bit.
pub(crate) fn nearest_one(row: &[u64], k: usize) -> Option<usize> {
    let (own, bit) = (k / 64, k % 64);
    let from_here = row[own] >> bit << bit;
    let to_here = row[own] << (63 - bit) >> (63 - bit);
    let first = |word: usize, bits: u64| (bits != 0).then(|| 64 * word + bits.trailing_zeros() as usize);
    let last = |word: usize, bits: u64| (bits != 0).then(|| 64 * word + 63 - bits.leading_zeros() as usize);
    let after =
        first(own, from_here).or_else(|| (own + 1..row.len()).find_map(|word| first(word, row[word])));
    let before = last(own, to_here).or_else(|| (0..own).rev().find_map(|word| last(word, row[word])));
    match (before, after) {
        (Some(before), Some(after)) => Some((k - before).min(after - k)),
        (Some(before), None) => Some(k - before),
        (None, after) => after.map(|after| after - k),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ndarray::Array3;

    /// A mask with about one voxel in `sparsity`, from a fixed linear congruential sequence.
    pub(crate) fn speckles(shape: (usize, usize, usize), sparsity: u64) -> Array3<bool> {
        let mut state = 12345 + sparsity;
        Array3::from_shape_fn(shape, |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33).is_multiple_of(sparsity)
        })
    }

    fn unpacked(bits: &Bits) -> Array3<bool> {
        let mut mask = Array3::from_elem(bits.shape(), false);
        bits.rows().for_each(|(i, j, row)| ones(row).for_each(|k| mask[[i, j, k]] = true));
        mask
    }

    #[test]
    fn a_mask_comes_back_as_it_was_and_boxes_are_cut_out_at_any_bit() {
        for shape in [(3, 4, 5), (2, 3, 64), (3, 2, 63), (2, 2, 65), (2, 3, 200), (0, 3, 4), (1, 1, 128)] {
            let mask = speckles(shape, 3);
            let bits = Bits::of(mask.view());
            assert_eq!(unpacked(&bits), mask);
            assert_eq!(bits.count(), mask.iter().filter(|here| **here).count());
            for first in [0, 1, 31, 63].into_iter().filter(|first| *first < shape.2 && shape.0 > 1) {
                for last in [shape.2, shape.2 - 1].into_iter().filter(|last| *last > first) {
                    let bounds = [1..shape.0, 1..shape.1, first..last];
                    let part = mask.slice_each_axis(|axis| bounds[axis.axis.index()].clone().into());
                    let cut = bits.within(&bounds);
                    assert_eq!(cut, Bits::of(part), "{shape:?} {first}..{last}");
                }
            }
        }
    }

    #[test]
    fn the_nearest_bit_is_found_on_either_side_and_in_any_word() {
        for places in [&[][..], &[0], &[63], &[64], &[5, 130], &[0, 63, 64, 191], &[100]] {
            let mut row = [0u64; 3];
            places.iter().for_each(|place| row[place / 64] |= 1 << (place % 64));
            for k in 0..192 {
                assert_eq!(nearest_one(&row, k), places.iter().map(|place| place.abs_diff(k)).min());
            }
        }
    }

    #[test]
    fn bounds_hold_both_masks_tightly() {
        let of = |voxels: &[[usize; 3]]| {
            let mut mask = Array3::from_elem((5, 6, 150), false);
            voxels.iter().for_each(|at| mask[*at] = true);
            Bits::of(mask.view())
        };
        assert_eq!(of(&[[1, 2, 70]]).bounds(&of(&[[3, 2, 140], [1, 5, 9]])), [1..4, 2..6, 9..141]);
        assert_eq!(of(&[]).bounds(&of(&[])), [0..0, 0..0, 0..0]);
    }

    #[test]
    fn a_solid_box_loses_its_inside_only() {
        let inside = |at: usize, first, last| (first..last).contains(&at);
        let mask = Array3::from_shape_fn((7, 8, 90), |(i, j, k)| inside(i, 1, 6) && inside(j, 1, 6) && k > 2);
        let surface = unpacked(&Bits::of(mask.view()).surface());
        for (at, &on_surface) in surface.indexed_iter() {
            // k = 89 is the last plane of the array: its outer neighbour is background.
            let deep = inside(at.0, 2, 5) && inside(at.1, 2, 5) && inside(at.2, 4, 89);
            assert_eq!(on_surface, mask[at] && !deep, "{at:?}");
        }
    }

    #[test]
    fn thin_masks_are_all_surface() {
        for shape in [(1, 5, 5), (5, 1, 5), (5, 5, 1), (0, 3, 3)] {
            let bits = Bits::of(Array3::from_elem(shape, true).view());
            assert_eq!(bits.surface(), bits);
        }
    }
}
