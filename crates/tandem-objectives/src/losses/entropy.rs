//! Entropy of predictions, and the quantile that separates reliable from unreliable ones.

use crate::planes::SPAN;
use crate::scores::Detached;
use candle_core::Result;
use rayon::prelude::*;
use tandem_ops3d::elementary::ln;

/// Keeps the logarithm finite, as in the released code.
const FLOOR: f32 = 1e-10;

/// Entropy of every voxel in nats: `-sum_c p_c ln(p_c + 1e-10)`.
///
/// # Shapes
/// One value for each voxel, in the order (patch, i, j, k).
///
/// # Errors
/// Where a GPU fails.
pub fn entropy(scores: Detached<'_>) -> Result<Vec<f32>> {
    if let Some((gpu, patches)) = scores.on_gpu() {
        return gpu.entropies(patches);
    }
    let read = scores.on_host()?;
    Ok(read.per_voxel(|span, entropies| {
        for class in 0..read.classes {
            add_entropy(read.p(class, span), entropies);
        }
    }))
}

/// The same formula on any numbers: means of several predictions, or raw logits, as the released code of Dual Networks
/// evaluates it, which is NaN wherever one is below -1e-10.
///
/// # Shapes
/// `planes` are `(patch, class, i, j, k)`, `voxels` in each class of each patch.
pub fn entropy_of_planes(planes: &[f32], classes: usize, voxels: usize) -> Vec<f32> {
    let patch = (classes * voxels).max(1);
    let of_patch = |planes: &[f32]| {
        let mut entropies = vec![0.0; voxels];
        planes.chunks_exact(voxels).for_each(|plane| add_entropy(plane, &mut entropies));
        entropies
    };
    planes.par_chunks_exact(patch).flat_map_iter(of_patch).collect()
}

/// Adds `-p ln(p + 1e-10)`.
fn add_entropy(p: &[f32], entropies: &mut [f32]) {
    entropies.iter_mut().zip(p).for_each(|(entropy, p)| *entropy -= p * ln(p + FLOOR));
}

/// The linearly interpolated quantile at position `share * (n - 1)` of the sorted values, as numpy's default.
///
/// NaN where there are no values or one of them is NaN, as numpy; `share` is clamped to [0, 1].
pub fn quantile(values: &[f32], share: f64) -> f64 {
    if values.is_empty() || values.par_chunks(SPAN).any(|values| values.iter().any(|v| v.is_nan())) {
        return f64::NAN;
    }
    let position = share.clamp(0.0, 1.0) * (values.len() - 1) as f64;
    let index = position as usize;
    let [low, high] =
        [index, (index + 1).min(values.len() - 1)].map(|index| f64::from(ranked(values, index)));
    low + (position - index as f64) * (high - low)
}

/// The value at an index of the sorted values: found among those that share the upper half of its bits.
fn ranked(values: &[f32], index: usize) -> f32 {
    let counts = values.par_chunks(64 * SPAN).map(|values| {
        let mut counts = vec![0usize; 1 << 16];
        values.iter().for_each(|value| counts[upper(*value)] += 1);
        counts
    });
    let counts = counts.reduce(
        || vec![0; 1 << 16],
        |mut sum, counts| {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            sum
        },
    );
    let (mut before, mut bin) = (0, 0);
    while before + counts[bin] <= index {
        before += counts[bin];
        bin += 1;
    }
    let mut near: Vec<f32> = values.par_iter().copied().filter(|value| upper(*value) == bin).collect();
    *near.select_nth_unstable_by(index - before, f32::total_cmp).1
}

/// The upper half of a number's bits, in an order that is that of the numbers.
fn upper(value: f32) -> usize {
    let bits = value.to_bits();
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    (ordered >> 16) as usize
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
        assert_eq!(quantile(&[-1., 0.5, -2., 0.], 1. / 3.), -1.);
        let many: Vec<f32> = (0..300_001u64).map(|i| (i * 7919 % 300_001) as f32 / 300_000. - 0.25).collect();
        assert!((quantile(&many, 0.8) - 0.55).abs() < 1e-6);
        assert!(quantile(&[], 0.5).is_nan());
        assert!(quantile(&[1., f32::NAN], 0.5).is_nan());
    }

    #[test]
    fn entropy_of_negative_logits_is_undefined() {
        let entropies = entropy_of_planes(&[1., -1., 2., 2.], 2, 2);
        assert!((f64::from(entropies[0]) + 2. * 2f64.ln()).abs() < 1e-6);
        assert!(entropies[1].is_nan());
    }
}
