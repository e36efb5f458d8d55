//! Voxel arrays that know where they lie.
use ndarray::Array3;

use crate::Geometry;

/// An array of voxels `[i, j, k]` with its physical grid.
///
/// The axes are the file's voxel axes (NIfTI order); in memory k is the fastest.
///
/// ```
/// use ndarray::Array3;
/// use tandem_volume::{Geometry, Volume};
/// let volume = Volume::new(Array3::<f32>::zeros((4, 5, 6)), Geometry::isotropic(0.625)?);
/// assert_eq!(volume.shape(), [4, 5, 6]);
/// # Ok::<(), tandem_volume::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Volume<T> {
    array: Array3<T>,
    geometry: Geometry,
}

impl<T: Clone> Volume<T> {
    /// The voxels of `array` on `geometry`. An array in another memory layout is copied into the standard one.
    pub fn new(array: Array3<T>, geometry: Geometry) -> Self {
        let array = if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() };
        Volume { array, geometry }
    }
}

impl<T> Volume<T> {
    /// The voxels, `[i, j, k]`, in standard layout (k fastest).
    pub fn array(&self) -> &Array3<T> {
        &self.array
    }

    /// The physical grid.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The number of voxels along i, j, k.
    pub fn shape(&self) -> [usize; 3] {
        let (i, j, k) = self.array.dim();
        [i, j, k]
    }

    /// The array and its grid.
    pub fn into_parts(self) -> (Array3<T>, Geometry) {
        (self.array, self.geometry)
    }
}
