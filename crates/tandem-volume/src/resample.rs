//! Changing the spacing of volumes, and bringing predictions back.
use ndarray::Array4;

use crate::{Geometry, Result, Volume};

/// Resamples a scan to `spacing` in mm.
///
/// # Errors
/// Where the spacing is not positive and finite.
pub fn image_to_spacing(image: &Volume<f32>, spacing: [f64; 3]) -> Result<Volume<f32>> {
    let _ = (image, spacing);
    todo!()
}

/// Resamples a label map with values below `classes` to `spacing` in mm.
///
/// # Errors
/// Where the spacing is not positive and finite, or a label is not below `classes`.
pub fn label_to_spacing(label: &Volume<u8>, spacing: [f64; 3], classes: usize) -> Result<Volume<u8>> {
    let _ = (label, spacing, classes);
    todo!()
}

/// Interpolates probabilities (K, i, j, k) on the grid `geometry` at the voxels of another grid.
///
/// # Errors
/// Where a side of the probabilities is 0.
pub fn probabilities_onto(
    probabilities: &Array4<f32>,
    geometry: &Geometry,
    target: &Geometry,
    target_shape: [usize; 3],
) -> Result<Array4<f32>> {
    let _ = (probabilities, geometry, target, target_shape);
    todo!()
}
