//! Dice loss.

use super::cross_entropy::check_targets;
use crate::rows;
use crate::scores::{Live, add_through_softmax};
use candle_core::Result;

const SMOOTH: f64 = 1e-5;

/// Dice loss with a squared denominator, averaged over the foreground classes.
///
/// `mean over c > 0 of 1 - (2 sum(p_c y_c) + s) / (sum(p_c^2) + sum(y_c) + s)`, `s = 1e-5`; the sums run over all
/// voxels of all patches together, not patch by patch.
///
/// # Shapes
/// One target for each voxel, in the order (patch, i, j, k).
///
/// # Errors
/// Where targets are missing or name a class that the logits lack.
///
/// # References
/// Milletari et al., "V-Net", 3DV 2016; batch-joint sums as in the released code of MCF (Wang et al., CVPR 2023).
pub fn dice(scores: &mut Live<'_>, targets: &[u8], weight: f64) -> Result<f64> {
    let read = scores.detached();
    check_targets(read, targets)?;
    let classes = read.classes();
    let [overlap, squares, counts] = sums(scores, targets);
    let foreground = (classes - 1) as f64;
    // Loss of class c is 1 - numerator / denominator; its derivative by p is `by_square * p - by_overlap * y`.
    let (mut value, mut by_overlap, mut by_square) = (0.0, vec![0f32; classes], vec![0f32; classes]);
    for c in 1..classes {
        let numerator = 2.0 * overlap[c] + SMOOTH;
        let denominator = squares[c] + counts[c] + SMOOTH;
        value += (1.0 - numerator / denominator) / foreground;
        by_overlap[c] = (weight * 2.0 / denominator / foreground) as f32;
        by_square[c] = (weight * 2.0 * numerator / denominator.powi(2) / foreground) as f32;
    }
    scores.visit(|v, gradient| {
        let (p, target) = (read.probabilities(v), usize::from(targets[v]));
        add_through_softmax(gradient, p, 1.0, |c| {
            by_square[c] * p[c] - if c == target { by_overlap[c] } else { 0.0 }
        });
        0.0
    });
    Ok(value)
}

/// By class: sum of p where the target is the class, sum of p^2, voxels of the class.
fn sums(scores: &Live<'_>, targets: &[u8]) -> [Vec<f64>; 3] {
    let read = scores.detached();
    let classes = read.classes();
    let zeros = || [vec![0.0; classes], vec![0.0; classes], vec![0.0; classes]];
    let chunks = rows::per_chunk(read.voxels(), |chunk| {
        let mut sums = zeros();
        for v in chunk {
            let p = read.probabilities(v);
            for c in 1..classes {
                sums[1][c] += f64::from(p[c]).powi(2);
            }
            let target = usize::from(targets[v]);
            if target < classes {
                sums[0][target] += f64::from(p[target]);
                sums[2][target] += 1.0;
            }
        }
        sums
    });
    chunks.into_iter().fold(zeros(), |mut total, chunk| {
        for (total, chunk) in total.iter_mut().zip(chunk) {
            total.iter_mut().zip(chunk).for_each(|(total, value)| *total += value);
        }
        total
    })
}
