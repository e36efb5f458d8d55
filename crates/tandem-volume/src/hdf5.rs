//! Subjects in the LA benchmark's HDF5 layout.
use std::fs;
use std::path::Path;

use hdf5_reader::{Dataset, Datatype, Hdf5File, OpenOptions};
use ndarray::{Array3, ArrayD, Ix3};

use crate::budget::Budget;
use crate::stored::Scalar;
use crate::{Error, Result, gzip};

/// Reads the datasets `image` and, where it exists, `label` of an HDF5 file such as the LA benchmark's `mri_norm2.h5`.
///
/// Both have shape `[i, j, k]`. The layout has no geometry: the caller knows the spacing (LA: 0.625 mm).
///
/// # Errors
/// Where the file is missing, damaged or larger than [`READ_LIMIT`](crate::READ_LIMIT), `image` is missing or not 3-D, or
/// `label` differs in shape or has values that are not whole numbers in 0..=255.
pub fn read_subject(path: impl AsRef<Path>) -> Result<(Array3<f32>, Option<Array3<u8>>)> {
    read_within(path.as_ref(), Budget::default())
}

/// As [`read_subject`]; what is taken for it keeps to `budget`.
pub(crate) fn read_within(path: &Path, budget: Budget) -> Result<(Array3<f32>, Option<Array3<u8>>)> {
    let (image, label) = read(path, budget)?;
    let label = label.map(|label| whole_numbers(&label.values, path)).transpose()?;
    Ok((image.values.mapv(|value| value as f32), label))
}

/// The voxels of a dataset, and how the file stores them.
pub(crate) struct Grid {
    pub(crate) values: Array3<f64>,
    pub(crate) scalar: Scalar,
    /// Sides of a chunk; `None` where the voxels lie in one piece.
    pub(crate) chunks: Option<Vec<u32>>,
}

/// The grids `image` and, where it exists, `label`, which have one shape.
pub(crate) fn read(path: &Path, budget: Budget) -> Result<(Grid, Option<Grid>)> {
    let length = fs::metadata(path).map_err(Error::io(path))?.len();
    if length > budget.0 {
        return Err(Error::file(
            path,
            format!("the file has {length} bytes, more than the limit of {}; split it by scan", budget.0),
        ));
    }
    // Read at once rather than mapped: a file that shrinks under a map ends the program.
    parse(fs::read(path).map_err(Error::io(path))?, path, budget)
}

/// The grids in the bytes of the file at `path`.
fn parse(bytes: Vec<u8>, path: &Path, budget: Budget) -> Result<(Grid, Option<Grid>)> {
    let damaged = |error: hdf5_reader::error::Error| {
        Error::file(
            path,
            format!("the HDF5 file cannot be read ({error}); copy or download it again, or save it anew"),
        )
    };
    // A damaged file may claim any number of voxels, and the library believes it; no packing is denser than this.
    let most = (bytes.len() as u64).saturating_mul(gzip::HIGHEST_RATIO).min(budget.0);
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    let options = OpenOptions { max_chunk_bytes: limit, max_read_bytes: limit, ..OpenOptions::default() };
    let file = Hdf5File::from_vec_with_options(bytes, options).map_err(damaged)?;
    let (_, names) = file.root_group().and_then(|root| root.member_names()).map_err(damaged)?;
    let open = |name: &str| file.dataset(name).map_err(damaged);

    if !names.iter().any(|name| name == "image") {
        return Err(Error::file(
            path,
            format!("the dataset `image` is missing; the file has {names:?}, rename the one you mean"),
        ));
    }
    let image = grid(&open("image")?, most, budget, path)?;
    if !names.iter().any(|name| name == "label") {
        return Ok((image, None));
    }
    let label = grid(&open("label")?, most, budget, path)?;
    if label.values.dim() != image.values.dim() {
        return Err(Error::file(
            path,
            format!(
                "`image` has shape {:?}, but `label` has {:?}; resample the label map to the image",
                image.values.shape(),
                label.values.shape()
            ),
        ));
    }
    Ok((image, Some(label)))
}

/// The voxels of a 3-D dataset of real numbers, which take at most `most` bytes in the file.
fn grid(dataset: &Dataset, most: u64, budget: Budget, path: &Path) -> Result<Grid> {
    let name = dataset.name();
    let wrong = |message: String| Error::file(path, format!("the dataset `{name}` {message}"));
    let sides: Option<Vec<usize>> = dataset.shape().iter().map(|&side| usize::try_from(side).ok()).collect();
    let shape =
        sides.and_then(|sides| <[usize; 3]>::try_from(sides).ok()).filter(|shape| !shape.contains(&0));
    let shape = shape.ok_or_else(|| {
        let shape = dataset.shape();
        wrong(format!("has shape {shape:?}, but a 3-D grid is needed; extract the volume you mean"))
    })?;
    let scalar = scalar(dataset.dtype()).ok_or_else(|| {
        let kind = dataset.dtype();
        wrong(format!("has the type {kind:?}, but real numbers are needed; convert it"))
    })?;
    // All values pass through f64.
    budget.stored_bytes(shape, 1, size_of::<f64>(), path)?;
    if budget.stored_bytes(shape, 1, scalar.size(), path)? > most {
        return Err(wrong(format!(
            "claims {shape:?} voxels, more than the file can hold; it is damaged, copy or download it again"
        )));
    }
    let values = values(dataset, scalar).map_err(|error| {
        wrong(format!("cannot be read ({error}); copy or download the file again, or save it with gzip"))
    })?;
    let values = values
        .into_dimensionality::<Ix3>()
        .map_err(|error| wrong(format!("is not 3-D ({error}); extract the volume you mean")))?;
    Ok(Grid { values, scalar, chunks: dataset.chunks() })
}

fn scalar(kind: &Datatype) -> Option<Scalar> {
    Some(match kind {
        Datatype::FloatingPoint { size: 4, .. } => Scalar::F32,
        Datatype::FloatingPoint { size: 8, .. } => Scalar::F64,
        Datatype::FixedPoint { size: 1, signed: false, .. } => Scalar::U8,
        Datatype::FixedPoint { size: 1, signed: true, .. } => Scalar::I8,
        Datatype::FixedPoint { size: 2, signed: false, .. } => Scalar::U16,
        Datatype::FixedPoint { size: 2, signed: true, .. } => Scalar::I16,
        Datatype::FixedPoint { size: 4, signed: false, .. } => Scalar::U32,
        Datatype::FixedPoint { size: 4, signed: true, .. } => Scalar::I32,
        Datatype::FixedPoint { size: 8, signed: false, .. } => Scalar::U64,
        Datatype::FixedPoint { size: 8, signed: true, .. } => Scalar::I64,
        _ => return None,
    })
}

fn values(dataset: &Dataset, scalar: Scalar) -> hdf5_reader::error::Result<ArrayD<f64>> {
    match scalar {
        Scalar::F64 => dataset.read_array::<f64>(),
        Scalar::F32 => dataset.read_array::<f32>().map(|array| array.mapv(f64::from)),
        Scalar::U8 => dataset.read_array::<u8>().map(|array| array.mapv(f64::from)),
        Scalar::I8 => dataset.read_array::<i8>().map(|array| array.mapv(f64::from)),
        Scalar::U16 => dataset.read_array::<u16>().map(|array| array.mapv(f64::from)),
        Scalar::I16 => dataset.read_array::<i16>().map(|array| array.mapv(f64::from)),
        Scalar::U32 => dataset.read_array::<u32>().map(|array| array.mapv(f64::from)),
        Scalar::I32 => dataset.read_array::<i32>().map(|array| array.mapv(f64::from)),
        Scalar::U64 => dataset.read_array::<u64>().map(|array| array.mapv(|value| value as f64)),
        Scalar::I64 => dataset.read_array::<i64>().map(|array| array.mapv(|value| value as f64)),
    }
}

fn whole_numbers(label: &Array3<f64>, path: &Path) -> Result<Array3<u8>> {
    if let Some(((i, j, k), &value)) =
        label.indexed_iter().find(|&(_, &value)| f64::from(value as u8) != value)
    {
        return Err(Error::Label { path: path.to_owned(), voxel: [i, j, k], value });
    }
    Ok(label.mapv(|value| value as u8))
}

#[cfg(test)]
mod tests;
