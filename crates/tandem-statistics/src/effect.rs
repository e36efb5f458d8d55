//! How large a difference is, beside how sure one may be that there is one.

use crate::{mean, sd};

/// Cohen's d_z: the mean difference in units of the differences' standard deviation. None below two differences, and where they
/// are all equal.
///
/// # References
/// Cohen, *Statistical Power Analysis for the Behavioral Sciences* (1988), section 2.3.5; the name d_z is his.
pub fn cohen_dz(differences: &[f64]) -> Option<f64> {
    let sd = sd(differences).filter(|sd| *sd > 0.0)?;
    Some(mean(differences)? / sd)
}

/// Hodges and Lehmann's estimate of the median difference: the median of the means of all pairs of differences, each with itself
/// too. It belongs to the signed-rank test as the mean belongs to the t test. In the unit of the differences; none of no differences.
///
/// # References
/// Hodges and Lehmann, "Estimates of location based on rank tests", Annals of Mathematical Statistics 34 (1963).
pub fn hodges_lehmann(differences: &[f64]) -> Option<f64> {
    let pairs =
        differences.iter().enumerate().flat_map(|(i, a)| differences[i..].iter().map(move |b| 0.5 * (a + b)));
    let mut means: Vec<f64> = pairs.collect();
    means.sort_by(f64::total_cmp);
    let last = means.len().checked_sub(1)?;
    Some(0.5 * (means[last / 2] + means[last.div_ceil(2)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_differences_by_hand() {
        assert_eq!(cohen_dz(&[1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(cohen_dz(&[1.0, 1.0]), None);
        assert_eq!(cohen_dz(&[1.0]), None);
        // Means of pairs: 0, 0.5, 4.5, 1, 5, 9.
        assert_eq!(hodges_lehmann(&[0.0, 1.0, 9.0]), Some(2.75));
        assert_eq!(hodges_lehmann(&[4.0]), Some(4.0));
        assert_eq!(hodges_lehmann(&[]), None);
    }
}
