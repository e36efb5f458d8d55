//! A file of one volume that is about to be written.
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Format, ending};
use crate::nifti::{self, Version};
use crate::stored::Voxel;
use crate::whole::write_whole_by;
use crate::{Error, Geometry, Result, nrrd};

/// Where a volume goes, and what comes before its voxels there.
pub(super) struct Target {
    path: PathBuf,
    start: Vec<u8>,
    packing: Packing,
}

/// What of a file is gzipped.
enum Packing {
    Nothing,
    All,
    /// All but the header.
    Voxels,
}

impl Target {
    /// A file of voxels of type `T`, in the format that the end of its name says.
    ///
    /// # Errors
    /// Where the name has another ending than `.nii`, `.nii.gz` and `.nrrd`, or the format holds no such grid.
    pub(super) fn new<T: Voxel>(
        path: &Path,
        version: Version,
        shape: [usize; 3],
        geometry: &Geometry,
    ) -> Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let nifti = || nifti::start::<T>(version, shape, 1, Some(geometry), path);
        let (start, packing) = match ending(&name) {
            Some((_, ".nii", _)) => (nifti()?, Packing::Nothing),
            Some((_, ".nii.gz", _)) => (nifti()?, Packing::All),
            Some((_, ".nrrd", Format::Nrrd)) => (nrrd::start::<T>(shape, geometry, path)?, Packing::Voxels),
            _ => {
                let problem = "volumes are written as .nii, .nii.gz or .nrrd; choose such a name";
                return Err(Error::file(path, problem));
            }
        };
        Ok(Target { path: path.to_owned(), start, packing })
    }

    /// Writes the file aside with the voxels that `write` gives, i fastest and little endian, and renames it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn write(
        &self,
        level: Compression,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        write_whole_by(&self.path, |file| {
            let mut file = BufWriter::new(file);
            if !matches!(self.packing, Packing::All) {
                file.write_all(&self.start)?;
            }
            if let Packing::Nothing = self.packing {
                write(&mut file)?;
                return file.flush();
            }
            let mut encoder = GzEncoder::new(file, level);
            if let Packing::All = self.packing {
                encoder.write_all(&self.start)?;
            }
            write(&mut encoder)?;
            encoder.finish()?.flush()
        })
    }
}
