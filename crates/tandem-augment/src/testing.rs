//! The laws of random transforms, for the tests of whoever implements one.

use ndarray::{Array4, Axis};
use tandem_random::Draws;

use crate::{Patch, RandomTransform, Transform};

/// Checks the laws of [`RandomTransform`] and [`Transform`] over several shapes and draws.
///
/// 1. The same draws give the same transform, and the same transform the same patch, bit for bit.
/// 2. A transform written as JSON and read again does the same: a log can be replayed.
/// 3. Applying draws nothing and an unlabelled patch gets the same image as a labelled one.
/// 4. Image and label map keep one shape; no class appears that was not there (0, the padding, may).
/// 5. A transform that is not spatial keeps the shape and does not touch the label map.
/// 6. Finite voxels stay finite.
///
/// # Panics
/// Where a law is broken, with the law in the message.
pub fn check_laws<R: RandomTransform>(random: &R) {
    for shape in [[12, 10, 9], [5, 16, 7], [3, 3, 3]] {
        for slot in 0..20 {
            check_draw(random, sample(shape), slot);
        }
    }
}

fn check_draw<R: RandomTransform>(random: &R, patch: Patch, slot: u64) {
    let draws = || Draws::new(11, "laws", 0, slot);
    let transform = random.draw(patch.shape(), &mut draws());
    let changed = transform.apply(patch.clone());

    let again = random.draw(patch.shape(), &mut draws());
    assert_eq!(written(&transform), written(&again), "the same draws must give the same transform");
    assert_eq!(changed, again.apply(patch.clone()), "the same transform must give the same patch");

    let replayed: R::Drawn =
        serde_json::from_str(&written(&transform)).expect("a written transform must be readable");
    assert_eq!(changed, replayed.apply(patch.clone()), "a replayed transform must do the same");

    let unlabelled = Patch::new(patch.image().clone(), None).expect("no label map, no mismatch");
    let unlabelled = unlabelled.with_spacing(patch.spacing());
    let unlabelled = transform.apply(unlabelled);
    assert_eq!(changed.image(), unlabelled.image(), "the label map must not influence the image");
    assert!(unlabelled.label().is_none(), "an unlabelled patch must stay unlabelled");

    let (before, after) =
        (patch.label().expect("samples are labelled"), changed.label().expect("a label map was lost"));
    assert_eq!(after.shape(), changed.shape(), "image and label map must keep one shape");
    assert!(
        after.iter().all(|class| *class == 0 || before.iter().any(|b| b == class)),
        "a class appeared from nowhere"
    );
    if !transform.is_spatial() {
        assert_eq!(patch.shape(), changed.shape(), "only a spatial transform may change the shape");
        assert_eq!(before, after, "only a spatial transform may change the label map");
    }
    assert!(changed.image().iter().all(|v| v.is_finite()), "finite voxels must stay finite");
}

fn written<T: Transform>(transform: &T) -> String {
    serde_json::to_string(transform).expect("a transform must be writable as JSON")
}

/// A labelled patch of two channels in which every voxel differs.
fn sample([i, j, k]: [usize; 3]) -> Patch {
    let mut draws = Draws::new(12, "laws", 0, 0);
    let image = Array4::from_shape_simple_fn((2, i, j, k), || draws.normal() as f32);
    let label = image.index_axis(Axis(0), 0).mapv(|v| if v > 0.5 { 2 } else { u8::from(v > 0.0) });
    Patch::new(image, Some(label)).expect("one shape").with_spacing([1.0, 1.25, 2.0])
}

/// A patch of two channels whose voxels count up in the order of their axes, the second from 1000; three classes take turns.
#[cfg(test)]
pub(crate) fn numbered([i, j, k]: [usize; 3]) -> Patch {
    let number = |at: (usize, usize, usize)| (at.0 * j + at.1) * k + at.2;
    let image = Array4::from_shape_fn((2, i, j, k), |(c, i, j, k)| (1000 * c + number((i, j, k))) as f32);
    let label = ndarray::Array3::from_shape_fn((i, j, k), |at| (number(at) % 3) as u8);
    Patch::new(image, Some(label)).expect("one shape")
}

/// A patch that is 1 in a block, its image as well as its label map, and 0 outside.
#[cfg(test)]
pub(crate) fn block(shape: [usize; 3], block: [std::ops::Range<usize>; 3]) -> Patch {
    let inside = |(i, j, k)| block.iter().zip([i, j, k]).all(|(side, at)| side.contains(&at));
    let label = ndarray::Array3::from_shape_fn(shape, |at| u8::from(inside(at)));
    Patch::new(label.mapv(f32::from).insert_axis(Axis(0)), Some(label)).expect("one shape")
}

/// Where the foreground of a patch begins and ends along each axis.
#[cfg(test)]
pub(crate) fn extent(patch: &Patch) -> [std::ops::Range<usize>; 3] {
    let label = patch.label().expect("samples are labelled");
    let foreground = || label.indexed_iter().filter(|(_, class)| **class > 0).map(|((i, j, k), _)| [i, j, k]);
    [0, 1, 2].map(|axis| {
        let along = || foreground().map(|at| at[axis]);
        along().min().expect("foreground")..along().max().expect("foreground") + 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    /// Claims not to be spatial, yet mirrors the first axis.
    #[derive(Serialize, Deserialize)]
    struct Liar;

    impl Transform for Liar {
        fn apply(&self, patch: Patch) -> Patch {
            let (mut image, label) = patch.into_parts();
            image.invert_axis(Axis(1));
            let label = label.map(|mut label| {
                label.invert_axis(Axis(0));
                label
            });
            Patch::new(image, label).unwrap()
        }
        fn is_spatial(&self) -> bool {
            false
        }
    }

    impl RandomTransform for Liar {
        type Drawn = Liar;
        fn draw(&self, _: [usize; 3], _: &mut Draws) -> Liar {
            Liar
        }
    }

    #[test]
    #[should_panic(expected = "only a spatial transform may change the label map")]
    fn a_broken_law_is_noticed() {
        check_laws(&Liar);
    }
}
