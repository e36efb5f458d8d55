//! Entropy of predictions, and the quantile that separates reliable from unreliable ones.

use crate::rows::CHUNK;
use crate::scores::Detached;
use rayon::prelude::*;

/// Keeps the logarithm finite, as in the released code.
const FLOOR: f32 = 1e-10;

/// Entropy of every voxel in nats: `-sum_c p_c ln(p_c + 1e-10)`.
pub fn entropy(scores: Detached<'_>) -> Vec<f32> {
    per_voxel(scores.voxels(), |v| scores.probabilities(v))
}

/// The same formula on raw logits, which the released code of Dual Networks evaluates: NaN wherever a logit is below
/// -1e-10.
///
/// # Shapes
/// `logits` holds one row of `classes` numbers for each voxel.
pub fn entropy_of_logits(logits: &[f32], classes: usize) -> Vec<f32> {
    let classes = classes.max(1);
    per_voxel(logits.len() / classes, |v| &logits[v * classes..][..classes])
}

fn per_voxel<'a>(voxels: usize, row: impl Fn(usize) -> &'a [f32] + Sync) -> Vec<f32> {
    let mut entropies = vec![0.0; voxels];
    entropies.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, entropies)| {
        for (v, entropy) in entropies.iter_mut().enumerate() {
            *entropy = -row(chunk * CHUNK + v).iter().map(|p| p * (p + FLOOR).ln()).sum::<f32>();
        }
    });
    entropies
}

/// The linearly interpolated quantile at position `share * (n - 1)` of the sorted values, as numpy's default.
///
/// NaN where there are no values or one of them is NaN, as numpy; `share` is clamped to [0, 1].
pub fn quantile(values: &[f32], share: f64) -> f64 {
    if values.is_empty() || values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let position = share.clamp(0.0, 1.0) * (values.len() - 1) as f64;
    let index = position as usize;
    let mut values = values.to_vec();
    let (_, &mut low, above) = values.select_nth_unstable_by(index, f32::total_cmp);
    let high = above.iter().copied().min_by(f32::total_cmp).unwrap_or(low);
    f64::from(low) + (position - index as f64) * (f64::from(high) - f64::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        assert_eq!(quantile(&[3., 1., 2., 4.], 0.5), 2.5);
        assert_eq!(quantile(&[5., 1.], 1.0), 5.);
        assert_eq!(quantile(&[7.], 0.8), 7.);
        assert!((quantile(&[0., 1., 2., 3., 4.], 0.2) - 0.8).abs() < 1e-12);
        assert!(quantile(&[], 0.5).is_nan());
        assert!(quantile(&[1., f32::NAN], 0.5).is_nan());
    }

    #[test]
    fn entropy_of_negative_logits_is_undefined() {
        let entropies = entropy_of_logits(&[1., 2., -1., 2.], 2);
        assert!((f64::from(entropies[0]) + 2. * 2f64.ln()).abs() < 1e-6);
        assert!(entropies[1].is_nan());
    }
}
