//! Pseudo-labels weighted by how far student and teacher are apart.

use super::cross_entropy::check_targets;
use crate::planes::{self, SPAN};
use crate::scores::{Detached, Live};
use candle_core::Result;
use tandem_ops3d::elementary::exp;
use tandem_ops3d::{UncertaintyShares, VoxelBytes};

/// Choices of [`uncertainty`].
#[derive(Clone, Copy, Debug, Default)]
pub struct UncertaintyOptions<'a> {
    /// A mask of the voxels of the cross-entropy; all where there is none.
    pub reliable: Option<&'a VoxelBytes>,
    /// Takes `exp(-D)` for a constant. Where it is live, a student can lower the loss by disagreeing more; the
    /// divergence holds it.
    pub detach_weight: bool,
    /// Takes the divergence over the reliable voxels too, not over all.
    pub divergence_of_reliable: bool,
    /// Weighs the cross-entropy by 1 in place of `exp(-D)`.
    pub unweighted: bool,
}

/// The two parts of the loss; their sum is minimised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uncertainty {
    /// Mean of `exp(-D) * CE` over the reliable voxels; 0 where there is none.
    pub weighted_cross_entropy: f64,
    /// Mean of `D` over all voxels, or over the reliable ones; 0 where there is none.
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
    labels: &VoxelBytes,
    options: UncertaintyOptions<'_>,
    weight: f64,
) -> Result<Uncertainty> {
    let read = student.detached();
    check_targets(read, labels)?;
    read.check_voxels("the teacher's scores", teacher.voxels())?;
    if let Some(reliable) = options.reliable {
        read.check_voxels("the reliable mask", reliable.len())?;
    }
    let voxels = read.voxels().max(1) as f64;
    let count = options.reliable.map_or(Ok(read.voxels()), VoxelBytes::count_set)?;
    let reliable = count.max(1) as f64;
    let diverging = if options.divergence_of_reliable { reliable } else { voxels };
    let (by_divergence, by_entropy) = (weight / diverging, weight / reliable);
    let live = !(options.detach_weight || options.unweighted);
    let found = |[weighted, divergence]: [f64; 2]| Uncertainty {
        weighted_cross_entropy: weighted / reliable,
        divergence: divergence / diverging,
    };
    if let (Some((gpu, patches, gradient)), Some(taught)) = (student.on_gpu()?, teacher.on_gpu()) {
        let shares = UncertaintyShares {
            by_entropy,
            by_divergence,
            unweighted: options.unweighted,
            live,
            of_reliable: options.divergence_of_reliable,
        };
        let bytes = (labels, options.reliable);
        return gpu.uncertainty(patches, taught, bytes, shares, gradient).map(found);
    }
    let (read, teacher, labels) = (read.on_host()?, teacher.on_host()?, labels.values()?);
    let mask = options.reliable.map(VoxelBytes::values).transpose()?;
    let (by_divergence, by_entropy) = (by_divergence as f32, by_entropy as f32);
    let live = if live { by_entropy } else { 0.0 };
    let sums = student.visit(|span, gradient| {
        let labels = &labels[span.voxels()];
        let [mut divergence, mut cross_entropy, mut share, mut scale] = [[0.0; SPAN]; 4];
        for class in 0..read.classes {
            let student = read.log_p(class, span).iter().zip(labels);
            let teacher = teacher.p(class, span).iter().zip(teacher.log_p(class, span));
            for (((divergence, cross_entropy), (&log_s, &label)), (&p, &log_t)) in
                divergence.iter_mut().zip(&mut cross_entropy).zip(student).zip(teacher)
            {
                *divergence += if p > 0.0 { p * (log_t - log_s) } else { 0.0 };
                *cross_entropy -= if label == class as u8 { log_s } else { 0.0 };
            }
        }
        // The share of the voxel's cross-entropy in the loss: exp(-D), or nothing where it is unreliable.
        match mask {
            Some(mask) => {
                let mask = &mask[span.voxels()];
                share.iter_mut().zip(mask).for_each(|(share, set)| *share = f32::from(u8::from(*set != 0)));
            }
            None => share[..span.len].fill(1.0),
        }
        for (((share, scale), entropy), divergence) in
            share.iter_mut().zip(&mut scale).zip(&mut cross_entropy).zip(&mut divergence)
        {
            let counts = if options.divergence_of_reliable { *share } else { 1.0 };
            *share *= if options.unweighted { 1.0 } else { exp(-*divergence) };
            *entropy *= *share;
            *divergence *= counts;
            *scale = by_divergence * counts - live * *entropy;
        }
        for (class, gradient) in gradient.iter_mut().enumerate() {
            let scores = read.p(class, span).iter().zip(teacher.p(class, span)).zip(labels);
            let factors = share.iter().zip(&scale);
            for ((gradient, ((student, teacher), &label)), (share, scale)) in
                gradient.iter_mut().zip(scores).zip(factors)
            {
                let hit = f32::from(label == class as u8);
                *gradient += by_entropy * share * (student - hit) + scale * (student - teacher);
            }
        }
        [planes::sum(&cross_entropy), planes::sum(&divergence)]
    });
    Ok(found(sums))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scores;
    use crate::losses::cross_entropy;
    use candle_core::{Device, Tensor};

    #[test]
    fn without_its_weight_it_is_a_cross_entropy_beside_the_divergence() {
        let scores = |at: f32| {
            let logits: Vec<f32> = (0..2 * 2 * 8).map(|i| (i as f32 * at).sin()).collect();
            Scores::new(Tensor::from_vec(logits, (2, 2, 2, 2, 2), &Device::Cpu).unwrap()).unwrap()
        };
        let (student, teacher) = (scores(1.3), scores(0.7));
        let teacher = teacher.detached(0..2);
        let labels = teacher.labels().unwrap();
        let mut by_term = student.zero_gradient();
        let options = UncertaintyOptions { unweighted: true, ..UncertaintyOptions::default() };
        let term =
            uncertainty(&mut student.live(0..2, &mut by_term), teacher, &labels, options, 1.0).unwrap();
        let mut by_entropy = student.zero_gradient();
        let entropy = cross_entropy(&mut student.live(0..2, &mut by_entropy), &labels, 1.0).unwrap();
        assert!((term.weighted_cross_entropy - entropy).abs() < 1e-6);
        // A divergence that is weighed alone: on no reliable voxel.
        let mut by_divergence = student.zero_gradient();
        let nowhere = UncertaintyOptions { reliable: Some(&vec![0; 16].into()), ..options };
        let divergence =
            uncertainty(&mut student.live(0..2, &mut by_divergence), teacher, &labels, nowhere, 1.0).unwrap();
        assert_eq!((divergence.weighted_cross_entropy, divergence.divergence), (0.0, term.divergence));
        let [by_term, by_entropy, by_divergence] = [by_term, by_entropy, by_divergence]
            .map(|gradient| crate::golden::numbers(&student.gradient_tensor(gradient).unwrap()));
        for (term, (entropy, divergence)) in by_term.iter().zip(by_entropy.iter().zip(&by_divergence)) {
            assert!((term - entropy - divergence).abs() < 1e-6);
        }
    }
}
