//! Simulated low resolution.

use serde::{Deserialize, Serialize};
use tandem_random::Draws;

use crate::separable::{Taps, filter};
use crate::setting::{Setting, range};
use crate::{Patch, RandomTransform, Result, Transform};

/// Takes every channel to a coarser grid and back: nearest voxels down, linear up.
///
/// As nnU-Net simulates low resolution (Isensee et al. 2021), but for its cubic way back, which overshoots z-scores beyond the
/// range they had.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowResolution {
    /// Voxels of the coarse grid for each of the patch, along every axis; 1 changes nothing.
    pub zoom: f64,
}

impl LowResolution {
    fn taps(&self, side: usize) -> Vec<Taps> {
        let coarse = ((side as f64 * self.zoom).round() as usize).clamp(1, side.max(1));
        // Both grids cover the same length.
        let width = side as f64 / coarse as f64;
        let nearest = |at: usize| ((at as f64 + 0.5) * width) as usize;
        (0..side)
            .map(|voxel| {
                let place = ((voxel as f64 + 0.5) / width - 0.5).clamp(0.0, (coarse - 1) as f64);
                let (below, share) = (place as usize, place.fract() as f32);
                match below + 1 < coarse {
                    true => vec![(nearest(below), 1.0 - share), (nearest(below + 1), share)],
                    false => vec![(nearest(below), 1.0)],
                }
            })
            .collect()
    }
}

impl Transform for LowResolution {
    fn apply(&self, patch: Patch) -> Patch {
        let shape = patch.shape();
        patch.map_channels(|_, voxels| filter(voxels, shape, |axis| self.taps(shape[axis])))
    }

    fn is_spatial(&self) -> bool {
        false
    }
}

/// Draws [`LowResolution`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomLowResolution {
    /// How often a patch is changed.
    ///
    /// Range: 0 to 1.
    pub probability: f64,
    /// Range of the zoom; uniform.
    ///
    /// Range: 0.05 to 1, rising.
    pub zoom: [f64; 2],
}

impl RandomTransform for RandomLowResolution {
    type Drawn = LowResolution;

    fn draw(&self, _: [usize; 3], draws: &mut Draws) -> LowResolution {
        LowResolution { zoom: range::draw(self.zoom, draws) }
    }
}

impl Setting for RandomLowResolution {
    const NAME: &'static str = "low_resolution";

    fn probability(&self) -> f64 {
        self.probability
    }

    fn check(&self) -> Result<()> {
        range::check("low_resolution.zoom", self.zoom, 0.05, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_laws, numbered};

    #[test]
    fn the_laws_hold() {
        check_laws(&RandomLowResolution { probability: 1.0, zoom: [0.3, 1.0] });
    }

    #[test]
    fn the_whole_grid_changes_nothing_and_half_of_it_keeps_every_second_voxel() {
        let patch = numbered([4, 6, 8]);
        assert_eq!(LowResolution { zoom: 1.0 }.apply(patch.clone()), patch);
        // 8 voxels to 4, taken at 1, 3, 5, 7; voxel 2 lies at 0.75 of the coarse grid.
        let taps = LowResolution { zoom: 0.5 }.taps(8);
        assert_eq!(taps[0], [(1, 1.0), (3, 0.0)]);
        assert_eq!(taps[2], [(1, 0.25), (3, 0.75)]);
        assert_eq!(taps[7], [(7, 1.0)]);
        // One voxel is left.
        let flat = LowResolution { zoom: 0.05 }.apply(patch);
        assert!(
            flat.image().outer_iter().all(|channel| channel.iter().all(|value| *value == channel[[2, 3, 4]]))
        );
    }
}
