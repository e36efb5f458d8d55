//! The standard normal distribution.

use std::f64::consts::SQRT_2;

/// The probability of at most `z`.
pub(crate) fn cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / SQRT_2)
}

/// The `z` that is not exceeded with probability `p`, by bisection: exact to the last bits, and seldom asked for.
pub(crate) fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if cdf(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_and_quantiles_are_those_of_tables() {
        for (z, p) in [(0.0, 0.5), (1.959_963_984_540_054, 0.975), (-2.575_829_303_548_901, 0.005)] {
            assert!((cdf(z) - p).abs() < 1e-15, "{z}");
            assert!((quantile(p) - z).abs() < 1e-12, "{p}");
        }
        // Far out, where 1 - p would be lost to rounding.
        assert!((cdf(-10.0) / 7.619_853_024_160_526e-24 - 1.0).abs() < 1e-12);
    }
}
