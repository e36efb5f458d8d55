//! Dice loss.

use super::cross_entropy::check_targets;
use crate::planes::{self, SPAN};
use crate::scores::{Detached, Live, add_through_softmax};
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
    let foreground = (classes - 1) as f64;
    // Loss of class c is 1 - numerator / denominator; its derivative by p is `by_square * p - by_overlap * y`.
    let (mut value, mut by_overlap, mut by_square) = (0.0, vec![0f32; classes], vec![0f32; classes]);
    for c in 1..classes {
        let [overlap, squares, count] = sums(read, targets, c);
        let numerator = 2.0 * overlap + SMOOTH;
        let denominator = squares + count + SMOOTH;
        value += (1.0 - numerator / denominator) / foreground;
        by_overlap[c] = (weight * 2.0 / denominator / foreground) as f32;
        by_square[c] = (weight * 2.0 * numerator / denominator.powi(2) / foreground) as f32;
    }
    scores.visit(|span, gradient| {
        let targets = &targets[span.voxels()];
        let mut slopes = vec![0.0; classes * span.len];
        for (c, slopes) in slopes.chunks_exact_mut(span.len).enumerate().skip(1) {
            let (by_square, by_overlap) = (by_square[c], by_overlap[c]);
            for ((slope, p), &target) in slopes.iter_mut().zip(read.p(c, span)).zip(targets) {
                *slope = by_square * p - if target == c as u8 { by_overlap } else { 0.0 };
            }
        }
        add_through_softmax(read, span, &slopes, 1.0, gradient);
        []
    });
    Ok(value)
}

/// Of a class: the sum of p where it is the target, the sum of p^2, the number of its voxels.
fn sums(scores: Detached<'_>, targets: &[u8], class: usize) -> [f64; 3] {
    scores.sums(|span| {
        let [mut overlap, mut squares, mut count] = [[0.0; SPAN]; 3];
        let voxels = scores.p(class, span).iter().zip(&targets[span.voxels()]);
        let sums = overlap.iter_mut().zip(&mut squares).zip(&mut count);
        for (((overlap, square), count), (&p, &target)) in sums.zip(voxels) {
            let hit = target == class as u8;
            *overlap = if hit { p } else { 0.0 };
            *square = p * p;
            *count = f32::from(hit);
        }
        [planes::sum(&overlap), planes::sum(&squares), planes::sum(&count)]
    })
}
