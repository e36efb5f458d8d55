//! Entropy of predictions, and the quantile that separates reliable from unreliable ones.

use crate::scores::Detached;
use candle_core::Result;
use rayon::prelude::*;
use tandem_ops3d::VoxelNumbers;
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
pub fn entropy(scores: Detached<'_>) -> Result<VoxelNumbers> {
    if let Some((gpu, patches)) = scores.on_gpu() {
        return gpu.entropies(patches);
    }
    let read = scores.on_host()?;
    let entropies = read.per_voxel(|span, entropies| {
        for class in 0..read.classes {
            add_entropy(read.p(class, span), entropies);
        }
    });
    Ok(entropies.into())
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
///
/// # Errors
/// Where a GPU that holds the values fails.
pub fn quantile(values: &VoxelNumbers, share: f64) -> Result<f64> {
    let Some(last) = values.len().checked_sub(1) else { return Ok(f64::NAN) };
    let position = share.clamp(0.0, 1.0) * last as f64;
    let index = position as usize;
    let Some(around) = values.ranked([index, (index + 1).min(last)])? else { return Ok(f64::NAN) };
    let [low, high] = around.map(f64::from);
    Ok(low + (position - index as f64) * (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        let quantile = |values: &[f32], share| quantile(&values.to_vec().into(), share).unwrap();
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
