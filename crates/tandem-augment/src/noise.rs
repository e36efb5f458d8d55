//! Gaussian noise.

use serde::{Deserialize, Serialize};
use tandem_random::Draws;

use crate::setting::{Setting, range};
use crate::{Patch, RandomTransform, Result, Transform};

/// Adds independent normal numbers to all voxels of all channels.
///
/// What is kept is the key of the noise, not its values: they are drawn again where it is applied, plane by plane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Standard deviation, in the units of the image: of z-scores, a share of the scan's own standard deviation.
    pub deviation: f64,
    /// What the numbers are keyed by.
    pub key: u64,
}

impl Transform for Noise {
    fn apply(&self, patch: Patch) -> Patch {
        let [_, j, k] = patch.shape();
        let deviation = self.deviation as f32;
        patch.map_channels(|channel, voxels| {
            for (plane, voxels) in voxels.chunks_exact_mut((j * k).max(1)).enumerate() {
                let mut normals = Normals::new(Draws::new(self.key, "noise", channel as u64, plane as u64));
                voxels.iter_mut().for_each(|voxel| *voxel += deviation * normals.draw());
            }
        })
    }

    fn is_spatial(&self) -> bool {
        false
    }
}

/// Normal numbers in f32: both of Box and Muller's pair, from 32 bits each, where [`Draws::normal`] takes 128 bits and f64 for
/// one. It counts where every voxel wants one.
struct Normals {
    draws: Draws,
    other: Option<f32>,
}

impl Normals {
    fn new(draws: Draws) -> Self {
        Normals { draws, other: None }
    }

    fn draw(&mut self) -> f32 {
        if let Some(other) = self.other.take() {
            return other;
        }
        let mut uniform = || (self.draws.next_u32() as f32 + 0.5) * (1.0 / (1u64 << 32) as f32);
        // Half a step off zero, whose logarithm is infinite; one rounds to at most 1, whose logarithm is 0.
        let radius = (-2.0 * uniform().ln()).sqrt();
        let (sine, cosine) = (std::f32::consts::TAU * uniform()).sin_cos();
        self.other = Some(radius * sine);
        radius * cosine
    }
}

/// Draws [`Noise`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomNoise {
    /// How often a patch gets any.
    ///
    /// Range: 0 to 1.
    pub probability: f64,
    /// Range of the standard deviation, which is uniform in it.
    ///
    /// Range: 0 to 1000, rising.
    pub deviation: [f64; 2],
}

impl RandomTransform for RandomNoise {
    type Drawn = Noise;

    fn draw(&self, _: [usize; 3], draws: &mut Draws) -> Noise {
        Noise { deviation: range::draw(self.deviation, draws), key: draws.next_u64() }
    }
}

impl Setting for RandomNoise {
    const NAME: &'static str = "noise";

    fn probability(&self) -> f64 {
        self.probability
    }

    fn check(&self) -> Result<()> {
        range::check("noise.deviation", self.deviation, 0.0, 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    #[test]
    fn the_laws_hold() {
        crate::testing::check_laws(&RandomNoise { probability: 1.0, deviation: [0.0, 0.3] });
    }

    #[test]
    fn its_moments_are_those_asked_for_and_no_two_planes_are_alike() {
        let noise = Noise { deviation: 0.5, key: 7 };
        let patch = noise.apply(Patch::new(Array4::from_elem((2, 20, 30, 40), 3.0), None).unwrap());
        let values: Vec<f64> = patch.image().iter().map(|v| f64::from(*v)).collect();
        let count = values.len() as f64;
        let moment = |power: i32| values.iter().map(|v| ((v - 3.0) / 0.5).powi(power)).sum::<f64>() / count;
        // Four standard errors of the moments of 48,000 normal numbers.
        assert!(moment(1).abs() < 4.0 / count.sqrt(), "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 4.0 * (2.0 / count).sqrt(), "{}", moment(2));
        assert!((moment(4) - 3.0).abs() < 4.0 * (96.0 / count).sqrt(), "{}", moment(4));
        let planes: Vec<_> = values.chunks(30 * 40).collect();
        for (at, plane) in planes.iter().enumerate() {
            assert!(planes[..at].iter().all(|other| other != plane));
        }
    }
}
