//! Quarter turns.

use ndarray::{ArrayView, Axis, Dimension};
use serde::{Deserialize, Serialize};
use tandem_random::Draws;

use crate::setting::{Setting, in_range};
use crate::{Patch, RandomTransform, Result, Transform};

/// The two axes that a turn about i, j or k moves, in their order.
const PLANES: [[usize; 2]; 3] = [[1, 2], [0, 2], [0, 1]];

/// Turns a patch by quarters, about i first, then about j, then about k: no voxel is interpolated.
///
/// A quarter takes the first of the two moved axes to the second (of i, j, k in this order), as numpy's `rot90` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Quarters about i, j, k; four are none.
    pub quarters: [u8; 3],
}

impl Transform for Turn {
    fn apply(&self, patch: Patch) -> Patch {
        let mut spacing = patch.spacing();
        for ([first, second], quarters) in PLANES.into_iter().zip(self.quarters) {
            if quarters % 2 == 1 {
                spacing.swap(first, second);
            }
        }
        // The image has its channels first.
        patch.moved(spacing, |image| turned(image, 1, self.quarters), |label| turned(label, 0, self.quarters))
    }

    fn is_spatial(&self) -> bool {
        true
    }
}

fn turned<T, D: Dimension>(
    mut array: ArrayView<'_, T, D>,
    before: usize,
    quarters: [u8; 3],
) -> ArrayView<'_, T, D> {
    for (plane, quarters) in PLANES.into_iter().zip(quarters) {
        let [first, second] = plane.map(|axis| before + axis);
        for _ in 0..quarters % 4 {
            array.invert_axis(Axis(second));
            array.swap_axes(first, second);
        }
    }
    array
}

/// Draws a [`Turn`] that keeps the shape of the patch.
///
/// Where the two moved sides are equal, 0 to 3 quarters are equally likely; where they differ, 0 and 2. Spacings should be
/// equal as well: a turn takes them along, but a network does not see them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomTurn {
    /// How often a number of quarters is drawn for i, j, k, each for itself.
    ///
    /// Range: 0 to 1.
    pub probability: [f64; 3],
}

impl RandomTurn {
    /// The first axis about which a patch of this shape can turn by halves only, though quarters are asked for.
    pub(crate) fn hindered(&self, shape: [usize; 3]) -> Option<usize> {
        let differ = |[first, second]: [usize; 2]| shape[first] != shape[second];
        (0..3).find(|axis| self.probability[*axis] > 0.0 && differ(PLANES[*axis]))
    }
}

impl RandomTransform for RandomTurn {
    type Drawn = Turn;

    fn draw(&self, shape: [usize; 3], draws: &mut Draws) -> Turn {
        let quarters = [0, 1, 2].map(|axis| {
            // The same draws for every shape.
            let (turns, quarters) = (draws.chance(self.probability[axis]), draws.below(4) as u8);
            let [first, second] = PLANES[axis];
            match (turns, shape[first] == shape[second]) {
                (false, _) => 0,
                (true, true) => quarters,
                (true, false) => quarters / 2 * 2,
            }
        });
        Turn { quarters }
    }
}

impl Setting for RandomTurn {
    const NAME: &'static str = "turn";

    /// The axes have theirs.
    fn probability(&self) -> f64 {
        1.0
    }

    fn check(&self) -> Result<()> {
        self.probability.iter().try_for_each(|share| in_range("turn.probability", *share, 0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_laws, numbered};

    #[test]
    fn the_laws_hold() {
        check_laws(&RandomTurn { probability: [0.5; 3] });
    }

    #[test]
    fn a_quarter_takes_the_first_axis_to_the_second() {
        let patch = numbered([3, 4, 5]).with_spacing([1.0, 2.0, 3.0]);
        for (axis, [first, second]) in PLANES.into_iter().enumerate() {
            let quarters = [0, 1, 2].map(|other| u8::from(other == axis));
            let turned = Turn { quarters }.apply(patch.clone());
            let mut shape = patch.shape();
            shape.swap(first, second);
            assert_eq!(turned.shape(), shape);
            let mut spacing = patch.spacing();
            spacing.swap(first, second);
            assert_eq!(turned.spacing(), spacing);
            for ((c, i, j, k), value) in turned.image().indexed_iter() {
                let to = [i, j, k];
                let mut from = to;
                // A step along the first axis becomes one along the second, and that one a step back along the first.
                from[first] = to[second];
                from[second] = shape[first] - 1 - to[first];
                assert_eq!(*value, patch.image()[[c, from[0], from[1], from[2]]]);
                assert_eq!(turned.label().unwrap()[to], patch.label().unwrap()[from]);
            }
            let back = (0..3).fold(turned, |patch, _| Turn { quarters }.apply(patch));
            assert_eq!(back, patch, "four quarters are none");
        }
    }

    #[test]
    fn patches_keep_their_shape_and_all_that_do_are_drawn() {
        let random = RandomTurn { probability: [0.0, 0.0, 1.0] };
        let seen = |shape| {
            let mut quarters: Vec<u8> = (0..60)
                .map(|slot| random.draw(shape, &mut Draws::new(1, "turn", 0, slot)).quarters[2])
                .collect();
            quarters.sort_unstable();
            quarters.dedup();
            quarters
        };
        assert_eq!(seen([8, 8, 5]), [0, 1, 2, 3]);
        assert_eq!(seen([8, 6, 6]), [0, 2]);
        assert_eq!((random.hindered([8, 8, 5]), random.hindered([8, 6, 6])), (None, Some(2)));
    }
}
