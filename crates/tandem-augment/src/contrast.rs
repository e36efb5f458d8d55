//! Contrast.

use serde::{Deserialize, Serialize};
use tandem_random::Draws;

use crate::moments::{Moments, extremes};
use crate::setting::{Setting, range};
use crate::{Patch, RandomTransform, Result, Transform};

/// Moves intensities away from the mean of the patch, or towards it, and clips them to the range they had, each channel for
/// itself.
///
/// Mean and range are those of the patch, so that this means the same for z-scores and for any other unit. As nnU-Net does it
/// (Isensee et al., "nnU-Net", Nature Methods 18 (2021), supplementary note on augmentation).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// Below 1 less contrast, above 1 more.
    pub factor: f64,
}

impl Transform for Contrast {
    fn apply(&self, patch: Patch) -> Patch {
        patch.map_channels(|_, voxels| {
            let (factor, mean, [low, high]) =
                (self.factor as f32, Moments::of(voxels).mean as f32, extremes(voxels));
            voxels.iter_mut().for_each(|voxel| *voxel = ((*voxel - mean) * factor + mean).max(low).min(high));
        })
    }

    fn is_spatial(&self) -> bool {
        false
    }
}

/// Draws [`Contrast`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomContrast {
    /// How often a patch is changed.
    ///
    /// Range: 0 to 1.
    pub probability: f64,
    /// Range of the factor, whose logarithm is uniform.
    ///
    /// Range: 0.1 to 10, rising.
    pub factor: [f64; 2],
}

impl RandomTransform for RandomContrast {
    type Drawn = Contrast;

    fn draw(&self, _: [usize; 3], draws: &mut Draws) -> Contrast {
        Contrast { factor: range::draw_factor(self.factor, draws) }
    }
}

impl Setting for RandomContrast {
    const NAME: &'static str = "contrast";

    fn probability(&self) -> f64 {
        self.probability
    }

    fn check(&self) -> Result<()> {
        range::check("contrast.factor", self.factor, 0.1, 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_laws, numbered};

    #[test]
    fn the_laws_hold() {
        check_laws(&RandomContrast { probability: 1.0, factor: [0.5, 2.0] });
    }

    #[test]
    fn less_is_nearer_to_the_mean_and_more_stays_in_range() {
        // Per channel 24 values in steps of 1.
        let patch = numbered([2, 3, 4]);
        for channel in 0..2 {
            let of = |patch: &Patch| -> Vec<f32> {
                patch.image().outer_iter().nth(channel).unwrap().iter().copied().collect()
            };
            let (before, less) = (of(&patch), of(&Contrast { factor: 0.5 }.apply(patch.clone())));
            let more = of(&Contrast { factor: 2.0 }.apply(patch.clone()));
            let mean = before.iter().sum::<f32>() / 24.0;
            for ((before_, less), more) in before.iter().zip(less).zip(more) {
                assert!((less - (0.5 * before_ + 0.5 * mean)).abs() < 1e-3);
                let expected = (2.0 * before_ - mean).max(before[0]).min(before[23]);
                assert!((more - expected).abs() < 1e-3, "{more} {expected}");
            }
        }
    }
}
