//! Brightness.

use serde::{Deserialize, Serialize};
use tandem_random::Draws;

use crate::setting::{Setting, range};
use crate::{Patch, RandomTransform, Result, Transform};

/// Multiplies all intensities by a factor and adds an offset.
///
/// Of z-scores, the factor acts about the scan's mean and the offset counts in its standard deviations: the scan as another
/// scanner's gain and level would give it. ([`Contrast`](crate::Contrast) acts about the mean of the patch.) nnU-Net multiplies
/// z-scores in the same way and adds nothing. Channels are changed alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brightness {
    /// The factor.
    pub factor: f64,
    /// The offset.
    pub offset: f64,
}

impl Transform for Brightness {
    fn apply(&self, patch: Patch) -> Patch {
        let (factor, offset) = (self.factor as f32, self.offset as f32);
        patch.map_channels(|_, voxels| voxels.iter_mut().for_each(|voxel| *voxel = factor * *voxel + offset))
    }

    fn is_spatial(&self) -> bool {
        false
    }
}

/// Draws [`Brightness`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomBrightness {
    /// How often a patch is changed.
    ///
    /// Range: 0 to 1.
    pub probability: f64,
    /// Range of the factor, whose logarithm is uniform.
    ///
    /// Range: 0.1 to 10, rising.
    pub factor: [f64; 2],
    /// Range of the offset; uniform.
    ///
    /// Range: -1000 to 1000, rising.
    pub offset: [f64; 2],
}

impl RandomTransform for RandomBrightness {
    type Drawn = Brightness;

    fn draw(&self, _: [usize; 3], draws: &mut Draws) -> Brightness {
        let factor = range::draw_factor(self.factor, draws);
        Brightness { factor, offset: range::draw(self.offset, draws) }
    }
}

impl Setting for RandomBrightness {
    const NAME: &'static str = "brightness";

    fn probability(&self) -> f64 {
        self.probability
    }

    fn check(&self) -> Result<()> {
        range::check("brightness.factor", self.factor, 0.1, 10.0)?;
        range::check("brightness.offset", self.offset, -1000.0, 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_laws, numbered};

    #[test]
    fn the_laws_hold() {
        check_laws(&RandomBrightness { probability: 1.0, factor: [0.5, 2.0], offset: [-1.0, 1.0] });
    }

    #[test]
    fn a_line_through_the_mean_of_the_scan() {
        let patch = numbered([2, 3, 4]);
        let changed = Brightness { factor: 2.0, offset: -1.0 }.apply(patch.clone());
        assert_eq!(changed.image(), &(patch.image() * 2.0 - 1.0));
    }
}
