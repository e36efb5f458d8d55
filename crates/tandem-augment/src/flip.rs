//! Flips.

use ndarray::{ArrayView, Axis, Dimension};
use serde::{Deserialize, Serialize};
use tandem_random::Draws;

use crate::setting::{Setting, in_range};
use crate::{Patch, RandomTransform, Result, Transform};

/// Mirrors a patch along some of its axes: no voxel is interpolated.
///
/// A flip turns left into right, which few organs of the trunk forgive; the atrium's benchmark does it all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// Whether i, j, k run the other way.
    pub along: [bool; 3],
}

impl Transform for Flip {
    fn apply(&self, patch: Patch) -> Patch {
        let spacing = patch.spacing();
        // The image has its channels first.
        patch.moved(spacing, |image| flipped(image, 1, self.along), |label| flipped(label, 0, self.along))
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

fn flipped<T, D: Dimension>(
    mut array: ArrayView<'_, T, D>,
    before: usize,
    along: [bool; 3],
) -> ArrayView<'_, T, D> {
    (0..3).filter(|axis| along[*axis]).for_each(|axis| array.invert_axis(Axis(before + axis)));
    array
}

/// Draws a [`Flip`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomFlip {
    /// How often i, j, k are mirrored, each for itself.
    ///
    /// Range: 0 to 1.
    pub probability: [f64; 3],
}

impl RandomTransform for RandomFlip {
    type Drawn = Flip;

    fn draw(&self, _: [usize; 3], draws: &mut Draws) -> Flip {
        Flip { along: self.probability.map(|probability| draws.chance(probability)) }
    }
}

impl Setting for RandomFlip {
    const NAME: &'static str = "flip";

    /// The axes have theirs.
    fn probability(&self) -> f64 {
        1.0
    }

    fn check(&self) -> Result<()> {
        self.probability.iter().try_for_each(|share| in_range("flip.probability", *share, 0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_laws, numbered};

    #[test]
    fn the_laws_hold() {
        check_laws(&RandomFlip { probability: [0.5; 3] });
    }

    #[test]
    fn each_axis_is_mirrored_and_twice_is_not_at_all() {
        let patch = numbered([4, 5, 6]);
        for axis in 0..3 {
            let flip = Flip { along: [0, 1, 2].map(|other| other == axis) };
            let flipped = flip.apply(patch.clone());
            for ((c, i, j, k), value) in flipped.image().indexed_iter() {
                let mut from = [i, j, k];
                from[axis] = patch.shape()[axis] - 1 - from[axis];
                assert_eq!(*value, patch.image()[[c, from[0], from[1], from[2]]]);
                assert_eq!(flipped.label().unwrap()[[i, j, k]], patch.label().unwrap()[from]);
            }
            assert_eq!(flip.apply(flipped), patch);
        }
    }
}
