//! Consistency of two networks.

use crate::scores::{Live, add_through_softmax};
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
    let scale = (weight / voxels) as f32;
    let sum = a.visit_both(b, |v, gradient_a, gradient_b| {
        let (pa, pb) = (read_a.probabilities(v), read_b.probabilities(v));
        let (na, nb) = (1.0 / norm(pa), 1.0 / norm(pb));
        // 1 - cos is half of the squared distance of the unit vectors, which does not cancel where they agree.
        let (a, b) = (|c: usize| pa[c] * na, |c: usize| pb[c] * nb);
        let value = 0.5 * (0..pa.len()).map(|c| (a(c) - b(c)).powi(2)).sum::<f32>();
        add_through_softmax(gradient_a, pa, scale, |c| (a(c) - b(c) - value * a(c)) * na);
        add_through_softmax(gradient_b, pb, scale, |c| (b(c) - a(c) - value * b(c)) * nb);
        f64::from(value)
    });
    Ok(sum / voxels)
}

#[inline]
fn norm(p: &[f32]) -> f32 {
    p.iter().map(|p| p * p).sum::<f32>().sqrt().max(1e-8)
}
