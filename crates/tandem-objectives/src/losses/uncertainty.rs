//! Pseudo-labels weighted by how far student and teacher are apart.

use super::cross_entropy::check_targets;
use crate::scores::{Detached, Live};
use candle_core::Result;

/// Choices of [`uncertainty`].
#[derive(Clone, Copy, Debug, Default)]
pub struct UncertaintyOptions<'a> {
    /// The voxels of the cross-entropy; all where there is none.
    pub reliable: Option<&'a [bool]>,
    /// Takes `exp(-D)` for a constant. Where it is live, a student can lower the loss by disagreeing more; the
    /// divergence holds it.
    pub detach_weight: bool,
}

/// The two parts of the loss; their sum is minimised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uncertainty {
    /// Mean of `exp(-D) * CE` over the reliable voxels; 0 where there is none.
    pub weighted_cross_entropy: f64,
    /// Mean of `D` over all voxels.
    pub divergence: f64,
}

/// Cross-entropy to pseudo-labels weighted by `exp(-D)`, plus the divergence `D = KL(p_teacher || p_student)`.
///
/// The teacher is a constant; `0 ln 0` is 0.
///
/// # Shapes
/// One pseudo-label for each voxel, in the order (patch, i, j, k).
///
/// # Errors
/// Where the inputs cover different numbers of voxels or a label names a class that the logits lack.
///
/// # References
/// The rectification of Zheng and Yang (IJCV 2021) and URPC (Luo et al., MICCAI 2021), as the released code of Dual
/// Networks applies it.
pub fn uncertainty(
    student: &mut Live<'_>,
    teacher: Detached<'_>,
    labels: &[u8],
    options: UncertaintyOptions<'_>,
    weight: f64,
) -> Result<Uncertainty> {
    let read = student.detached();
    check_targets(read, labels)?;
    read.check_voxels("the teacher's scores", teacher.voxels())?;
    if let Some(reliable) = options.reliable {
        read.check_voxels("the reliable mask", reliable.len())?;
    }
    let is_reliable = |v: usize| options.reliable.is_none_or(|reliable| reliable[v]);
    let voxels = read.voxels().max(1) as f64;
    let reliable = (0..read.voxels()).filter(|&v| is_reliable(v)).count().max(1) as f64;
    let (by_divergence, by_entropy) = ((weight / voxels) as f32, (weight / reliable) as f32);
    let divergence = |v: usize| {
        let (pt, lt, ls) =
            (teacher.probabilities(v), teacher.log_probabilities(v), read.log_probabilities(v));
        pt.iter()
            .zip(lt.iter().zip(ls))
            .map(|(&p, (lt, ls))| if p > 0.0 { p * (lt - ls) } else { 0.0 })
            .sum::<f32>()
    };
    let weighted = student.visit(|v, gradient| {
        let (ps, pt, label) = (read.probabilities(v), teacher.probabilities(v), usize::from(labels[v]));
        let mut scale = by_divergence;
        let mut value = 0.0;
        if is_reliable(v) {
            let certainty = (-divergence(v)).exp();
            let cross_entropy = -read.log_probabilities(v)[label];
            for (gradient, p) in gradient.iter_mut().zip(ps) {
                *gradient += by_entropy * certainty * p;
            }
            gradient[label] -= by_entropy * certainty;
            if !options.detach_weight {
                scale -= by_entropy * certainty * cross_entropy;
            }
            value = f64::from(certainty * cross_entropy);
        }
        for ((gradient, ps), pt) in gradient.iter_mut().zip(ps).zip(pt) {
            *gradient += scale * (ps - pt);
        }
        value
    });
    let total = crate::rows::sum(read.voxels(), |v| f64::from(divergence(v)));
    Ok(Uncertainty { weighted_cross_entropy: weighted / reliable, divergence: total / voxels })
}
