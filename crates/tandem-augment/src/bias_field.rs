//! The bias field of magnetic resonance.

use serde::{Deserialize, Serialize};
use tandem_random::Draws;

use crate::moments::extremes;
use crate::setting::{Setting, in_range};
use crate::{Patch, RandomTransform, Result, Transform};

/// Powers of i, j, k in the field's polynomial: all up to degree 3 but the constant, which would be a brightness.
const POWERS: [[usize; 3]; 19] = [
    [0, 0, 1],
    [0, 0, 2],
    [0, 0, 3],
    [0, 1, 0],
    [0, 1, 1],
    [0, 1, 2],
    [0, 2, 0],
    [0, 2, 1],
    [0, 3, 0],
    [1, 0, 0],
    [1, 0, 1],
    [1, 0, 2],
    [1, 1, 0],
    [1, 1, 1],
    [1, 2, 0],
    [2, 0, 0],
    [2, 0, 1],
    [2, 1, 0],
    [3, 0, 0],
];

/// Multiplies every channel by the exponential of a polynomial of the place, as an uneven coil does.
///
/// A coil multiplies raw intensities, whose zero a z-score has lost. The darkest voxel of the patch stands for it: what is
/// multiplied is the distance from it, so that dark stays dark and no intensity changes its sign.
///
/// # References
/// Van Leemput et al., "Automated model-based bias field correction of MR images of the brain", IEEE TMI 18 (1999): the
/// exponential of a polynomial; TorchIO (Pérez-García et al., 2021) draws coefficients of one of degree 3.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BiasField {
    /// Coefficients of the polynomial of i, j, k, each from -1 to 1 over the patch, in the order k, k², k³, j, jk, jk², j², j²k,
    /// j³, i, ik, ik², ij, ijk, ij², i², i²k, i²j, i³.
    pub coefficients: [f64; 19],
}

impl BiasField {
    /// The polynomial of k on a row: the coefficients of 1, k, k², k³.
    fn of_row(&self, i: f64, j: f64) -> [f32; 4] {
        let mut row = [0.0; 4];
        for ([of_i, of_j, of_k], coefficient) in POWERS.into_iter().zip(self.coefficients) {
            row[of_k] += coefficient * i.powi(of_i as i32) * j.powi(of_j as i32);
        }
        row.map(|value| value as f32)
    }
}

/// From -1 on the first voxel of a side to 1 on the last.
fn place(voxel: usize, side: usize) -> f64 {
    2.0 * voxel as f64 / side.saturating_sub(1).max(1) as f64 - 1.0
}

impl Transform for BiasField {
    fn apply(&self, patch: Patch) -> Patch {
        let [side_i, side_j, side_k] = patch.shape();
        let places: Vec<f32> = (0..side_k).map(|k| place(k, side_k) as f32).collect();
        patch.map_channels(|_, voxels| {
            let [low, _] = extremes(voxels);
            for (row, voxels) in voxels.chunks_exact_mut(side_k.max(1)).enumerate() {
                let [a, b, c, d] = self.of_row(place(row / side_j, side_i), place(row % side_j, side_j));
                for (voxel, k) in voxels.iter_mut().zip(&places) {
                    let field = (a + k * (b + k * (c + k * d))).exp();
                    *voxel = low + (*voxel - low) * field;
                }
            }
        })
    }

    fn is_spatial(&self) -> bool {
        false
    }
}

/// Draws a [`BiasField`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomBiasField {
    /// How often a patch gets one.
    ///
    /// Range: 0 to 1.
    pub probability: f64,
    /// The largest coefficient; each is uniform between it and its negative.
    ///
    /// Range: 0 to 2.
    pub coefficient: f64,
}

impl RandomTransform for RandomBiasField {
    type Drawn = BiasField;

    fn draw(&self, _: [usize; 3], draws: &mut Draws) -> BiasField {
        BiasField { coefficients: POWERS.map(|_| draws.uniform_in(-self.coefficient, self.coefficient)) }
    }
}

impl Setting for RandomBiasField {
    const NAME: &'static str = "bias_field";

    fn probability(&self) -> f64 {
        self.probability
    }

    fn check(&self) -> Result<()> {
        in_range("bias_field.coefficient", self.coefficient, 0.0, 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_laws, numbered};
    use ndarray::Array4;

    #[test]
    fn the_laws_hold() {
        check_laws(&RandomBiasField { probability: 1.0, coefficient: 0.5 });
    }

    #[test]
    fn no_coefficient_changes_nothing_and_the_darkest_voxel_stays() {
        let patch = numbered([3, 4, 5]);
        assert_eq!(BiasField { coefficients: [0.0; 19] }.apply(patch.clone()), patch);
        let field = RandomBiasField { probability: 1.0, coefficient: 0.5 }
            .draw([3, 4, 5], &mut Draws::new(1, "field", 0, 0));
        let changed = field.apply(patch.clone());
        assert_eq!(changed.image()[[0, 0, 0, 0]], patch.image()[[0, 0, 0, 0]]);
        assert!(
            changed
                .image()
                .outer_iter()
                .all(|channel| channel.iter().all(|value| *value >= channel[[0, 0, 0]]))
        );
    }

    #[test]
    fn it_is_the_exponential_of_the_polynomial() {
        let mut coefficients = [0.0; 19];
        // 0.3 k + 0.2 j k^2 - 0.1 i^2 j
        (coefficients[0], coefficients[5], coefficients[17]) = (0.3, 0.2, -0.1);
        let mut image = Array4::from_elem((1, 3, 5, 5), 1.0);
        image[[0, 0, 0, 0]] = 0.0;
        let changed = BiasField { coefficients }.apply(Patch::new(image, None).unwrap());
        let (i, j, k) = (1.0f64, -0.5, 0.5);
        let expected = (0.3 * k + 0.2 * j * k * k - 0.1 * i * i * j).exp();
        assert!((f64::from(changed.image()[[0, 2, 1, 3]]) - expected).abs() < 1e-6);
    }
}
