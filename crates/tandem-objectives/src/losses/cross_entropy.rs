//! Cross-entropy.

use crate::rows;
use crate::scores::{Detached, Live};
use candle_core::{Result, bail};

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
pub fn cross_entropy(scores: &mut Live<'_>, targets: &[u8], weight: f64) -> Result<f64> {
    let read = scores.detached();
    let kept = check_targets(read, targets)?;
    if kept == 0 {
        return Ok(0.0);
    }
    let scale = (weight / kept as f64) as f32;
    let sum = scores.visit(|v, gradient| {
        let target = targets[v];
        if target == IGNORE {
            return 0.0;
        }
        let target = usize::from(target);
        for (gradient, p) in gradient.iter_mut().zip(read.probabilities(v)) {
            *gradient += scale * p;
        }
        gradient[target] -= scale;
        -f64::from(read.log_probabilities(v)[target])
    });
    Ok(sum / kept as f64)
}

/// The cross-entropy that results where a softmax is taken for logits, so that it is applied twice.
///
/// The released code of Dual Networks does so, on detached probabilities; a value for the log without a gradient.
///
/// # Errors
/// As [`cross_entropy`].
pub fn cross_entropy_of_softmax(scores: Detached<'_>, targets: &[u8]) -> Result<f64> {
    let kept = check_targets(scores, targets)?;
    if kept == 0 {
        return Ok(0.0);
    }
    let sum = rows::sum(scores.voxels(), |v| {
        if targets[v] == IGNORE {
            return 0.0;
        }
        let p = scores.probabilities(v);
        p.iter().map(|&p| f64::from(p).exp()).sum::<f64>().ln() - f64::from(p[usize::from(targets[v])])
    });
    Ok(sum / kept as f64)
}

/// Counts the targets that are not ignored.
pub(super) fn check_targets(scores: Detached<'_>, targets: &[u8]) -> Result<usize> {
    scores.check_voxels("targets", targets.len())?;
    let classes = scores.classes();
    if let Some(target) = targets.iter().find(|&&y| y != IGNORE && usize::from(y) >= classes) {
        bail!("a target names class {target}, the logits have classes 0 to {}", classes - 1);
    }
    Ok(targets.iter().filter(|&&y| y != IGNORE).count())
}
