//! Consistency of two networks.

use crate::planes::{self, SPAN, Span};
use crate::scores::{Live, Planes, add_through_softmax};
use candle_core::Result;

/// Mean of `1 - cos(p_a, p_b)` over voxels, the cosine taken over the class axis; both sides carry a gradient.
///
/// With two classes the value is 0.78 for (0.9, 0.1) against (0.1, 0.9) and 0.009 for 0.9 against 0.8. The norms are
/// floored at 1e-8, which a softmax never reaches.
///
/// # Errors
/// Where the two cover different numbers of voxels.
///
/// # References
/// Lu et al., "Semi-supervised medical image segmentation via dual networks", ISBI 2025: L_reg.
pub fn cosine_consistency(a: &mut Live<'_>, b: &mut Live<'_>, weight: f64) -> Result<f64> {
    let (read_a, read_b) = (a.detached(), b.detached());
    read_a.check_voxels("the other network's scores", read_b.voxels())?;
    let voxels = read_a.voxels().max(1) as f64;
    let scale = weight / voxels;
    if let (Some((gpu, patches, own)), Some((other, beside, others))) = (a.on_gpu()?, b.on_gpu()?) {
        return Ok(gpu.cosine(patches, (other, beside), scale, [own, others])? / voxels);
    }
    let (read_a, read_b, scale) = (read_a.on_host()?, read_b.on_host()?, scale as f32);
    let [sum] = a.visit_both(b, |span, gradient_a, gradient_b| {
        let [units_a, units_b] = [units(read_a, span), units(read_b, span)];
        // 1 - cos is half of the squared distance of the unit vectors, which does not cancel where they agree.
        let mut values = [0.0; SPAN];
        for (a, b) in units_a.classes.chunks_exact(span.len).zip(units_b.classes.chunks_exact(span.len)) {
            for ((value, a), b) in values.iter_mut().zip(a).zip(b) {
                *value += 0.5 * (a - b) * (a - b);
            }
        }
        add_through_softmax(read_a, span, &slopes(&units_a, &units_b, &values), scale, gradient_a);
        add_through_softmax(read_b, span, &slopes(&units_b, &units_a, &values), scale, gradient_b);
        [planes::sum(&values)]
    });
    Ok(sum / voxels)
}

/// The probabilities of a span as vectors of unit length.
struct Units {
    /// Class after class.
    classes: Vec<f32>,
    /// What the probabilities were multiplied by.
    factors: Vec<f32>,
}

fn units(scores: Planes<'_>, span: Span) -> Units {
    let mut factors = vec![0.0; span.len];
    for class in 0..scores.classes {
        factors.iter_mut().zip(scores.p(class, span)).for_each(|(square, p)| *square += p * p);
    }
    for factor in &mut factors {
        let length = factor.sqrt();
        *factor = 1.0 / if length < 1e-8 { 1e-8 } else { length };
    }
    let mut classes = vec![0.0; scores.classes * span.len];
    for (class, units) in classes.chunks_exact_mut(span.len).enumerate() {
        let values = scores.p(class, span).iter().zip(&factors);
        units.iter_mut().zip(values).for_each(|(unit, (p, factor))| *unit = p * factor);
    }
    Units { classes, factors }
}

/// The derivatives of `1 - cos` with respect to the probabilities of the first.
fn slopes(own: &Units, other: &Units, values: &[f32; SPAN]) -> Vec<f32> {
    let mut slopes = own.classes.clone();
    let len = own.factors.len();
    for (slopes, other) in slopes.chunks_exact_mut(len).zip(other.classes.chunks_exact(len)) {
        let voxels = other.iter().zip(values).zip(&own.factors);
        for (slope, ((other, value), factor)) in slopes.iter_mut().zip(voxels) {
            *slope = (*slope - other - value * *slope) * factor;
        }
    }
    slopes
}
