//! Subjects in the LA benchmark's HDF5 layout.
use std::path::Path;

use ndarray::Array3;

use crate::Result;

/// Reads the datasets `image` and, where it exists, `label` of an HDF5 file such as the LA benchmark's `mri_norm2.h5`.
///
/// Both have shape `[i, j, k]`. The layout has no geometry: the caller knows the spacing (LA: 0.625 mm).
///
/// # Errors
/// Where the file is missing or damaged, `image` is missing or not 3-D, or `label` differs in shape or has values that
/// are not whole numbers in 0..=255.
pub fn read_subject(path: impl AsRef<Path>) -> Result<(Array3<f32>, Option<Array3<u8>>)> {
    let _ = path;
    todo!()
}
