//! Subjects in the LA benchmark's HDF5 layout.
use std::fs;
use std::path::Path;

use hdf5_reader::{Dataset, Datatype, Hdf5File};
use ndarray::{Array3, ArrayD, Ix3};

use crate::{Error, Result, gzip};

/// Reads the datasets `image` and, where it exists, `label` of an HDF5 file such as the LA benchmark's `mri_norm2.h5`.
///
/// Both have shape `[i, j, k]`. The layout has no geometry: the caller knows the spacing (LA: 0.625 mm).
///
/// # Errors
/// Where the file is missing or damaged, `image` is missing or not 3-D, or `label` differs in shape or has values that
/// are not whole numbers in 0..=255.
pub fn read_subject(path: impl AsRef<Path>) -> Result<(Array3<f32>, Option<Array3<u8>>)> {
    let path = path.as_ref();
    // Read at once rather than mapped: a file that shrinks under a map ends the program.
    parse(fs::read(path).map_err(Error::io(path))?, path)
}

/// The subject in the bytes of the file at `path`.
fn parse(bytes: Vec<u8>, path: &Path) -> Result<(Array3<f32>, Option<Array3<u8>>)> {
    let damaged = |error: hdf5_reader::error::Error| {
        Error::file(path, format!("the HDF5 file cannot be read ({error})"))
    };
    // A damaged file may claim any number of voxels, and the library believes it; no packing is denser than this.
    let most = (bytes.len() as u64).saturating_mul(gzip::HIGHEST_RATIO);
    let file = Hdf5File::from_vec(bytes).map_err(damaged)?;
    let (_, names) = file.root_group().and_then(|root| root.member_names()).map_err(damaged)?;
    let open = |name: &str| file.dataset(name).map_err(damaged);

    if !names.iter().any(|name| name == "image") {
        return Err(Error::file(path, format!("the dataset `image` is missing; the file has {names:?}")));
    }
    let image = values(&open("image")?, most, path)?.mapv(|value| value as f32);
    if !names.iter().any(|name| name == "label") {
        return Ok((image, None));
    }
    let label = values(&open("label")?, most, path)?;
    if label.dim() != image.dim() {
        return Err(Error::file(
            path,
            format!("`image` has shape {:?}, but `label` has {:?}", image.shape(), label.shape()),
        ));
    }
    if let Some((voxel, value)) = label.indexed_iter().find(|&(_, &value)| f64::from(value as u8) != value) {
        return Err(Error::file(
            path,
            format!(
                "`label` has the value {value} at voxel {voxel:?}, but labels are whole numbers in 0..=255"
            ),
        ));
    }
    Ok((image, Some(label.mapv(|value| value as u8))))
}

/// The values of a 3-D dataset of real numbers, at `most` so many.
fn values(dataset: &Dataset, most: u64, path: &Path) -> Result<Array3<f64>> {
    let name = dataset.name();
    let wrong = |message: String| Error::file(path, format!("the dataset `{name}` {message}"));
    let shape = dataset.shape();
    if shape.len() != 3 || shape.contains(&0) {
        return Err(wrong(format!("has shape {shape:?}, but a 3-D grid is needed")));
    }
    let voxels = shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side));
    if voxels.is_none_or(|count| count > most) {
        return Err(wrong(format!("claims {shape:?} voxels, more than the file can hold; it is damaged")));
    }
    let values: ArrayD<f64> = match dataset.dtype() {
        Datatype::FloatingPoint { size: 4, .. } => dataset.read_array::<f32>().map(|a| a.mapv(f64::from)),
        Datatype::FloatingPoint { size: 8, .. } => dataset.read_array::<f64>(),
        Datatype::FixedPoint { size: 1, signed: false, .. } => {
            dataset.read_array::<u8>().map(|a| a.mapv(f64::from))
        }
        Datatype::FixedPoint { size: 1, signed: true, .. } => {
            dataset.read_array::<i8>().map(|a| a.mapv(f64::from))
        }
        Datatype::FixedPoint { size: 2, signed: false, .. } => {
            dataset.read_array::<u16>().map(|a| a.mapv(f64::from))
        }
        Datatype::FixedPoint { size: 2, signed: true, .. } => {
            dataset.read_array::<i16>().map(|a| a.mapv(f64::from))
        }
        Datatype::FixedPoint { size: 4, signed: false, .. } => {
            dataset.read_array::<u32>().map(|a| a.mapv(f64::from))
        }
        Datatype::FixedPoint { size: 4, signed: true, .. } => {
            dataset.read_array::<i32>().map(|a| a.mapv(f64::from))
        }
        Datatype::FixedPoint { size: 8, signed: false, .. } => {
            dataset.read_array::<u64>().map(|a| a.mapv(|v| v as f64))
        }
        Datatype::FixedPoint { size: 8, signed: true, .. } => {
            dataset.read_array::<i64>().map(|a| a.mapv(|v| v as f64))
        }
        other => return Err(wrong(format!("has the type {other:?}, but real numbers are needed"))),
    }
    .map_err(|error| wrong(format!("cannot be read ({error})")))?;
    values.into_dimensionality::<Ix3>().map_err(|error| wrong(format!("is not 3-D ({error})")))
}

#[cfg(test)]
mod tests;
