//! Where two networks contradict each other on labelled voxels.

use super::cross_entropy::check_targets;
use crate::rows;
use crate::scores::{Detached, Live, add_through_softmax};
use candle_core::Result;
use rayon::prelude::*;

/// The voxels where two networks say different things.
///
/// A network says its likeliest class where that has at least `threshold` probability, else background. The released
/// code of Dual Networks uses 0.6; 0 means no threshold, which is the rule of MCF.
///
/// # Errors
/// Where the two cover different numbers of voxels.
///
/// # References
/// Wang et al., "MCF: mutual correction framework", CVPR 2023 (contrastive difference review).
pub fn conflict_mask(a: Detached<'_>, b: Detached<'_>, threshold: f64) -> Result<Vec<bool>> {
    a.check_voxels("the other network's scores", b.voxels())?;
    let says = |scores: Detached<'_>, v: usize| {
        let class = scores.class(v);
        if f64::from(scores.probabilities(v)[usize::from(class)]) >= threshold { class } else { 0 }
    };
    Ok((0..a.voxels()).into_par_iter().with_min_len(rows::CHUNK).map(|v| says(a, v) != says(b, v)).collect())
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
pub fn conflict(scores: &mut Live<'_>, targets: &[u8], mask: &[bool], weight: f64) -> Result<f64> {
    let read = scores.detached();
    check_targets(read, targets)?;
    read.check_voxels("the conflict mask", mask.len())?;
    let count = mask.iter().filter(|&&m| m).count() as f64 + 1e-16;
    let scale = (2.0 * weight / count) as f32;
    let sum = scores.visit(|v, gradient| {
        if !mask[v] {
            return 0.0;
        }
        let (p, target) = (read.probabilities(v), usize::from(targets[v]));
        let error = |c: usize| match c {
            0 => 0.0,
            // p - 1 as the sum of the others, which does not cancel where p is near 1.
            _ if c == target => {
                -p.iter().enumerate().filter(|(other, _)| *other != c).map(|(_, p)| p).sum::<f32>()
            }
            _ => p[c],
        };
        add_through_softmax(gradient, p, scale, error);
        (1..p.len()).map(|c| f64::from(error(c)).powi(2)).sum()
    });
    Ok(sum / count)
}
