//! What every reader must keep to whatever the bytes: for fuzz targets and for tests of damaged files.
use std::path::Path;

use crate::budget::Budget;
use crate::{Error, Result, files, hdf5, inspect};

/// Reads a file, or a folder of DICOM slices, in every way that there is, with `limit` bytes in place of
/// [`READ_LIMIT`](crate::READ_LIMIT), and checks the laws of readers. Returns the voxels along i, j, k.
///
/// 1. What is read has a grid of finite numbers and positive spacings; as many voxels as inspection found.
/// 2. What is refused is refused in one line that begins with a path of the scan's folder and ends with a remedy, behind
///    a semicolon.
///
/// That nothing else panics, takes long or takes more memory than the limit is for the caller to watch.
///
/// # Errors
/// As [`read_image`](crate::read_image) and [`hdf5::read_subject`].
///
/// # Panics
/// Where a law is broken, with the law in the message.
pub fn read_every_way(path: impl AsRef<Path>, limit: u64) -> Result<[usize; 3]> {
    let path = path.as_ref();
    read(path, Budget(limit)).inspect_err(|error| check_message(error, path))
}

fn read(path: &Path, budget: Budget) -> Result<[usize; 3]> {
    let found = inspect::within(path, budget)?;
    let Some(grid) = found.grid else {
        // HDF5 has none.
        let (image, _) = hdf5::read_within(path, budget)?;
        assert_eq!(image.shape(), found.shape, "the scan must have the shape that inspection found");
        return Ok(found.shape);
    };
    assert!(grid.spacing.iter().all(|&mm| mm.is_finite() && mm > 0.0), "spacings must be positive: {grid:?}");
    assert!(grid.affine.iter().flatten().all(|mm| mm.is_finite()), "affines must be finite: {grid:?}");
    let image = files::read(path, budget)?.into_image();
    assert_eq!(image.shape(), found.shape, "the scan must have the shape that inspection found");
    // A label map may be refused for voxels that a scan may have.
    match files::read(path, budget)?.into_label(path) {
        Ok(label) => assert_eq!(label.shape(), found.shape, "the label map must have the scan's shape"),
        Err(error) => check_message(&error, path),
    }
    Ok(found.shape)
}

/// Checks law 2 for a file, or the folder of a series, at `path`.
fn check_message(error: &Error, path: &Path) {
    let message = error.to_string();
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let named = message.starts_with(&folder.display().to_string());
    assert!(named, "a message must begin with the file: {message}");
    let remedy = message.rsplit_once("; ").map(|(_, remedy)| remedy).unwrap_or_default();
    assert!(remedy.len() > 8, "a message must end with a remedy: {message}");
    assert!(!message.contains('\n'), "a message must be one line: {message}");
}
