//! Squared error to a sharpened prediction.

use crate::planes::{self, SPAN};
use crate::scores::{Detached, Live, Planes, add_through, add_through_softmax};
use candle_core::{Result, bail};
use tandem_ops3d::elementary::exp;

/// Sharpens predictions: `p^(1/T) / sum_c p^(1/T)`, `(patch, class, i, j, k)`.
///
/// # References
/// Wang et al., "MCF: mutual correction framework", CVPR 2023, with T = 0.1.
///
/// # Errors
/// Where a GPU fails.
pub fn sharpen(scores: Detached<'_>, temperature: f64) -> Result<Vec<f32>> {
    Ok(sharpened(scores.on_host()?, temperature))
}

fn sharpened(scores: Planes<'_>, temperature: f64) -> Vec<f32> {
    let power = (1.0 / temperature) as f32;
    scores.per_class(|span, classes| {
        let (mut largest, mut total) = ([f32::NEG_INFINITY; SPAN], [0.0; SPAN]);
        for class in 0..classes.len() {
            for (largest, log_p) in largest.iter_mut().zip(scores.log_p(class, span)) {
                *largest = largest.max(*log_p);
            }
        }
        for (class, sharpened) in classes.iter_mut().enumerate() {
            let values = scores.log_p(class, span).iter().zip(&largest);
            for ((q, total), (log_p, largest)) in sharpened.iter_mut().zip(&mut total).zip(values) {
                *q = exp(power * (log_p - largest));
                *total += *q;
            }
        }
        for sharpened in classes {
            sharpened.iter_mut().zip(&total).for_each(|(q, total)| *q /= total);
        }
    })
}

/// Mean squared difference between the softmax and constant targets, over voxels and classes.
///
/// With a mask the mean is over its voxels; 0 where it has none.
///
/// # Shapes
/// `targets` are `(patch, class, i, j, k)`, as [`sharpen`] returns them; the mask has one value for each voxel.
///
/// # Errors
/// Where the targets or the mask do not cover the voxels.
pub fn mean_square(
    scores: &mut Live<'_>,
    targets: &[f32],
    mask: Option<&[bool]>,
    weight: f64,
) -> Result<f64> {
    let read = scores.detached();
    let classes = read.classes();
    if targets.len() != read.voxels() * classes {
        bail!("{} target probabilities for {} voxels of {classes} classes", targets.len(), read.voxels());
    }
    if let Some(mask) = mask {
        read.check_voxels("the mask", mask.len())?;
    }
    let voxels = mask.map_or(read.voxels(), |mask| mask.iter().filter(|&&m| m).count());
    let count = (voxels * classes).max(1) as f64;
    let scale = (2.0 * weight / count) as f32;
    let read = read.on_host()?;
    let [sum] = scores.visit(|span, gradient| {
        let mut share = [1.0; SPAN];
        if let Some(mask) = mask {
            share.iter_mut().zip(&mask[span.voxels()]).for_each(|(share, m)| *share = f32::from(*m));
        }
        let mut values = [0.0; SPAN];
        let mut errors = vec![0.0; classes * span.len];
        for (class, errors) in errors.chunks_exact_mut(span.len).enumerate() {
            let both = read.p(class, span).iter().zip(&targets[span.of_class(class, classes)]).zip(&share);
            for ((error, value), ((p, q), share)) in errors.iter_mut().zip(&mut values).zip(both) {
                *error = share * (p - q);
                *value += *error * *error;
            }
        }
        add_through_softmax(read, span, &errors, scale, gradient);
        [planes::sum(&values)]
    });
    Ok(sum / count)
}

/// Mutual consistency: every head's softmax is drawn to the sharpened softmaxes of all others, which learn as well.
///
/// The sum over pairs `i != j` of the mean over voxels and classes of `(p_i - s_j)^2`, where `s_j` is [`sharpen`]ed `p_j` and live.
///
/// # Errors
/// Where the heads cover different numbers of voxels or classes.
///
/// # References
/// Wu et al., "Mutual consistency learning for semi-supervised medical image segmentation", Medical Image Analysis 81 (2022), whose
/// released code differentiates the sharpened side too. It sharpens each class against the rest; that is the same for two classes.
pub fn mutual(heads: &mut [Live<'_>], temperature: f64, weight: f64) -> Result<f64> {
    let reads: Vec<Planes> = heads.iter().map(|head| head.detached().on_host()).collect::<Result<_>>()?;
    let targets: Vec<Vec<f32>> = reads.iter().map(|read| sharpened(*read, temperature)).collect();
    let mut value = 0.0;
    for (index, head) in heads.iter_mut().enumerate() {
        let read = reads[index];
        let (classes, own) = (read.classes, &targets[index]);
        if let Some(other) = targets.iter().find(|other| other.len() != own.len()) {
            bail!("the heads cover {} and {} probabilities", own.len(), other.len());
        }
        let count = own.len().max(1) as f64;
        let scale = (2.0 * weight / count) as f32;
        let power = (1.0 / temperature) as f32;
        let others = || (0..reads.len()).filter(move |other| *other != index);
        let [sum] = head.visit(|span, gradient| {
            let mut values = [0.0; SPAN];
            let [mut by_p, mut by_target] = [vec![0.0; classes * span.len], vec![0.0; classes * span.len]];
            let slopes = by_p.chunks_exact_mut(span.len).zip(by_target.chunks_exact_mut(span.len));
            for (class, (by_p, by_target)) in slopes.enumerate() {
                let plane = span.of_class(class, classes);
                for other in others() {
                    let own = read.p(class, span).iter().zip(&own[plane.clone()]);
                    let theirs = reads[other].p(class, span).iter().zip(&targets[other][plane.clone()]);
                    for (((by_p, by_target), value), ((p, target), (other_p, other_target))) in
                        by_p.iter_mut().zip(&mut *by_target).zip(&mut values).zip(own.zip(theirs))
                    {
                        let error = p - other_target;
                        *value += error * error;
                        *by_p += error;
                        *by_target += target - other_p;
                    }
                }
            }
            add_through_softmax(read, span, &by_p, scale, gradient);
            // Sharpened probabilities are the softmax of logits over the temperature.
            add_through(|class| &own[span.of_class(class, classes)], &by_target, scale * power, gradient);
            [planes::sum(&values)]
        });
        value += sum / count;
    }
    Ok(value)
}
