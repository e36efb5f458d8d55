//! The seam: deterministic transforms, and the random ones that draw them.

use ndarray::{Array, Array3, Array4, ArrayView3, ArrayView4, Dimension};
use serde::{Serialize, de::DeserializeOwned};
use tandem_random::Draws;
use tandem_volume::Subject;

use crate::{AugmentError, Result};

/// A piece of a subject: an image `(C, i, j, k)` and, where the subject has one, its label map `(i, j, k)`, on a grid of some
/// spacing. Both arrays lie in memory in the order of their axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    image: Array4<f32>,
    label: Option<Array3<u8>>,
    spacing: [f64; 3],
}

impl Patch {
    /// A patch of an image and its label map, with a spacing of 1 mm.
    ///
    /// # Errors
    /// Where the two differ in shape.
    pub fn new(image: Array4<f32>, label: Option<Array3<u8>>) -> Result<Self> {
        let patch = Patch::on_one_grid(in_order(image), label.map(in_order), [1.0; 3]);
        match &patch.label {
            Some(label) if <[usize; 3]>::from(label.dim()) != patch.shape() => {
                Err(AugmentError::ShapeMismatch { image: patch.shape(), label: label.dim().into() })
            }
            _ => Ok(patch),
        }
    }

    /// The same patch with another spacing along i, j, k, in mm.
    pub fn with_spacing(self, spacing: [f64; 3]) -> Self {
        Patch { spacing, ..self }
    }

    /// A patch whose parts are known to share one shape and to lie in order.
    pub(crate) fn on_one_grid(image: Array4<f32>, label: Option<Array3<u8>>, spacing: [f64; 3]) -> Self {
        Patch { image, label, spacing }
    }

    /// A patch of the same voxels in another order: each part is what a view of it becomes.
    pub(crate) fn moved(
        &self,
        spacing: [f64; 3],
        image: impl FnOnce(ArrayView4<'_, f32>) -> ArrayView4<'_, f32>,
        label: impl FnOnce(ArrayView3<'_, u8>) -> ArrayView3<'_, u8>,
    ) -> Self {
        let image = image(self.image.view()).as_standard_layout().into_owned();
        let label = self.label.as_ref().map(|array| label(array.view()).as_standard_layout().into_owned());
        Patch::on_one_grid(image, label, spacing)
    }

    /// The same patch, the voxels of each channel changed in place: what every transform of intensities does.
    pub(crate) fn map_channels(mut self, mut change: impl FnMut(usize, &mut [f32])) -> Self {
        let voxels = self.shape().iter().product::<usize>().max(1);
        let channels = self.image.as_slice_mut().unwrap_or_default().chunks_exact_mut(voxels);
        channels.enumerate().for_each(|(channel, voxels)| change(channel, voxels));
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

    /// The spacing along i, j, k, in mm.
    pub fn spacing(&self) -> [f64; 3] {
        self.spacing
    }

    /// The image and the label map.
    pub fn into_parts(self) -> (Array4<f32>, Option<Array3<u8>>) {
        (self.image, self.label)
    }
}

/// The whole subject: its channels as `(C, i, j, k)`, and its label map, at its spacing.
impl From<Subject> for Patch {
    fn from(subject: Subject) -> Self {
        let (_, image, label) = subject.into_parts();
        let ([i, j, k], spacing) = (image.shape(), image.geometry().spacing());
        let mut voxels = Array4::zeros((image.channels().len(), i, j, k));
        voxels.outer_iter_mut().zip(image.channels()).for_each(|(mut to, from)| to.assign(from.array()));
        // A subject's parts share one grid.
        Patch::on_one_grid(voxels, label.map(|label| in_order(label.into_parts().0)), spacing)
    }
}

fn in_order<T: Clone, D: Dimension>(array: Array<T, D>) -> Array<T, D> {
    if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() }
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
    use tandem_volume::{Geometry, Image, Volume};

    #[test]
    fn a_patch_has_one_grid() {
        let image = Array4::zeros((6, 2, 3, 4));
        let error = Patch::new(image.clone(), Some(Array3::zeros((2, 3, 5)))).unwrap_err();
        assert!(error.to_string().contains("[2, 3, 5]"), "{error}");
        assert!(Patch::new(image.clone(), Some(Array3::zeros((2, 3, 4)))).is_ok());
        assert_eq!(Patch::new(image, None).unwrap().shape(), [2, 3, 4]);
    }

    #[test]
    fn a_subject_is_a_patch() {
        let grid = Geometry::with_spacing([1.0, 2.0, 3.0]).unwrap();
        let channel = |first: f32| {
            let voxels = Array3::from_shape_fn((2, 3, 4), |(i, j, k)| first + (100 * i + 10 * j + k) as f32);
            Volume::new(voxels, grid.clone())
        };
        let label = Volume::new(channel(0.0).array().mapv(|value| value as u8), grid.clone());
        let image = Image::new(vec![channel(0.0), channel(0.5)]).unwrap();
        let patch = Patch::from(Subject::new("a", image, Some(label)).unwrap());
        assert_eq!((patch.shape(), patch.spacing()), ([2, 3, 4], [1.0, 2.0, 3.0]));
        assert_eq!((patch.image()[[1, 1, 2, 3]], patch.label().unwrap()[[1, 2, 3]]), (123.5, 123));
    }
}
