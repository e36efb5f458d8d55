//! The seam: deterministic transforms, and the random ones that draw them.

use ndarray::Array3;
use serde::{Serialize, de::DeserializeOwned};
use tandem_random::Draws;

use crate::{AugmentError, Result};

/// A piece of a subject, indexed `[i, j, k]`: an image and, where the subject has one, its label map of the same shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    image: Array3<f32>,
    label: Option<Array3<u8>>,
}

impl Patch {
    /// A patch of an image and its label map.
    ///
    /// # Errors
    /// Where the two differ in shape.
    pub fn new(image: Array3<f32>, label: Option<Array3<u8>>) -> Result<Self> {
        if let Some(label) = &label
            && label.dim() != image.dim()
        {
            return Err(AugmentError::ShapeMismatch { image: shape_of(&image), label: shape_of(label) });
        }
        Ok(Patch { image, label })
    }

    /// A patch whose parts are known to share one shape.
    pub(crate) fn new_unchecked(image: Array3<f32>, label: Option<Array3<u8>>) -> Self {
        debug_assert!(label.as_ref().is_none_or(|label| label.dim() == image.dim()));
        Patch { image, label }
    }

    /// The image.
    pub fn image(&self) -> &Array3<f32> {
        &self.image
    }

    /// The label map; `None` for an unlabelled subject.
    pub fn label(&self) -> Option<&Array3<u8>> {
        self.label.as_ref()
    }

    /// Voxels along each axis.
    pub fn shape(&self) -> [usize; 3] {
        shape_of(&self.image)
    }

    /// The image and the label map.
    pub fn into_parts(self) -> (Array3<f32>, Option<Array3<u8>>) {
        (self.image, self.label)
    }
}

/// A deterministic change of a patch: plain data that can be logged and applied again.
///
/// A new one goes into a file of its own, derives serde's traits and passes [`testing::check_laws`](crate::testing::check_laws).
pub trait Transform: Serialize + DeserializeOwned {
    /// The changed patch. Pure: the same patch gives the same bits every time.
    fn apply(&self, patch: Patch) -> Patch;

    /// Whether the transform is spatial: only such a one may change the label map, or the shape.
    fn is_spatial(&self) -> bool;
}

/// A distribution of transforms.
pub trait RandomTransform {
    /// What is drawn.
    type Drawn: Transform;

    /// Draws a transform for a volume of `shape` voxels. All randomness comes from `draws`.
    fn draw(&self, shape: [usize; 3], draws: &mut Draws) -> Self::Drawn;
}

fn shape_of<T>(array: &Array3<T>) -> [usize; 3] {
    let (i, j, k) = array.dim();
    [i, j, k]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_has_one_grid() {
        let error = Patch::new(Array3::zeros((2, 3, 4)), Some(Array3::zeros((2, 3, 5)))).unwrap_err();
        assert!(error.to_string().contains("[2, 3, 5]"), "{error}");
        assert_eq!(Patch::new(Array3::zeros((2, 3, 4)), None).unwrap().shape(), [2, 3, 4]);
    }
}
