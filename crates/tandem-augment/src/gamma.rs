//! Gamma: a curve of intensities.

use serde::{Deserialize, Serialize};
use tandem_random::Draws;

use crate::moments::{Moments, extremes};
use crate::setting::{Setting, in_range, range};
use crate::{Patch, RandomTransform, Result, Transform};

/// Bends the scale of intensities by a power, each channel for itself, and keeps its mean and standard deviation.
///
/// The power is taken of an intensity's place in the range of the patch, from 0 to 1, since a power of a z-score would make no
/// sense below 0. Restoring both moments leaves a change of shape alone: what moves them is [`Brightness`](crate::Brightness).
/// Both as in nnU-Net (Isensee et al. 2021), which keeps the moments too and inverts a part of the patches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gamma {
    /// The power: below 1 it spreads dark intensities, above 1 bright ones.
    pub exponent: f64,
    /// Whether places are counted from the bright end.
    pub inverted: bool,
}

impl Transform for Gamma {
    fn apply(&self, patch: Patch) -> Patch {
        let exponent = self.exponent as f32;
        patch.map_channels(|_, voxels| {
            let (before, [low, high]) = (Moments::of(voxels), extremes(voxels));
            let (from, to) = if self.inverted { (high, low) } else { (low, high) };
            // Where all intensities are equal there is no scale.
            if low == high {
                return;
            }
            voxels.iter_mut().for_each(|voxel| *voxel = ((*voxel - from) / (to - from)).powf(exponent));
            let bent = Moments::of(voxels);
            let gain = before.deviation() / bent.deviation();
            let gain = if self.inverted { -gain } else { gain };
            let (gain, offset) = (gain as f32, (before.mean - gain * bent.mean) as f32);
            voxels.iter_mut().for_each(|voxel| *voxel = gain * *voxel + offset);
        })
    }

    fn is_spatial(&self) -> bool {
        false
    }
}

/// Draws [`Gamma`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomGamma {
    /// How often a patch is changed.
    ///
    /// Range: 0 to 1.
    pub probability: f64,
    /// Range of the power, whose logarithm is uniform.
    ///
    /// Range: 0.1 to 10, rising.
    pub exponent: [f64; 2],
    /// The share of changed patches whose scale is inverted.
    ///
    /// Range: 0 to 1.
    pub inverted: f64,
}

impl RandomTransform for RandomGamma {
    type Drawn = Gamma;

    fn draw(&self, _: [usize; 3], draws: &mut Draws) -> Gamma {
        let exponent = range::draw_factor(self.exponent, draws);
        Gamma { exponent, inverted: draws.chance(self.inverted) }
    }
}

impl Setting for RandomGamma {
    const NAME: &'static str = "gamma";

    fn probability(&self) -> f64 {
        self.probability
    }

    fn check(&self) -> Result<()> {
        range::check("gamma.exponent", self.exponent, 0.1, 10.0)?;
        in_range("gamma.inverted", self.inverted, 0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_laws, numbered};
    use ndarray::Array4;

    #[test]
    fn the_laws_hold() {
        check_laws(&RandomGamma { probability: 1.0, exponent: [0.5, 2.0], inverted: 0.5 });
    }

    #[test]
    fn the_order_and_both_moments_stay_and_the_shape_changes() {
        let patch = numbered([4, 5, 6]);
        for gamma in [(0.5, false), (2.0, false), (0.5, true), (2.0, true)]
            .map(|(exponent, inverted)| Gamma { exponent, inverted })
        {
            let bent = gamma.apply(patch.clone());
            for (before, after) in patch.image().outer_iter().zip(bent.image().outer_iter()) {
                let [before, after] =
                    [before, after].map(|channel| channel.iter().copied().collect::<Vec<f32>>());
                let [from, to] = [&before, &after].map(|values| Moments::of(values));
                assert!(
                    (from.mean - to.mean).abs() < 1e-3 && (from.deviation() - to.deviation()).abs() < 1e-3
                );
                assert!(after.windows(2).all(|pair| pair[0] < pair[1]), "{gamma:?}");
                // Of a convex curve the middle lies below the mean, of a concave one above.
                let convex = (gamma.exponent > 1.0) != gamma.inverted;
                assert_eq!(f64::from(after[after.len() / 2]) < to.mean, convex, "{gamma:?}");
            }
        }
    }

    #[test]
    fn a_flat_channel_stays() {
        let flat = Patch::new(Array4::from_elem((1, 3, 3, 3), 2.5), None).unwrap();
        assert_eq!(Gamma { exponent: 2.0, inverted: false }.apply(flat.clone()), flat);
    }
}
