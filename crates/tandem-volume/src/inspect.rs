//! What is in a scan's file, for people and for comparison with other readers.
use std::path::Path;

use serde::Serialize;

use crate::budget::Budget;
use crate::stored::{Scalar, Stored};
use crate::{Geometry, Orientation, Result, files, hdf5};

/// What a file's header claims, how it was taken, and what its voxels are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The format and its version, such as `NIfTI-1`.
    pub format: String,
    /// Voxels along i, j, k.
    pub shape: [usize; 3],
    /// Channels (or times) of each voxel.
    pub channels: usize,
    /// The physical grid; `None` for HDF5, which has none.
    pub grid: Option<Grid>,
    /// The voxels of all channels, of HDF5 those of `image`.
    pub voxels: Values,
    /// The voxels of `label` in HDF5.
    pub label: Option<Values>,
    /// The header's fields by name, as they stand.
    pub claims: Vec<(String, String)>,
    /// What in the header was contradictory or not sound, and how it was taken.
    pub mended: Vec<String>,
}

/// A physical grid in mm, RAS+.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grid {
    /// Distance between neighbouring voxels along i, j, k in mm.
    pub spacing: [f64; 3],
    /// Where i, j, k run to.
    pub orientation: Orientation,
    /// Voxel to mm.
    pub affine: [[f64; 4]; 4],
}

/// Voxels in numbers, after the file's scaling, summed in f64 in the file's order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Values {
    /// The stored type: `u8`, `i16`, `f32` ...; `f32` in DICOM, where each slice has its own scaling.
    pub scalar: String,
    /// Slope and intercept, where they change anything.
    pub scaling: Option<(f64, f64)>,
    /// Lowest finite value; `None` where there is none.
    pub minimum: Option<f64>,
    /// Highest finite value.
    pub maximum: Option<f64>,
    /// Sum of the finite values.
    pub sum: f64,
    /// Mean of the finite values.
    pub mean: Option<f64>,
    /// How many values are NaN or infinite.
    pub not_finite: usize,
}

/// Looks into a scan of any format of [`read_image`](crate::read_image), or into an HDF5 subject (`.h5`, `.hdf5`).
///
/// # Errors
/// As for [`read_image`](crate::read_image) and [`hdf5::read_subject`].
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    within(path.as_ref(), Budget::default())
}

/// As [`inspect()`]; what is taken for it keeps to `budget`.
pub(crate) fn within(path: &Path, budget: Budget) -> Result<Inspection> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    if ending.is_some_and(|ending| ending == "h5" || ending == "hdf5") {
        return of_hdf5(path, budget);
    }
    let stored = files::read(path, budget)?;
    Ok(Inspection {
        shape: stored.shape,
        channels: stored.channels.0,
        grid: Some(Grid::of(&stored.geometry)),
        voxels: of_stored(&stored),
        label: None,
        format: stored.about.format,
        claims: stored.about.claims,
        mended: stored.about.mended,
    })
}

fn of_hdf5(path: &Path, budget: Budget) -> Result<Inspection> {
    let (image, label) = hdf5::read(path, budget)?;
    let layout = |grid: &hdf5::Grid| match &grid.chunks {
        Some(chunks) => format!("chunks of {chunks:?}"),
        None => "contiguous".to_owned(),
    };
    let values = |grid: &hdf5::Grid| {
        let mut values = Values::new(grid.scalar, None);
        grid.values.iter().for_each(|&value| values.add(value));
        values.finished(grid.values.len())
    };
    let mut claims = vec![("image".to_owned(), layout(&image))];
    claims.extend(label.iter().map(|label| ("label".to_owned(), layout(label))));
    let (i, j, k) = image.values.dim();
    Ok(Inspection {
        format: "HDF5".to_owned(),
        shape: [i, j, k],
        channels: 1,
        grid: None,
        voxels: values(&image),
        label: label.as_ref().map(values),
        claims,
        mended: Vec::new(),
    })
}

fn of_stored(stored: &Stored) -> Values {
    let mut values = Values::new(stored.scalar, stored.scaling);
    let (slope, intercept) = stored.scaling.unwrap_or((1.0, 0.0));
    stored.for_each(|_, value| values.add(value * slope + intercept));
    values.finished(stored.bytes.len() / stored.scalar.size())
}

impl Values {
    fn new(scalar: Scalar, scaling: Option<(f64, f64)>) -> Self {
        let scalar = format!("{scalar:?}").to_lowercase();
        Values { scalar, scaling, minimum: None, maximum: None, sum: 0.0, mean: None, not_finite: 0 }
    }

    fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.not_finite += 1;
            return;
        }
        self.minimum = Some(self.minimum.map_or(value, |least| least.min(value)));
        self.maximum = Some(self.maximum.map_or(value, |most| most.max(value)));
        self.sum += value;
    }

    /// With the mean of the finite ones among `count` values.
    fn finished(mut self, count: usize) -> Self {
        let finite = count - self.not_finite;
        self.mean = (finite > 0).then(|| self.sum / finite as f64);
        self
    }
}

impl Grid {
    fn of(geometry: &Geometry) -> Self {
        Grid {
            spacing: geometry.spacing(),
            orientation: Orientation::of(geometry),
            affine: geometry.affine(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::{Volume, write_image};

    #[test]
    fn a_scan_is_described() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scan.nii.gz");
        let direction = [[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]];
        let grid = Geometry::new([0.5, 1.0, 2.0], [1.0, 2.0, 3.0], direction).unwrap();
        let mut array = Array3::from_shape_fn([2, 3, 4], |(i, j, k)| (i + j + k) as f32 - 1.0);
        array[[0, 0, 0]] = f32::NAN;
        write_image(&path, &Volume::new(array, grid.clone())).unwrap();
        let found = inspect(&path).unwrap();
        assert_eq!((found.format.as_str(), found.shape), ("NIfTI-1", [2, 3, 4]));
        let Grid { spacing, orientation, affine } = found.grid.unwrap();
        assert_eq!(
            (spacing, orientation.to_string().as_str(), affine),
            (grid.spacing(), "LIA", grid.affine())
        );
        let voxels = found.voxels;
        assert_eq!((voxels.scalar.as_str(), voxels.scaling, voxels.not_finite), ("f32", None, 1));
        assert_eq!((voxels.minimum, voxels.maximum), (Some(0.0), Some(5.0)));
        // 24 voxels with a mean of 3 - 1, without one of -1.
        assert_eq!((voxels.sum, voxels.mean), (49.0, Some(49.0 / 23.0)));
        assert!(found.claims.iter().any(|(name, value)| name == "datatype" && value == "16"));
        assert!(found.mended.is_empty(), "{:?}", found.mended);
    }

    #[test]
    fn an_hdf5_subject_has_no_grid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/la.h5");
        let found = inspect(path).unwrap();
        assert_eq!((found.format.as_str(), found.shape, found.grid), ("HDF5", [5, 4, 3], None));
        // The sum over i + 10 j + 100 k, all divided by 8.
        assert_eq!(found.voxels.sum, 60.0 * (2.0 + 15.0 + 100.0) / 8.0);
        assert_eq!((found.label.unwrap().maximum, found.voxels.scalar.as_str()), (Some(1.0), "f32"));
    }
}
