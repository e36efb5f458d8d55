//! Mean and deviation of many values.

use pulp::Arch;
use rayon::prelude::*;

/// Values of a block: what the nearest cache holds. Sums are split by it, whatever the number of threads.
pub(crate) const BLOCK: usize = 4096;

/// Sums side by side, for the sake of vector code.
const LANES: usize = 8;

/// How many values there are, their mean, and the sum of their squared distances from it.
#[derive(Clone, Copy)]
pub(crate) struct Moments {
    count: f64,
    pub(crate) mean: f64,
    squares: f64,
}

impl Moments {
    /// The moments of `values`, each block's joined in order.
    pub(crate) fn of(values: &[f32]) -> Self {
        let arch = Arch::new();
        let blocks: Vec<Moments> =
            values.par_chunks(BLOCK).map(|block| arch.dispatch(|| Self::of_block(block))).collect();
        let none = Moments { count: 0.0, mean: f64::NAN, squares: 0.0 };
        blocks.into_iter().reduce(Self::joined).unwrap_or(none)
    }

    /// The (population) standard deviation.
    pub(crate) fn deviation(&self) -> f64 {
        (self.squares / self.count).sqrt()
    }

    /// In two passes, the second one in the nearest cache; sums of equal values are exact.
    #[inline(always)]
    fn of_block(block: &[f32]) -> Self {
        let count = block.len() as f64;
        let mean = sum(block, |value| value) / count;
        Moments { count, mean, squares: sum(block, |value| (value - mean) * (value - mean)) }
    }

    /// The moments of both groups together (Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing
    /// sample variances", 1979).
    fn joined(self, other: Self) -> Self {
        let count = self.count + other.count;
        let difference = other.mean - self.mean;
        let share = other.count / count;
        Moments {
            count,
            mean: self.mean + difference * share,
            squares: self.squares + other.squares + difference * difference * self.count * share,
        }
    }
}

/// The lowest and the highest of `values`, which are not NaN; zeros where there are none.
pub(crate) fn extremes(values: &[f32]) -> [f32; 2] {
    let first = values.first().copied().unwrap_or_default();
    let (chunks, rest) = values.as_chunks::<LANES>();
    let (mut low, mut high) = ([first; LANES], [first; LANES]);
    for chunk in chunks {
        for lane in 0..LANES {
            low[lane] = low[lane].min(chunk[lane]);
            high[lane] = high[lane].max(chunk[lane]);
        }
    }
    let rest = || rest.iter().copied();
    [
        low.into_iter().chain(rest()).fold(first, f32::min),
        high.into_iter().chain(rest()).fold(first, f32::max),
    ]
}

#[inline(always)]
fn sum(block: &[f32], term: impl Fn(f64) -> f64) -> f64 {
    let (chunks, rest) = block.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += term(chunk[lane].into());
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&value| term(value.into())).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_their_rests_are_joined() {
        for count in [1, 7, BLOCK, 3 * BLOCK + 13] {
            let values: Vec<f32> = (0..count).map(|n| 1000.0 + (n % 17) as f32).collect();
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count as f64;
            let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
            let found = Moments::of(&values);
            assert!((found.mean - mean).abs() < 1e-9, "{count}: {} {mean}", found.mean);
            assert!((found.deviation() - (squares / count as f64).sqrt()).abs() < 1e-9, "{count}");
        }
    }

    #[test]
    fn equal_values_have_no_deviation() {
        assert_eq!(Moments::of(&vec![0.1; 2 * BLOCK + 1]).deviation(), 0.0);
        assert!(Moments::of(&[]).mean.is_nan());
    }
}
