//! Squared error to a sharpened prediction.

use crate::rows::CHUNK;
use crate::scores::{Detached, Live, add_through_softmax};
use candle_core::{Result, bail};
use rayon::prelude::*;

/// Sharpens predictions: `p^(1/T) / sum_c p^(1/T)`, one row of classes for each voxel.
///
/// # References
/// Wang et al., "MCF: mutual correction framework", CVPR 2023, with T = 0.1.
pub fn sharpen(scores: Detached<'_>, temperature: f64) -> Vec<f32> {
    let (classes, power) = (scores.classes(), (1.0 / temperature) as f32);
    let mut sharpened = vec![0.0; scores.voxels() * classes];
    sharpened.par_chunks_mut(CHUNK * classes).enumerate().for_each(|(chunk, rows)| {
        for (v, row) in rows.chunks_exact_mut(classes).enumerate() {
            let log_p = scores.log_probabilities(chunk * CHUNK + v);
            let largest = log_p.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().zip(log_p).for_each(|(q, log_p)| *q = (power * (log_p - largest)).exp());
            let total: f32 = row.iter().sum();
            row.iter_mut().for_each(|q| *q /= total);
        }
    });
    sharpened
}

/// Mean squared difference between the softmax and constant targets, over voxels and classes.
///
/// # Shapes
/// `targets` holds one row of classes for each voxel, as [`sharpen`] returns them.
///
/// # Errors
/// Where the targets do not cover the voxels.
pub fn mean_square(scores: &mut Live<'_>, targets: &[f32], weight: f64) -> Result<f64> {
    let read = scores.detached();
    let classes = read.classes();
    if targets.len() != read.voxels() * classes {
        bail!("{} target probabilities for {} voxels of {classes} classes", targets.len(), read.voxels());
    }
    let count = targets.len().max(1) as f64;
    let scale = (2.0 * weight / count) as f32;
    let sum = scores.visit(|v, gradient| {
        let (p, q) = (read.probabilities(v), &targets[v * classes..][..classes]);
        add_through_softmax(gradient, p, scale, |c| p[c] - q[c]);
        p.iter().zip(q).map(|(p, q)| f64::from(p - q).powi(2)).sum()
    });
    Ok(sum / count)
}
