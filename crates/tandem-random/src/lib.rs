//! Counter-based random numbers, keyed by seed, purpose, step and slot.
//!
//! No generator is carried along a run: whoever needs randomness names what it is for, and gets the same numbers
//! whenever it asks again. Prefetching, resuming or reordering work can therefore not change a draw.
//!
//! ```
//! use tandem_random::Draws;
//!
//! // Seed of the run, purpose, step, slot: here patch 3 of step 12.
//! let mut draws = Draws::new(1337, "crop", 12, 3);
//! let start = [draws.below(33), draws.below(17), draws.below(9)];
//! let (noise, flipped) = (draws.normal(), draws.chance(0.5));
//! println!("from {start:?}, noise {noise:.3}, flipped: {flipped}");
//!
//! // Asked again, in another process too, the stream is the same; another slot has another one.
//! assert_eq!(Draws::new(1337, "crop", 12, 3).below(33), start[0]);
//! assert_ne!(Draws::new(1337, "crop", 12, 4).next_u64(), Draws::new(1337, "crop", 12, 3).next_u64());
//! ```
//!
//! The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//!
//! The crate imports nothing. It is not for cryptography.
#![forbid(unsafe_code)]

mod philox;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A stream of random numbers that is a pure function of its key.
#[derive(Clone, Debug)]
pub struct Draws {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Draws {
    /// The stream of `seed` for one `purpose` (a short name such as `"crop"`), at one `step` and `slot`.
    ///
    /// Streams of different keys are independent. A purpose has one meaning in the whole program; the slot tells
    /// apart what happens several times in a step (patches of a batch, layers of a network).
    pub fn new(seed: u64, purpose: &str, step: u64, slot: u64) -> Self {
        // FNV-1a over the purpose, then one Philox pass over everything: every bit of the key reaches every bit of
        // the derived key and counter.
        let name = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let [a, b, c, d] = philox::block(halves(seed), join(halves(name), halves(step)));
        let [e, f, g, h] = philox::block([a, b], join([c, d], halves(slot)));
        Draws { key: [e, f], counter: [0, 0, g, h], block: [0; 4], used: 4 }
    }

    /// 32 uniform bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox::block(self.key, self.counter);
            let (low, carry) = self.counter[0].overflowing_add(1);
            self.counter[0] = low;
            self.counter[1] = self.counter[1].wrapping_add(u32::from(carry));
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }

    /// A uniform number in [0, 1) with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A uniform number in [low, high).
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A uniform integer in 0..n, without bias; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        if n == 0 {
            return 0;
        }
        // Values past the largest multiple of n are drawn again.
        let limit = u64::MAX - u64::MAX % n;
        loop {
            let value = self.next_u64();
            if value < limit {
                return (value % n) as usize;
            }
        }
    }

    /// A standard normal number (Box and Muller; one of the pair is used, so that every call costs the same draws).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// `true` with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// The numbers 0..n in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        self.sample(n, n)
    }

    /// `count` different numbers of 0..n in random order (all of them where `count` exceeds `n`), by partial
    /// Fisher-Yates.
    pub fn sample(&mut self, n: usize, count: usize) -> Vec<usize> {
        let count = count.min(n);
        // Of the numbers in their order only those are held that were moved: few are drawn of many.
        let mut moved = HashMap::<usize, usize, BuildHasherDefault<Spread>>::default();
        moved.reserve(count);
        let draw = |i| {
            let j = i + self.below(n - i);
            let to_j = moved.remove(&i).unwrap_or(i);
            if i == j { to_j } else { moved.insert(j, to_j).unwrap_or(j) }
        };
        (0..count).map(draw).collect()
    }
}

/// Hashes a number by one product: nobody chooses the numbers of a draw.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_usize(&mut self, number: usize) {
        self.0 = (self.0 ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn join(a: [u32; 2], b: [u32; 2]) -> [u32; 4] {
    [a[0], a[1], b[0], b[1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_fixes_its_stream_and_each_part_of_the_key_matters() {
        let first = |seed, purpose, step, slot| Draws::new(seed, purpose, step, slot).next_u64();
        let reference = first(1, "crop", 2, 3);
        assert_eq!(reference, first(1, "crop", 2, 3));
        for other in
            [first(9, "crop", 2, 3), first(1, "drop", 2, 3), first(1, "crop", 9, 3), first(1, "crop", 2, 9)]
        {
            assert_ne!(reference, other);
        }
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut draws = Draws::new(7, "moments", 0, 0);
        let n = 40_000;
        let uniform: f64 = (0..n).map(|_| draws.uniform()).sum::<f64>() / f64::from(n);
        let normals: Vec<f64> = (0..n).map(|_| draws.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n);
        // Four standard errors each.
        assert!((uniform - 0.5).abs() < 4.0 * 0.2887 / 200.0, "{uniform}");
        assert!(mean.abs() < 4.0 / 200.0, "{mean}");
        assert!((variance - 1.0).abs() < 4.0 * 1.4143 / 200.0, "{variance}");
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut draws = Draws::new(3, "below", 0, 0);
        let mut counts = [0u32; 7];
        (0..7000).for_each(|_| counts[draws.below(7)] += 1);
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
        assert_eq!(draws.below(0), 0);
    }

    #[test]
    fn samples_are_distinct_and_permutations_complete() {
        let mut draws = Draws::new(5, "sample", 0, 0);
        let mut all = draws.permutation(50);
        assert_ne!(all, (0..50).collect::<Vec<_>>());
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
        assert_eq!(draws.sample(3, 9).len(), 3);
        let mut some = draws.sample(1000, 40);
        some.sort_unstable();
        some.dedup();
        assert_eq!(some.len(), 40);
        // Fisher and Yates on all numbers draws the same.
        for (n, count) in [(1, 1), (9, 4), (50, 50), (1000, 300), (70_000, 700)] {
            let (mut draws, mut plain) = (Draws::new(6, "sample", 0, 0), Draws::new(6, "sample", 0, 0));
            let mut numbers: Vec<usize> = (0..n).collect();
            (0..count).for_each(|i| numbers.swap(i, i + plain.below(n - i)));
            assert_eq!(draws.sample(n, count), numbers[..count]);
        }
    }
}
