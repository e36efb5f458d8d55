//! Cross-entropy.

use crate::planes::{self, SPAN};
use crate::scores::{Detached, Live};
use candle_core::{Result, bail};
use tandem_ops3d::VoxelBytes;
use tandem_ops3d::elementary::{exp, ln};

/// The target of a voxel that does not count.
pub const IGNORE: u8 = u8::MAX;

/// Mean cross-entropy over the voxels that are not [`IGNORE`]d.
///
/// `-1/n * sum_v ln p_v[y_v]`; 0 where every voxel is ignored (PyTorch says NaN there).
///
/// # Shapes
/// One target for each voxel, in the order (patch, i, j, k).
///
/// # Errors
/// Where targets are missing or name a class that the logits lack.
pub fn cross_entropy(scores: &mut Live<'_>, targets: &VoxelBytes, weight: f64) -> Result<f64> {
    let read = scores.detached();
    let kept = count_targets(read, targets)?;
    if kept == 0 {
        return Ok(0.0);
    }
    let scale = weight / kept as f64;
    if let Some((gpu, patches, gradient)) = scores.on_gpu()? {
        return Ok(gpu.cross_entropy(patches, targets, scale, gradient)? / kept as f64);
    }
    let (read, targets, scale) = (read.on_host()?, targets.values()?, scale as f32);
    let [sum] = scores.visit(|span, gradient| {
        let mut values = [0.0; SPAN];
        let targets = &targets[span.voxels()];
        for (class, gradient) in gradient.iter_mut().enumerate() {
            let scores = read.p(class, span).iter().zip(read.log_p(class, span));
            let class = class as u8;
            for (((gradient, value), &target), (&p, &log_p)) in
                gradient.iter_mut().zip(&mut values).zip(targets).zip(scores)
            {
                let hit = target == class;
                let slope = if target == IGNORE { 0.0 } else { p };
                *gradient += scale * (slope - f32::from(hit));
                *value -= if hit { log_p } else { 0.0 };
            }
        }
        [planes::sum(&values)]
    });
    Ok(sum / kept as f64)
}

/// The cross-entropy that results where a softmax is taken for logits, so that it is applied twice.
///
/// The released code of Dual Networks does so, on detached probabilities; a value for the log without a gradient.
///
/// # Errors
/// As [`cross_entropy`].
pub fn cross_entropy_of_softmax(scores: Detached<'_>, targets: &VoxelBytes) -> Result<f64> {
    let kept = count_targets(scores, targets)?;
    if kept == 0 {
        return Ok(0.0);
    }
    let (scores, targets) = (scores.on_host()?, targets.values()?);
    let [sum] = scores.sums(|span| {
        let [mut totals, mut of_target] = [[0.0; SPAN]; 2];
        let targets = &targets[span.voxels()];
        for class in 0..scores.classes {
            let values = scores.p(class, span).iter().zip(targets);
            for ((total, of_target), (&p, &target)) in totals.iter_mut().zip(&mut of_target).zip(values) {
                *total += exp(p);
                *of_target += if usize::from(target) == class { p } else { 0.0 };
            }
        }
        for ((total, of_target), target) in totals.iter_mut().zip(&of_target).zip(targets) {
            *total = if *target == IGNORE { 0.0 } else { ln(*total) - of_target };
        }
        [planes::sum(&totals[..span.len])]
    });
    Ok(sum / kept as f64)
}

/// Counts the targets that are not ignored.
fn count_targets(scores: Detached<'_>, targets: &VoxelBytes) -> Result<usize> {
    check_targets(scores, targets)?;
    Ok(targets.counts(scores.classes())?.of_classes.iter().sum())
}

/// Whether there is a target for each voxel, and each is ignored or a class of the logits.
pub(super) fn check_targets(scores: Detached<'_>, targets: &VoxelBytes) -> Result<()> {
    scores.check_voxels("targets", targets.len())?;
    let classes = scores.classes();
    if !targets.fit(classes)? {
        let largest = targets.values()?.iter().filter(|target| **target != IGNORE).max();
        bail!("a target names class {}, the logits have classes 0 to {}", largest.unwrap_or(&0), classes - 1);
    }
    Ok(())
}
