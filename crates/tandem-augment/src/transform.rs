//! The seam: deterministic transforms, and the random ones that draw them.

use ndarray::{Array3, Array4, ArrayViewMut3};
use serde::{Serialize, de::DeserializeOwned};
use tandem_random::Draws;

use crate::{AugmentError, Result};

/// A piece of a subject: an image `(C, i, j, k)` and, where the subject has one, its label map `(i, j, k)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    image: Array4<f32>,
    label: Option<Array3<u8>>,
}

impl Patch {
    /// A patch of an image and its label map.
    ///
    /// # Errors
    /// Where the two differ in shape.
    pub fn new(image: Array4<f32>, label: Option<Array3<u8>>) -> Result<Self> {
        let patch = Patch { image, label };
        match &patch.label {
            Some(label) if <[usize; 3]>::from(label.dim()) != patch.shape() => {
                Err(AugmentError::ShapeMismatch { image: patch.shape(), label: label.dim().into() })
            }
            _ => Ok(patch),
        }
    }

    /// A patch whose parts are known to share one shape.
    pub(crate) fn new_unchecked(image: Array4<f32>, label: Option<Array3<u8>>) -> Self {
        debug_assert!(label.as_ref().is_none_or(|label| label.shape() == &image.shape()[1..]));
        Patch { image, label }
    }

    /// The same patch, each channel of it changed in place: what every transform of intensities does.
    pub(crate) fn map_channels(mut self, mut change: impl FnMut(usize, ArrayViewMut3<'_, f32>)) -> Self {
        self.image.outer_iter_mut().enumerate().for_each(|(channel, image)| change(channel, image));
        self
    }

    /// The image, `(C, i, j, k)`.
    pub fn image(&self) -> &Array4<f32> {
        &self.image
    }

    /// The label map; `None` for an unlabelled subject.
    pub fn label(&self) -> Option<&Array3<u8>> {
        self.label.as_ref()
    }

    /// Voxels along i, j, k.
    pub fn shape(&self) -> [usize; 3] {
        let (_, i, j, k) = self.image.dim();
        [i, j, k]
    }

    /// The image and the label map.
    pub fn into_parts(self) -> (Array4<f32>, Option<Array3<u8>>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_has_one_grid() {
        let image = Array4::zeros((6, 2, 3, 4));
        let error = Patch::new(image.clone(), Some(Array3::zeros((2, 3, 5)))).unwrap_err();
        assert!(error.to_string().contains("[2, 3, 5]"), "{error}");
        assert!(Patch::new(image.clone(), Some(Array3::zeros((2, 3, 4)))).is_ok());
        assert_eq!(Patch::new(image, None).unwrap().shape(), [2, 3, 4]);
    }
}
