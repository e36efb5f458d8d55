//! Small rotations, scalings and shifts.

use serde::{Deserialize, Serialize};
use tandem_random::Draws;

use crate::resample::resampled;
use crate::setting::{Setting, in_range, range};
use crate::{Patch, RandomTransform, Result, Transform};

/// Turns, scales and shifts what a patch shows, about its centre and in millimetres: organs stay as they are on grids whose
/// spacings differ, where a rotation of voxels would shear them.
///
/// Images are interpolated linearly, labels take the nearest voxel, and beyond its border the patch goes on as at the border:
/// a patch is what was read of a scan, and what lies around it is not read for the sake of a few corners.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// Angles about i, then j, then k; positive from the first of the other two axes to the second.
    pub rotation_degrees: [f64; 3],
    /// How much larger everything becomes.
    pub scale: f64,
    /// How far everything moves along i, j, k.
    pub shift_mm: [f64; 3],
}

impl Affine {
    /// The matrix that leads from a place in the changed patch, in mm from the centre, to where it is read.
    fn back(&self) -> [[f64; 3]; 3] {
        let mut matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        // The turn about i comes first, so that on the way back it is undone last: it is the first factor.
        for ([first, second], degrees) in [[1, 2], [0, 2], [0, 1]].into_iter().zip(self.rotation_degrees) {
            let (sine, cosine) = degrees.to_radians().sin_cos();
            for row in &mut matrix {
                let (a, b) = (row[first], row[second]);
                (row[first], row[second]) = (cosine * a - sine * b, sine * a + cosine * b);
            }
        }
        matrix.map(|row| row.map(|value| value / self.scale))
    }
}

impl Transform for Affine {
    fn apply(&self, patch: Patch) -> Patch {
        let (back, spacing) = (self.back(), patch.spacing());
        let centre = patch.shape().map(|side| (side as f64 - 1.0) / 2.0);
        // From voxel to voxel: p -> matrix (p - centre) + start.
        let matrix = [0, 1, 2].map(|a| [0, 1, 2].map(|b| back[a][b] * spacing[b] / spacing[a]));
        let start = [0, 1, 2]
            .map(|a| centre[a] - (0..3).map(|b| back[a][b] * self.shift_mm[b]).sum::<f64>() / spacing[a]);
        resampled(&patch, |[i, j], places| {
            let [i, j] = [i as f64 - centre[0], j as f64 - centre[1]];
            for (axis, places) in places.into_iter().enumerate() {
                let [of_i, of_j, of_k] = matrix[axis];
                let first = start[axis] + of_i * i + of_j * j;
                for (k, place) in places.iter_mut().enumerate() {
                    *place = (first + of_k * (k as f64 - centre[2])) as f32;
                }
            }
        })
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

/// Draws an [`Affine`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomAffine {
    /// How often a patch is changed.
    ///
    /// Range: 0 to 1.
    pub probability: f64,
    /// The largest angle about i, j, k; each is uniform between it and its negative.
    ///
    /// Unit: degrees. Range: 0 to 180.
    pub rotation_degrees: [f64; 3],
    /// Range of the scale, whose logarithm is uniform in it: half and double are equally likely.
    ///
    /// Range: 0.1 to 10, rising.
    pub scale: [f64; 2],
    /// The longest shift along i, j, k; each is uniform between it and its negative.
    ///
    /// Unit: mm. Range: 0 to 1000.
    pub shift_mm: [f64; 3],
}

impl RandomTransform for RandomAffine {
    type Drawn = Affine;

    fn draw(&self, _: [usize; 3], draws: &mut Draws) -> Affine {
        let mut around_zero = |most: [f64; 3]| most.map(|most| draws.uniform_in(-most, most));
        let (rotation_degrees, shift_mm) = (around_zero(self.rotation_degrees), around_zero(self.shift_mm));
        Affine { rotation_degrees, scale: range::draw_factor(self.scale, draws), shift_mm }
    }
}

impl Setting for RandomAffine {
    const NAME: &'static str = "affine";

    fn probability(&self) -> f64 {
        self.probability
    }

    fn check(&self) -> Result<()> {
        for degrees in self.rotation_degrees {
            in_range("affine.rotation_degrees", degrees, 0.0, 180.0)?;
        }
        range::check("affine.scale", self.scale, 0.1, 10.0)?;
        self.shift_mm.iter().try_for_each(|most| in_range("affine.shift_mm", *most, 0.0, 1000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block, check_laws, extent, numbered};

    const STILL: Affine = Affine { rotation_degrees: [0.0; 3], scale: 1.0, shift_mm: [0.0; 3] };

    #[test]
    fn the_laws_hold() {
        let random = RandomAffine {
            probability: 1.0,
            rotation_degrees: [30.0; 3],
            scale: [0.8, 1.25],
            shift_mm: [3.0; 3],
        };
        check_laws(&random);
    }

    #[test]
    fn what_changes_nothing_gives_the_same_bits() {
        let patch = numbered([5, 6, 7]);
        assert_eq!(STILL.apply(patch.clone()), patch);
    }

    #[test]
    fn a_block_moves_grows_and_turns_with_its_label() {
        let patch = block([31, 31, 31], [13..18, 13..18, 9..22]).with_spacing([1.0, 3.0, 1.0]);
        // 6 mm are two voxels of j.
        let moved = Affine { shift_mm: [3.0, 6.0, -5.0], ..STILL }.apply(patch.clone());
        assert_eq!(extent(&moved), [16..21, 15..20, 4..17]);
        let grown = Affine { scale: 1.9, ..STILL }.apply(patch.clone());
        assert_eq!(extent(&grown), [11..20, 11..20, 3..28]);
        // A quarter about i: the 15 mm along j become 15 voxels of k, the 13 mm along k become 5 voxels of j.
        let turned = Affine { rotation_degrees: [90.0, 0.0, 0.0], ..STILL }.apply(patch);
        assert_eq!(extent(&turned), [13..18, 13..18, 8..23]);
        let patch = block([31, 31, 31], [13..18, 14..17, 5..10]);
        for (axis, [first, second]) in [[1, 2], [0, 2], [0, 1]].into_iter().enumerate() {
            let rotation_degrees = [0, 1, 2].map(|other| if other == axis { 90.0 } else { 0.0 });
            let mut quarters = [0; 3];
            quarters[axis] = 1;
            let turned = Affine { rotation_degrees, ..STILL }.apply(patch.clone());
            let exact = crate::Turn { quarters }.apply(patch.clone());
            assert_eq!(extent(&turned), extent(&exact), "about {axis}: from {first} to {second}");
        }
    }
}
