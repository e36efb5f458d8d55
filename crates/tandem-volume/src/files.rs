//! Reading and writing volumes by file name.
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::nifti::{self, Voxel};
use crate::stored::Stored;
use crate::{Error, Result, Volume, nrrd};

/// Reads a scan from NIfTI (`.nii`, `.nii.gz`) or NRRD (`.nrrd`), with the file's intensity scaling applied. With the
/// feature `dicom`, a folder is read as its largest DICOM series (see `dicom::read_series`).
///
/// # Errors
/// Where the file is missing, damaged, cut short, or holds anything but one 3-D grid of scalars.
pub fn read_image(path: impl AsRef<Path>) -> Result<Volume<f32>> {
    let path = path.as_ref();
    if path.is_dir() { read_folder(path) } else { Ok(read(path)?.into_image()) }
}

#[cfg(feature = "dicom")]
fn read_folder(folder: &Path) -> Result<Volume<f32>> {
    crate::dicom::read_series(folder, None)
}

#[cfg(not(feature = "dicom"))]
fn read_folder(folder: &Path) -> Result<Volume<f32>> {
    Err(Error::file(
        folder,
        "this is a folder; DICOM series are read with the feature `dicom` of tandem-volume",
    ))
}

/// Reads a label map from NIfTI (`.nii`, `.nii.gz`) or NRRD (`.nrrd`).
///
/// # Errors
/// As for [`read_image`], and where a voxel is not a whole number in 0..=255.
pub fn read_label(path: impl AsRef<Path>) -> Result<Volume<u8>> {
    read(path.as_ref())?.into_label(path.as_ref())
}

/// Writes a scan as NIfTI-1 in f32 (`.nii` or `.nii.gz`), aside first and then renamed.
///
/// # Errors
/// Where the name has another ending, a side is 0 or exceeds 32,767 voxels, or the file cannot be written.
pub fn write_image(path: impl AsRef<Path>, image: &Volume<f32>) -> Result<()> {
    write(path.as_ref(), image)
}

/// Writes a label map as NIfTI-1 in u8 (`.nii` or `.nii.gz`), aside first and then renamed.
///
/// # Errors
/// As for [`write_image`].
pub fn write_label(path: impl AsRef<Path>, label: &Volume<u8>) -> Result<()> {
    write(path.as_ref(), label)
}

/// The formats, told by the end of the name.
enum Format {
    Nifti,
    NiftiGzip,
    Nrrd,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        [(".nii", Format::Nifti), (".nii.gz", Format::NiftiGzip), (".nrrd", Format::Nrrd)]
            .into_iter()
            .find_map(|(ending, format)| name.ends_with(ending).then_some(format))
    }
}

fn read(path: &Path) -> Result<Stored> {
    match Format::of(path) {
        Some(Format::Nifti | Format::NiftiGzip) => nifti::read(path),
        Some(Format::Nrrd) => nrrd::read(path),
        None => Err(Error::file(path, "the name does not end in .nii, .nii.gz or .nrrd; convert the file")),
    }
}

fn write<T: Voxel>(path: &Path, volume: &Volume<T>) -> Result<()> {
    match Format::of(path) {
        Some(Format::Nifti) => write_aside(path, &nifti::encode(volume, path)?),
        Some(Format::NiftiGzip) => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&nifti::encode(volume, path)?).map_err(Error::io(path))?;
            write_aside(path, &encoder.finish().map_err(Error::io(path))?)
        }
        _ => Err(Error::file(path, "volumes are written as .nii or .nii.gz; choose such a name")),
    }
}

/// Writes `bytes` beside `path`, syncs them, and renames them into place: a reader sees the old file or the new one,
/// never a part.
pub(crate) fn write_aside(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = aside(path);
    let written = File::create(&aside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, path));
    written.map_err(|error| {
        // What cannot be removed either is reported by the first error.
        let _ = fs::remove_file(&aside);
        Error::io(path)(error)
    })
}

/// A hidden name beside `path`, of this process only.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests;
