//! Reading and writing volumes by file name.
use std::fs;
use std::io;
use std::path::Path;

use flate2::Compression;

use crate::budget::Budget;
use crate::nifti::Version;
use crate::stored::{Stored, Voxel, part_to_i_fastest};
use crate::{Error, Image, Result, Volume, metaimage, nifti, nrrd};

mod planes;
mod target;

pub use planes::ImagePlanes;
use target::Target;

/// Reads a scan from NIfTI (`.nii`, or `.hdr` with `.img`, each also `.gz`), NRRD (`.nrrd`, `.nhdr`) or MetaImage (`.mha`,
/// `.mhd`), with the file's intensity scaling applied. With the feature `dicom`, a folder is read as its largest DICOM
/// series (see `dicom::read_series`).
///
/// # Errors
/// Where the file is missing, damaged, cut short, larger than [`READ_LIMIT`](crate::READ_LIMIT), or holds anything but one
/// 3-D grid of scalars; several channels are read by [`read_channels`].
pub fn read_image(path: impl AsRef<Path>) -> Result<Volume<f32>> {
    read(path.as_ref(), Budget::default())?.into_volume(path.as_ref())
}

/// Reads the channels of a scan from files of the formats of [`read_image`], in this order: every channel of each file.
///
/// A file holds several channels as the fourth (or fifth) dimension of NIfTI, as the axis of a 4-D NRRD that is not of
/// space, or as the channels of MetaImage. Which files belong to one scan, the caller knows:
///
/// ```no_run
/// let joined = tandem_volume::read_channels(&["case_0000.nii.gz", "case_0001.nii.gz"])?;
/// let together = tandem_volume::read_channels(&["case.nii.gz"])?;
/// # Ok::<(), tandem_volume::Error>(())
/// ```
///
/// # Errors
/// As for [`read_image`]; where there is no file, or the files do not lie on one grid (to 0.01 mm at every corner).
pub fn read_channels<P: AsRef<Path>>(files: &[P]) -> Result<Image> {
    let mut channels = Vec::new();
    for file in files {
        channels.extend(read(file.as_ref(), Budget::default())?.into_image().into_channels());
    }
    let names =
        || files.iter().map(|file| file.as_ref().display().to_string()).collect::<Vec<_>>().join(", ");
    Image::new(channels).map_err(|error| match error {
        Error::Grid(message) => Error::Grid(format!("{}: {message}", names())),
        other => other,
    })
}

/// Reads a label map from the formats of [`read_image`].
///
/// # Errors
/// As for [`read_image`], and where a voxel is not a whole number in 0..=255.
pub fn read_label(path: impl AsRef<Path>) -> Result<Volume<u8>> {
    read(path.as_ref(), Budget::default())?.into_label(path.as_ref())
}

/// Writes a scan in f32 as NIfTI-1 (`.nii`, `.nii.gz`) or gzipped NRRD (`.nrrd`), aside first and then renamed.
///
/// # Errors
/// Where the name has another ending, a side is 0 or exceeds the 32,767 voxels of NIfTI-1, or the file cannot be written.
pub fn write_image(path: impl AsRef<Path>, image: &Volume<f32>) -> Result<()> {
    write(path.as_ref(), image, Version::One)
}

/// Writes a label map in u8 as NIfTI-1 (`.nii`, `.nii.gz`) or gzipped NRRD (`.nrrd`), aside first and then renamed.
///
/// # Errors
/// As for [`write_image`].
pub fn write_label(path: impl AsRef<Path>, label: &Volume<u8>) -> Result<()> {
    write(path.as_ref(), label, Version::One)
}

/// As [`write_label`], for the scan in the file (or the folder of slices) `scan`: where that is NIfTI-2, a label map in NIfTI
/// is written as NIfTI-2 too, so that its grid stays in double precision.
///
/// # Errors
/// As for [`write_label`], and where `scan` is a NIfTI file that cannot be read.
pub fn write_label_of(scan: impl AsRef<Path>, path: impl AsRef<Path>, label: &Volume<u8>) -> Result<()> {
    write(path.as_ref(), label, version_of(scan.as_ref())?)
}

/// The version of NIfTI that suits the scan in the file (or the folder of slices) `scan`.
fn version_of(scan: &Path) -> Result<Version> {
    let name = scan.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    match ending(&name) {
        Some((.., Format::Nifti)) if !scan.is_dir() => nifti::version(scan),
        _ => Ok(Version::One),
    }
}

/// The formats.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Nifti,
    Nrrd,
    MetaImage,
}

/// What the end of a name says.
const ENDINGS: [(&str, Format); 10] = [
    (".nii", Format::Nifti),
    (".nii.gz", Format::Nifti),
    (".hdr", Format::Nifti),
    (".hdr.gz", Format::Nifti),
    (".img", Format::Nifti),
    (".img.gz", Format::Nifti),
    (".nrrd", Format::Nrrd),
    (".nhdr", Format::Nrrd),
    (".mha", Format::MetaImage),
    (".mhd", Format::MetaImage),
];

/// The name of a scan without the ending of a format that [`read_image`] knows, in any case; `None` where it has none.
///
/// ```
/// assert_eq!(tandem_volume::stem("case.1.nii.gz"), Some("case.1"));
/// assert_eq!(tandem_volume::stem("notes.txt"), None);
/// ```
pub fn stem(name: &str) -> Option<&str> {
    Some(ending(name)?.0)
}

/// The stem of a name, its ending in lower case, and the format.
fn ending(name: &str) -> Option<(&str, &'static str, Format)> {
    let lower = name.to_ascii_lowercase();
    let (ending, format) = ENDINGS.into_iter().find(|(ending, _)| lower.ends_with(ending))?;
    Some((&name[..name.len() - ending.len()], ending, format))
}

/// The grid in a file or a folder of slices; what is taken for it keeps to `budget`.
pub(crate) fn read(path: &Path, budget: Budget) -> Result<Stored> {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    if path.is_dir() {
        return read_folder(path, budget);
    }
    match ending(&name) {
        Some((.., Format::Nifti)) => nifti::read(path, budget),
        Some((.., Format::Nrrd)) => nrrd::read(path, budget),
        Some((.., Format::MetaImage)) => metaimage::read(path, budget),
        None => {
            // A path that leads nowhere is no file to convert.
            fs::metadata(path).map_err(Error::io(path))?;
            let endings = ENDINGS.map(|(ending, _)| ending).join(", ");
            Err(Error::file(
                path,
                format!(
                    "the name ends in none of {endings}; convert the file, or give the folder of a DICOM series"
                ),
            ))
        }
    }
}

#[cfg(feature = "dicom")]
fn read_folder(folder: &Path, budget: Budget) -> Result<Stored> {
    crate::dicom::read(folder, None, budget)
}

#[cfg(not(feature = "dicom"))]
fn read_folder(folder: &Path, _: Budget) -> Result<Stored> {
    Err(Error::file(
        folder,
        "this is a folder; build tandem-volume with the feature `dicom`, which reads folders of DICOM slices",
    ))
}

/// Bytes of voxels that are brought into a file's order at once.
const PART: usize = 16 << 20;

fn write<T: Voxel>(path: &Path, volume: &Volume<T>, version: Version) -> Result<()> {
    let [ni, nj, nk] = volume.shape();
    let target = Target::new::<T>(path, version, volume.shape(), volume.geometry())?;
    target.write(Compression::default(), |file| {
        let depth = (PART / (ni * nj * size_of::<T>())).max(1);
        let mut bytes = Vec::new();
        (0..nk).step_by(depth).try_for_each(|k| -> io::Result<()> {
            bytes.clear();
            T::encode(&part_to_i_fastest(volume.array(), k..nk.min(k + depth)), &mut bytes);
            file.write_all(&bytes)
        })
    })
}

#[cfg(test)]
mod tests;
