//! Holm's correction for several tests.

/// The p values of a family of tests, adjusted by Holm's step-down procedure, in the same order: each may be compared with
/// the level that the whole family is to have.
///
/// # References
/// Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut highest: f64 = 0.0;
    for (rank, at) in order.into_iter().enumerate() {
        highest = highest.max(p[at] * (p.len() - rank) as f64).min(1.0);
        adjusted[at] = highest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_one_test_less_and_none_falls_below_the_one_before() {
        assert_eq!(holm(&[0.01, 0.5, 0.0]), [0.02, 0.5, 0.0]);
        assert_eq!(holm(&[0.0625, 0.125, 0.03125]), [0.125, 0.125, 0.09375]);
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        assert_eq!(holm(&[0.3]), [0.3]);
        assert!(holm(&[]).is_empty());
    }
}
