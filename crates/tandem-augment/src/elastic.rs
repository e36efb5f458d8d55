//! Smooth random deformations.

use serde::{Deserialize, Serialize};
use tandem_random::Draws;

use crate::resample::resampled;
use crate::setting::{Setting, in_range, range};
use crate::{AugmentError, Patch, RandomTransform, Result, Transform};

/// The largest displacement as a share of the knots' distance at which no deformation folds: 1 / 2.48, the bound of Choi and
/// Lee, "Injectivity conditions of 2D and 3D uniform cubic B-spline functions", Graphical Models 62 (2000).
const FOLD_FREE: f64 = 1.0 / 2.48;

/// Moves the voxels of a patch by a cubic B-spline whose knots are displaced at random.
///
/// The spline's weights are shares, so that no voxel moves farther along an axis than the knots do. What is kept is the key of
/// the displacements. Images are interpolated linearly, labels take the nearest voxel, and beyond its border the patch goes on
/// as at the border.
///
/// # References
/// Rueckert et al., "Nonrigid registration using free-form deformations", IEEE TMI 18 (1999), eq. 1 to 3; TorchIO
/// (Pérez-García et al., 2021) deforms by the same spline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elastic {
    /// From one knot to the next, in mm.
    pub knots_mm: f64,
    /// The most that a knot moves along each axis, in mm; it is uniform between this and its negative.
    pub displacement_mm: f64,
    /// What the displacements are keyed by.
    pub key: u64,
}

impl Transform for Elastic {
    fn apply(&self, patch: Patch) -> Patch {
        let (shape, spacing) = (patch.shape(), patch.spacing());
        let axes = [0, 1, 2].map(|axis| Axis::new(shape[axis], self.knots_mm / spacing[axis]));
        let knots = axes.each_ref().map(|axis| axis.knots);
        // Displacements along each axis, in voxels.
        let fields = [0, 1, 2].map(|axis| {
            let mut draws = Draws::new(self.key, "elastic", 0, axis as u64);
            let most = self.displacement_mm / spacing[axis];
            let count = knots.iter().product();
            (0..count).map(|_| draws.uniform_in(-most, most) as f32).collect::<Vec<f32>>()
        });
        // What is left of the knots after the sum over i, and after that over j.
        let mut planes = fields.each_ref().map(|_| vec![0f32; knots[1] * knots[2]]);
        let mut lines = fields.each_ref().map(|_| vec![0f32; knots[2]]);
        resampled(&patch, |[i, j], places| {
            for (axis, places) in places.into_iter().enumerate() {
                let (plane, line) = (&mut planes[axis], &mut lines[axis]);
                if j == 0 {
                    axes[0].sum(i, &fields[axis], plane);
                }
                axes[1].sum(j, plane, line);
                axes[2].along(line, places);
                match axis {
                    0 => places.iter_mut().for_each(|place| *place += i as f32),
                    1 => places.iter_mut().for_each(|place| *place += j as f32),
                    _ => places.iter_mut().enumerate().for_each(|(k, place)| *place += k as f32),
                }
            }
        })
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

/// The knots of an axis and what each voxel takes of them.
struct Axis {
    knots: usize,
    /// A voxel's first knot, and the weights of it and the three after it.
    of_voxel: Vec<(usize, [f32; 4])>,
}

impl Axis {
    /// Knots at every `distance` voxels, but no more of them than voxels; the second one is on the first voxel.
    fn new(side: usize, distance: f64) -> Self {
        let distance = distance.max(1.0);
        let of_voxel: Vec<(usize, [f32; 4])> = (0..side)
            .map(|voxel| {
                let place = voxel as f64 / distance;
                (place as usize, weights(place.fract()).map(|weight| weight as f32))
            })
            .collect();
        Axis { knots: of_voxel.last().map_or(0, |(first, _)| first + 4), of_voxel }
    }

    /// What a voxel of this axis makes of knots whose first axis it is.
    fn sum(&self, voxel: usize, knots: &[f32], of_rest: &mut [f32]) {
        let (first, [a, b, c, d]) = self.of_voxel[voxel];
        let count = of_rest.len();
        let row = |at: usize| &knots[(first + at) * count..][..count];
        let rows = row(0).iter().zip(row(1)).zip(row(2)).zip(row(3));
        for (rest, (((ka, kb), kc), kd)) in of_rest.iter_mut().zip(rows) {
            *rest = a * ka + b * kb + c * kc + d * kd;
        }
    }

    /// The displacement of every voxel of this axis.
    fn along(&self, knots: &[f32], places: &mut [f32]) {
        for (place, (first, [a, b, c, d])) in places.iter_mut().zip(&self.of_voxel) {
            let knots = &knots[*first..][..4];
            *place = a * knots[0] + b * knots[1] + c * knots[2] + d * knots[3];
        }
    }
}

/// The uniform cubic B-spline's four weights at a share of the way from one knot to the next.
fn weights(t: f64) -> [f64; 4] {
    let rest = 1.0 - t;
    [
        rest.powi(3) / 6.0,
        (3.0 * t.powi(3) - 6.0 * t.powi(2) + 4.0) / 6.0,
        (3.0 * rest.powi(3) - 6.0 * rest.powi(2) + 4.0) / 6.0,
        t.powi(3) / 6.0,
    ]
}

/// Draws an [`Elastic`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomElastic {
    /// How often a patch is deformed.
    ///
    /// Range: 0 to 1.
    pub probability: f64,
    /// From one knot to the next: the size of what moves together.
    ///
    /// Unit: mm. Range: 1 to 1000.
    pub knots_mm: f64,
    /// Range of the most that a knot moves; uniform. At most 0.4 of the knots' distance, so that nothing folds.
    ///
    /// Unit: mm. Range: 0 to 0.4 `knots_mm`, rising.
    pub displacement_mm: [f64; 2],
}

impl RandomTransform for RandomElastic {
    type Drawn = Elastic;

    fn draw(&self, _: [usize; 3], draws: &mut Draws) -> Elastic {
        let displacement_mm = range::draw(self.displacement_mm, draws);
        Elastic { knots_mm: self.knots_mm, displacement_mm, key: draws.next_u64() }
    }
}

impl Setting for RandomElastic {
    const NAME: &'static str = "elastic";

    fn probability(&self) -> f64 {
        self.probability
    }

    fn check(&self) -> Result<()> {
        in_range("elastic.knots_mm", self.knots_mm, 1.0, 1000.0)?;
        range::check("elastic.displacement_mm", self.displacement_mm, 0.0, 1000.0)?;
        let most = FOLD_FREE * self.knots_mm;
        if self.displacement_mm[1] > most {
            let problem = format!(
                "goes up to {}; at most {most:.2}, 0.4 of elastic.knots_mm, keeps tissue from folding over itself",
                self.displacement_mm[1]
            );
            return Err(AugmentError::Setting { field: "elastic.displacement_mm".into(), problem });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{block, check_laws, extent, numbered};

    const SMALL: RandomElastic =
        RandomElastic { probability: 1.0, knots_mm: 5.0, displacement_mm: [0.5, 2.0] };

    #[test]
    fn the_laws_hold() {
        check_laws(&SMALL);
    }

    #[test]
    fn weights_are_shares_and_smooth_from_knot_to_knot() {
        for t in [0.0, 0.3, 0.99] {
            assert!((weights(t).iter().sum::<f64>() - 1.0).abs() < 1e-15);
            assert!(weights(t).iter().all(|weight| *weight >= 0.0));
        }
        let (end, start) = (weights(1.0), weights(0.0));
        for knot in 0..3 {
            assert!((end[knot + 1] - start[knot]).abs() < 1e-15);
        }
    }

    #[test]
    fn nothing_moves_farther_than_the_knots_and_a_label_moves_with_its_image() {
        let still = Elastic { knots_mm: 5.0, displacement_mm: 0.0, key: 1 };
        assert_eq!(still.apply(numbered([6, 7, 8])), numbered([6, 7, 8]));
        let patch = block([40, 40, 20], [12..28, 12..28, 6..14]).with_spacing([1.0, 1.0, 2.0]);
        let mut moved = 0;
        for key in 0..5 {
            let deformed = Elastic { knots_mm: 16.0, displacement_mm: 6.0, key }.apply(patch.clone());
            // Image and label: both are 1 in the block and 0 outside.
            for (value, class) in deformed.image().iter().zip(deformed.label().unwrap()) {
                assert!((value - f32::from(*class)).abs() <= 1.0 - 1.0 / 8.0, "{value} {class}");
            }
            for (found, was) in extent(&deformed).into_iter().zip(extent(&patch)) {
                assert!(found.start.abs_diff(was.start) <= 6 && found.end.abs_diff(was.end) <= 6);
            }
            moved +=
                deformed.label().unwrap().iter().zip(patch.label().unwrap()).filter(|(a, b)| a != b).count();
        }
        assert!(moved > 1000, "{moved}");
    }

    #[test]
    fn what_would_fold_is_refused() {
        SMALL.check().unwrap();
        let error = RandomElastic { displacement_mm: [0.0, 2.1], ..SMALL }.check().unwrap_err().to_string();
        assert!(error.starts_with("elastic.displacement_mm goes up to 2.1; at most 2.02"), "{error}");
    }
}
