//! Gaussian blur.

use serde::{Deserialize, Serialize};
use tandem_random::Draws;

use crate::separable::{Taps, filter};
use crate::setting::{Setting, range};
use crate::{Patch, RandomTransform, Result, Transform};

/// Standard deviations at which the kernel is cut off.
const REACH: f64 = 3.0;

/// Convolves every channel with a Gaussian; beyond its border a patch goes on as at the border.
///
/// The kernel's weights sum to 1, so that means stay: z-scores lose deviation only. Its width counts in voxels, as that of the
/// point spread that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blur {
    /// Standard deviation of the kernel along every axis, in voxels.
    pub sigma_voxels: f64,
}

impl Blur {
    /// The kernel from its middle to its end.
    fn kernel(&self) -> Vec<f32> {
        let weight = |at: usize| (-0.5 * (at as f64 / self.sigma_voxels).powi(2)).exp();
        // A hundred voxels are wider than any blur that leaves something to see.
        let half: Vec<f64> =
            (0..=(REACH * self.sigma_voxels).ceil().min(100.0) as usize).map(weight).collect();
        let sum = 2.0 * half.iter().sum::<f64>() - half[0];
        half.iter().map(|weight| (weight / sum) as f32).collect()
    }

    fn taps(kernel: &[f32], side: usize) -> Vec<Taps> {
        let last = side.saturating_sub(1);
        let reach = kernel.len() as isize - 1;
        let tap = |voxel: usize, offset: isize| {
            (voxel.saturating_add_signed(offset).min(last), kernel[offset.unsigned_abs()])
        };
        (0..side).map(|voxel| (-reach..=reach).map(|offset| tap(voxel, offset)).collect()).collect()
    }
}

impl Transform for Blur {
    fn apply(&self, patch: Patch) -> Patch {
        let is_wide = self.sigma_voxels > 0.0;
        if !is_wide {
            return patch;
        }
        let (shape, kernel) = (patch.shape(), self.kernel());
        patch.map_channels(|_, voxels| filter(voxels, shape, |axis| Self::taps(&kernel, shape[axis])))
    }

    fn is_spatial(&self) -> bool {
        false
    }
}

/// Draws [`Blur`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomBlur {
    /// How often a patch is blurred.
    ///
    /// Range: 0 to 1.
    pub probability: f64,
    /// Range of the kernel's standard deviation; uniform.
    ///
    /// Unit: voxels. Range: 0 to 10, rising.
    pub sigma_voxels: [f64; 2],
}

impl RandomTransform for RandomBlur {
    type Drawn = Blur;

    fn draw(&self, _: [usize; 3], draws: &mut Draws) -> Blur {
        Blur { sigma_voxels: range::draw(self.sigma_voxels, draws) }
    }
}

impl Setting for RandomBlur {
    const NAME: &'static str = "blur";

    fn probability(&self) -> f64 {
        self.probability
    }

    fn check(&self) -> Result<()> {
        range::check("blur.sigma_voxels", self.sigma_voxels, 0.0, 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_laws, numbered};
    use ndarray::Array4;

    #[test]
    fn the_laws_hold() {
        check_laws(&RandomBlur { probability: 1.0, sigma_voxels: [0.0, 2.0] });
    }

    #[test]
    fn a_point_becomes_a_gaussian_and_keeps_its_sum() {
        let mut image = Array4::zeros((1, 15, 15, 15));
        image[[0, 7, 7, 7]] = 1.0;
        let blurred = Blur { sigma_voxels: 1.25 }.apply(Patch::new(image, None).unwrap());
        assert!((blurred.image().sum() - 1.0).abs() < 1e-5);
        let middle = f64::from(blurred.image()[[0, 7, 7, 7]]);
        for (i, j, k) in [(8, 7, 7), (7, 9, 7), (7, 7, 10), (6, 8, 5)] {
            let distance: f64 = [i, j, k].iter().map(|at: &i32| f64::from(at - 7).powi(2)).sum();
            let expected = middle * (-0.5 * distance / 1.25f64.powi(2)).exp();
            assert!(
                (f64::from(blurred.image()[[0, i as usize, j as usize, k as usize]]) - expected).abs() < 1e-6
            );
        }
    }

    #[test]
    fn a_flat_patch_and_no_width_change_nothing() {
        let flat = Patch::new(Array4::from_elem((1, 5, 4, 3), 2.0), None).unwrap();
        let blurred = Blur { sigma_voxels: 1.5 }.apply(flat);
        assert!(blurred.image().iter().all(|value| (value - 2.0).abs() < 1e-5));
        assert_eq!(Blur { sigma_voxels: 0.0 }.apply(numbered([3, 4, 5])), numbered([3, 4, 5]));
    }
}
