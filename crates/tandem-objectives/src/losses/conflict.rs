//! Where two networks contradict each other on labelled voxels.

use super::cross_entropy::check_targets;
use crate::planes::{self, SPAN, Span};
use crate::scores::{Detached, Live, Planes, add_through_softmax};
use candle_core::Result;
use tandem_ops3d::VoxelBytes;

/// The voxels where two networks say different things.
///
/// A network says its likeliest class where that has at least `threshold` probability, else background. The released
/// code of Dual Networks uses 0.6; 0 means no threshold, which is the rule of MCF.
///
/// # Shapes
/// One byte for each voxel, in the order (patch, i, j, k): 1 where they do.
///
/// # Errors
/// Where the two cover different numbers of voxels.
///
/// # References
/// Wang et al., "MCF: mutual correction framework", CVPR 2023 (contrastive difference review).
pub fn conflict_mask(a: Detached<'_>, b: Detached<'_>, threshold: f64) -> Result<VoxelBytes> {
    a.check_voxels("the other network's scores", b.voxels())?;
    if let (Some((gpu, patches)), Some(other)) = (a.on_gpu(), b.on_gpu()) {
        return gpu.conflicts(patches, other, threshold);
    }
    let (a, b, threshold) = (a.on_host()?, b.on_host()?, threshold as f32);
    let says = |scores: Planes<'_>, span: Span| {
        let (mut labels, mut log_p, mut p) = ([0; SPAN], [0.0; SPAN], [0.0; SPAN]);
        scores.likeliest(span, &mut labels[..span.len], &mut log_p);
        for class in 1..scores.classes {
            for ((p, &label), &of_class) in p.iter_mut().zip(&labels).zip(scores.p(class, span)) {
                *p = if label == class as u8 { of_class } else { *p };
            }
        }
        for (label, &p) in labels.iter_mut().zip(&p) {
            *label = if p >= threshold { *label } else { 0 };
        }
        labels
    };
    let mask = a.per_voxel(|span, mask| {
        let said = says(a, span).into_iter().zip(says(b, span));
        mask.iter_mut().zip(said).for_each(|(mask, (a, b))| *mask = u8::from(a != b));
    });
    Ok(mask.into())
}

/// Squared error of the foreground probabilities over the conflicting voxels.
///
/// `sum_v m_v sum over c > 0 of (p_c - y_c)^2 / (sum_v m_v + 1e-16)`; the mask carries no gradient.
///
/// # Shapes
/// One target and one mask value for each voxel, in the order (patch, i, j, k).
///
/// # Errors
/// Where targets or mask are missing, or a target names a class that the logits lack.
pub fn conflict(scores: &mut Live<'_>, targets: &VoxelBytes, mask: &VoxelBytes, weight: f64) -> Result<f64> {
    let read = scores.detached();
    check_targets(read, targets)?;
    read.check_voxels("the conflict mask", mask.len())?;
    let count = mask.count_set()? as f64 + 1e-16;
    let scale = 2.0 * weight / count;
    if let Some((gpu, patches, gradient)) = scores.on_gpu()? {
        return Ok(gpu.conflict(patches, [targets, mask], scale, gradient)? / count);
    }
    let (read, scale) = (read.on_host()?, scale as f32);
    let (targets, mask) = (targets.values()?, mask.values()?);
    let [sum] = scores.visit(|span, gradient| {
        let (targets, mask) = (&targets[span.voxels()], &mask[span.voxels()]);
        let mut values = [0.0; SPAN];
        let mut slopes = vec![0.0; read.classes * span.len];
        // p - 1 as minus the sum of the others, which does not cancel where p is near 1.
        let mut others = [0.0; SPAN];
        for class in 0..read.classes {
            for ((others, &target), &p) in others.iter_mut().zip(targets).zip(read.p(class, span)) {
                *others += if target == class as u8 { 0.0 } else { p };
            }
        }
        for (class, slopes) in slopes.chunks_exact_mut(span.len).enumerate().skip(1) {
            let voxels = targets.iter().zip(mask).zip(read.p(class, span)).zip(&others);
            for ((slope, value), (((&target, &mask), &p), &others)) in
                slopes.iter_mut().zip(&mut values).zip(voxels)
            {
                let error = if target == class as u8 { -others } else { p };
                *slope = if mask != 0 { error } else { 0.0 };
                *value += *slope * *slope;
            }
        }
        add_through_softmax(read, span, &slopes, scale, gradient);
        [planes::sum(&values)]
    });
    Ok(sum / count)
}
