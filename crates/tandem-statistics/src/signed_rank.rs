//! Wilcoxon's signed-rank test of paired differences.

use crate::normal;

/// The most differences that the exact distribution is used for, as in scipy.
const EXACT: usize = 50;

/// From what the p value was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullDistribution {
    /// All assignments of signs, counted.
    Exact,
    /// The normal approximation, corrected for ties and continuity.
    Normal,
}

/// What the test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignedRank {
    /// The sum of the ranks of positive differences.
    pub positive: f64,
    /// The sum of the ranks of negative differences.
    pub negative: f64,
    /// Differences that are not 0.
    pub n: usize,
    /// Differences of 0. They are left out.
    pub zeros: usize,
    /// The two-sided p value.
    pub p: f64,
    /// Where it comes from.
    pub distribution: NullDistribution,
}

impl SignedRank {
    /// The matched-pairs rank-biserial correlation: the share of ranks that are positive less the share that are negative, -1
    /// to 1.
    ///
    /// # References
    /// Kerby, "The simple difference formula", Comprehensive Psychology 3 (2014).
    pub fn rank_biserial(&self) -> f64 {
        (self.positive - self.negative) / (self.positive + self.negative)
    }
}

/// Whether differences lie around 0, by the ranks of their sizes. None where no difference is other than 0.
///
/// Differences of 0 are dropped, as Wilcoxon did, and not ranked with the others (Pratt): of a continuous metric there are
/// none but where both sides made the same prediction, and the exact distribution remains at hand. The p value is exact up to
/// 50 differences without ties; else it is the normal approximation with corrections for ties and continuity.
///
/// # References
/// Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1 (1945). Equal to `scipy.stats.wilcoxon` with
/// `zero_method="wilcox"`, `correction=True` and `method="exact"` or `"asymptotic"`.
pub fn signed_rank(differences: &[f64]) -> Option<SignedRank> {
    let mut sorted: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let n = sorted.len();
    if n == 0 || sorted.iter().any(|d| d.is_nan()) {
        return None;
    }
    sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let (mut positive, mut ties, mut first) = (0.0, 0.0, 0);
    for group in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let size = group.len();
        // Equal sizes share the mean of their ranks.
        let rank = first as f64 + 0.5 * (size + 1) as f64;
        positive += rank * group.iter().filter(|d| **d > 0.0).count() as f64;
        ties += (size as f64).powi(3) - size as f64;
        first += size;
    }
    let all = 0.5 * (n * (n + 1)) as f64;
    let (p, distribution) = if n <= EXACT && ties == 0.0 {
        (exact(n, positive as usize), NullDistribution::Exact)
    } else {
        (approximate(n, positive, ties), NullDistribution::Normal)
    };
    let zeros = differences.len() - n;
    Some(SignedRank { positive, negative: all - positive, n, zeros, p, distribution })
}

/// Twice the smaller tail at a sum of ranks, among all 2^n assignments of signs.
fn exact(n: usize, sum: usize) -> f64 {
    // Whole numbers below 2^53: exact.
    let mut ways = vec![0.0; n * (n + 1) / 2 + 1];
    ways[0] = 1.0;
    for rank in 1..=n {
        for at in (rank..ways.len()).rev() {
            ways[at] += ways[at - rank];
        }
    }
    let tail = |ways: &[f64]| ways.iter().sum::<f64>();
    let smaller = tail(&ways[..=sum]).min(tail(&ways[sum..]));
    (2.0 * smaller / 2f64.powi(n as i32)).min(1.0)
}

/// `ties` is the sum of t^3 - t over groups of t equal sizes.
fn approximate(n: usize, sum: f64, ties: f64) -> f64 {
    let n = n as f64;
    let variance = (n * (n + 1.0) * (2.0 * n + 1.0) - 0.5 * ties) / 24.0;
    let distance = (sum - 0.25 * n * (n + 1.0)).abs();
    2.0 * normal::cdf(-(distance - 0.5).max(0.0) / variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_positive_differences_have_one_chance_in_four() {
        let test = signed_rank(&[0.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((test.positive, test.negative, test.n, test.zeros), (6.0, 0.0, 3, 1));
        assert_eq!((test.p, test.distribution), (0.25, NullDistribution::Exact));
        assert_eq!(test.rank_biserial(), 1.0);
        let mirrored = signed_rank(&[-1.0, -3.0, -2.0]).unwrap();
        assert_eq!((mirrored.p, mirrored.rank_biserial()), (0.25, -1.0));
    }

    #[test]
    fn without_a_difference_there_is_no_test() {
        assert_eq!(signed_rank(&[]), None);
        assert_eq!(signed_rank(&[0.0, 0.0]), None);
        assert_eq!(signed_rank(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn the_exact_distribution_adds_up_and_the_approximation_comes_near() {
        let differences = |n: usize| (1..=n).map(|i| if i % 3 == 0 { -(i as f64) } else { i as f64 });
        for n in [1, 2, 5, 20, 50] {
            let test = signed_rank(&differences(n).collect::<Vec<_>>()).unwrap();
            assert!(test.p > 0.0 && test.p <= 1.0, "{n}");
        }
        let near = signed_rank(&differences(50).collect::<Vec<_>>()).unwrap();
        assert!((near.p - approximate(50, near.positive, 0.0)).abs() < 1e-3);
        assert_eq!(
            signed_rank(&differences(51).collect::<Vec<_>>()).unwrap().distribution,
            NullDistribution::Normal
        );
    }
}
