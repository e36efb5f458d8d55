//! Scans that are written plane by plane.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use ndarray::Array2;

use super::target::Target;
use super::{PART, version_of};
use crate::stored::reversed;
use crate::whole::aside;
use crate::{Error, Geometry, Result};

/// Bytes of a voxel.
const VALUE: usize = size_of::<f32>();

/// A scan in f32 that is written plane by plane, each with one index along i, and never lies in memory as a whole.
///
/// In files i is the fastest axis, so that no plane has a place of its own: until all are there, they lie in a file beside
/// the one that is written, which has no name any more, or ends in `.partial` where the system wants one.
///
/// ```no_run
/// use ndarray::Array2;
/// use tandem_volume::{ImagePlanes, read_image};
/// let scan = read_image("scan.nii.gz")?;
/// let [ni, nj, nk] = scan.shape();
/// let mut planes = ImagePlanes::create_of("scan.nii.gz", "map.nii.gz", scan.shape(), scan.geometry())?;
/// for i in 0..ni {
///     planes.put(i, &Array2::zeros((nj, nk)))?;
/// }
/// planes.finish()?;
/// # Ok::<(), tandem_volume::Error>(())
/// ```
pub struct ImagePlanes {
    target: Target,
    path: PathBuf,
    shape: [usize; 3],
    /// Which planes are there.
    there: Vec<bool>,
    /// The values in the order i, k, j: j is the fastest.
    planes: File,
    planes_path: PathBuf,
}

impl ImagePlanes {
    /// Begins the file `path`: NIfTI (`.nii`, `.nii.gz`) in the version of the scan in the file (or the folder of slices)
    /// `scan`, as for [`write_label_of`](crate::write_label_of), or gzipped NRRD (`.nrrd`).
    ///
    /// # Errors
    /// As for [`write_image`](crate::write_image), and where `scan` is a NIfTI file that cannot be read.
    pub fn create_of(
        scan: impl AsRef<Path>,
        path: impl AsRef<Path>,
        shape: [usize; 3],
        geometry: &Geometry,
    ) -> Result<Self> {
        let path = path.as_ref();
        let target = Target::new::<f32>(path, version_of(scan.as_ref())?, shape, geometry)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".planes");
        let planes_path = aside(&path.with_file_name(name));
        let open = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&planes_path);
        let planes = open.map_err(Error::io(&planes_path))?;
        // The file stays until it is closed, and goes then however that happens; where the system does not allow it, it
        // goes when this is dropped.
        let _ = fs::remove_file(&planes_path);
        let there = vec![false; shape[0]];
        let created = ImagePlanes { target, path: path.to_owned(), shape, there, planes, planes_path };
        let bytes = shape.iter().product::<usize>() * VALUE;
        created.planes.set_len(bytes as u64).map_err(Error::io(path))?;
        Ok(created)
    }

    /// Puts the plane `(j, k)` with index `i` where it belongs.
    ///
    /// # Errors
    /// Where the scan has no such plane, or the disk is full.
    pub fn put(&mut self, i: usize, plane: &Array2<f32>) -> Result<()> {
        let [ni, nj, nk] = self.shape;
        if i >= ni || plane.dim() != (nj, nk) {
            let (sides, shape) = (plane.dim(), self.shape);
            return Err(Error::Argument(format!(
                "plane {i} of {sides:?} voxels is none of a scan of {shape:?}; give it those of its own grid"
            )));
        }
        let plane = plane.as_standard_layout();
        let values = plane.as_slice().unwrap_or_default();
        let turned = reversed(|j, _| &values[j * nk..][..nk], [nj, 1, nk], f32::to_le_bytes);
        let start = (i * nj * nk * VALUE) as u64;
        let mut file = &self.planes;
        let written = file.seek(SeekFrom::Start(start)).and_then(|_| file.write_all(turned.as_flattened()));
        written.map_err(Error::io(&self.path))?;
        self.there[i] = true;
        Ok(())
    }

    /// Writes the file, aside first and then renamed.
    ///
    /// # Errors
    /// Where a plane is missing, or the file cannot be written.
    pub fn finish(self) -> Result<()> {
        if let Some(missing) = self.there.iter().position(|there| !there) {
            return Err(Error::Argument(format!(
                "{}: plane {missing} was not put; put every one before the file is finished",
                self.path.display()
            )));
        }
        let [ni, nj, nk] = self.shape;
        let depth = (PART / (ni * nj * VALUE)).max(1);
        // Noise in the last bits of a float does not pack, however long one tries.
        self.target.write(Compression::fast(), |file| {
            (0..nk).step_by(depth).try_for_each(|k| {
                let row = (nk.min(k + depth) - k) * nj;
                let values = self.part(k, row)?;
                let turned = reversed(|i, _| &values[i * row..][..row], [ni, 1, row], |value| value);
                file.write_all(turned.as_flattened())
            })
        })
    }

    /// The values of each plane from `k` on, `row` of them: in the order i, k, j.
    fn part(&self, k: usize, row: usize) -> io::Result<Vec<[u8; VALUE]>> {
        let [ni, nj, nk] = self.shape;
        let mut values = vec![[0; VALUE]; ni * row];
        let mut file = &self.planes;
        for (i, values) in values.chunks_exact_mut(row).enumerate() {
            file.seek(SeekFrom::Start(((i * nk + k) * nj * VALUE) as u64))?;
            file.read_exact(values.as_flattened_mut())?;
        }
        Ok(values)
    }
}

impl Drop for ImagePlanes {
    fn drop(&mut self) {
        // Where it has gone already there is nothing to remove.
        let _ = fs::remove_file(&self.planes_path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Volume, read_image, write_image};
    use ndarray::{Array3, Axis};

    fn scan(shape: [usize; 3]) -> Volume<f32> {
        let array = Array3::from_shape_fn(shape, |(i, j, k)| (100 * i + 10 * j + k) as f32 + 0.25);
        let geometry = Geometry::with_spacing([1.0, 1.5, 2.0]).unwrap();
        Volume::new(array, geometry.starting_at([3.0, -2.0, 5.0]).unwrap())
    }

    #[test]
    fn planes_in_any_order_make_the_file_of_the_whole_scan() {
        let folder = tempfile::tempdir().unwrap();
        // The second one is more than a part: of 64 x 64 voxels, 1024 planes along k are.
        for (shape, ending) in [([5, 7, 6], "nii.gz"), ([64, 64, 1100], "nii"), ([3, 1, 4], "nrrd")] {
            let scan = scan(shape);
            let (whole, by_planes) = (
                folder.path().join(format!("whole.{ending}")),
                folder.path().join(format!("planes.{ending}")),
            );
            write_image(&whole, &scan).unwrap();
            let mut planes = ImagePlanes::create_of(&whole, &by_planes, shape, scan.geometry()).unwrap();
            for i in (0..shape[0]).rev() {
                planes.put(i, &scan.array().index_axis(Axis(0), i).to_owned()).unwrap();
            }
            planes.finish().unwrap();
            assert_eq!(read_image(&by_planes).unwrap(), scan, "{ending}");
            if ending == "nii" {
                assert_eq!(fs::read(by_planes).unwrap(), fs::read(whole).unwrap());
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6, "nothing is left beside them");
    }

    #[test]
    fn what_is_missing_or_foreign_is_refused_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, scan) = (folder.path().join("map.nrrd"), scan([3, 4, 5]));
        let plane = |side| Array2::zeros((side, 5));
        let mut planes = ImagePlanes::create_of("scan.mha", &path, [3, 4, 5], scan.geometry()).unwrap();
        assert!(planes.put(3, &plane(4)).is_err() && planes.put(0, &plane(5)).is_err());
        planes.put(0, &plane(4)).unwrap();
        planes.put(2, &plane(4)).unwrap();
        let message = planes.finish().unwrap_err().to_string();
        assert!(message.contains("map.nrrd: plane 1 was not put"), "{message}");
        assert!(
            ImagePlanes::create_of("scan.mha", folder.path().join("x.png"), [3; 3], scan.geometry()).is_err()
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
