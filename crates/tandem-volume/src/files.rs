//! Reading and writing volumes by file name.
use std::path::Path;

use crate::{Result, Volume};

/// Reads a scan from NIfTI (`.nii`, `.nii.gz`) or NRRD (`.nrrd`), with the file's intensity scaling applied.
///
/// # Errors
/// Where the file is missing, damaged, cut short, or holds anything but one 3-D grid of scalars.
pub fn read_image(path: impl AsRef<Path>) -> Result<Volume<f32>> {
    let _ = path;
    todo!()
}

/// Reads a label map from NIfTI (`.nii`, `.nii.gz`) or NRRD (`.nrrd`).
///
/// # Errors
/// As for [`read_image`], and where a voxel is not a whole number in 0..=255.
pub fn read_label(path: impl AsRef<Path>) -> Result<Volume<u8>> {
    let _ = path;
    todo!()
}

/// Writes a scan as NIfTI-1 in f32 (`.nii` or `.nii.gz`), aside first and then renamed.
///
/// # Errors
/// Where the name has another ending, a side is 0 or exceeds 32,767 voxels, or the file cannot be written.
pub fn write_image(path: impl AsRef<Path>, image: &Volume<f32>) -> Result<()> {
    let _ = (path, image);
    todo!()
}

/// Writes a label map as NIfTI-1 in u8 (`.nii` or `.nii.gz`), aside first and then renamed.
///
/// # Errors
/// As for [`write_image`].
pub fn write_label(path: impl AsRef<Path>, label: &Volume<u8>) -> Result<()> {
    let _ = (path, label);
    todo!()
}
