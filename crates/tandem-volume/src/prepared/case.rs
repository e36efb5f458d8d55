//! Reading prepared cases, whole or by the patch.
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ndarray::{Array3, Array4, Axis};
use sha2::{Digest, Sha256};

use super::manifest::{Manifest, hexadecimal};
use super::planes::Planes;
use crate::stored::Voxel;
use crate::{Error, Geometry, Image, Result, Subject, Volume};

/// An opened folder of prepared cases.
#[derive(Clone, Debug)]
pub struct PreparedSet {
    dir: PathBuf,
    manifest: Manifest,
    digest: String,
}

impl PreparedSet {
    /// Opens the prepared folder `dir`.
    ///
    /// # Errors
    /// Where the manifest is missing, unreadable, of another version, or names a case twice.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        let path = dir.join("manifest.json");
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let manifest = Manifest::parse(&bytes, &path)?;
        Ok(PreparedSet { dir, manifest, digest: hexadecimal(&Sha256::digest(&bytes)) })
    }

    /// What the folder says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the manifest's bytes in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Opens one case.
    ///
    /// # Errors
    /// Where there is no such case, or its files are missing, damaged, or not what the manifest says.
    pub fn case(&self, id: &str) -> Result<PreparedCase> {
        self.open_case(id, true)
    }

    /// Opens one case as if it had no label map: the file of that, where there is one, is not touched.
    ///
    /// # Errors
    /// As [`PreparedSet::case`].
    pub fn unlabelled_case(&self, id: &str) -> Result<PreparedCase> {
        self.open_case(id, false)
    }

    fn open_case(&self, id: &str, with_label: bool) -> Result<PreparedCase> {
        let Some(record) = self.manifest.case(id) else {
            return Err(Error::file(
                &self.dir,
                format!("the folder has no case {id:?}; see its manifest.json"),
            ));
        };
        let file = format!("{id}.nii");
        let channels = self.manifest.channels.count();
        let image = Planes::<f32>::open(self.dir.join("images").join(&file), record.shape, channels)?;
        let label = if record.labelled && with_label {
            Some(Planes::<u8>::open(self.dir.join("labels").join(&file), record.shape, 1)?)
        } else {
            None
        };
        Ok(PreparedCase { image, label })
    }

    /// Reads one case whole.
    ///
    /// # Errors
    /// As for [`PreparedSet::case`], and where image and label map do not lie on one grid.
    pub fn subject(&self, id: &str) -> Result<Subject> {
        let case = self.case(id)?;
        Subject::new(id, case.read_image()?, case.read_label()?)
    }
}

/// One prepared case, opened: whole volumes and patches are read from it, by several threads if they like.
#[derive(Debug)]
pub struct PreparedCase {
    image: Planes<f32>,
    label: Option<Planes<u8>>,
}

impl PreparedCase {
    /// Voxels along i, j, k.
    pub fn shape(&self) -> [usize; 3] {
        self.image.shape()
    }

    /// Channels of the image.
    pub fn channels(&self) -> usize {
        self.image.channels()
    }

    /// The physical grid.
    pub fn geometry(&self) -> &Geometry {
        self.image.geometry()
    }

    /// Reads the whole image, with all its channels.
    ///
    /// # Errors
    /// Where the file cannot be read or has shrunk.
    pub fn read_image(&self) -> Result<Image> {
        Ok(Image::on_one_grid(
            (0..self.channels()).map(|channel| whole(&self.image, channel)).collect::<Result<_>>()?,
        ))
    }

    /// Reads the whole label map; `None` where the case is unlabelled.
    ///
    /// # Errors
    /// Where the file cannot be read or has shrunk.
    pub fn read_label(&self) -> Result<Option<Volume<u8>>> {
        self.label.as_ref().map(|label| whole(label, 0)).transpose()
    }

    /// Reads the patch of `size` voxels from voxel `start`, without loading the volume: one positioned read a plane and
    /// channel. Voxels outside the volume are 0.
    ///
    /// # Shapes
    /// The image is `(C, i, j, k)`, the label map `(i, j, k)`.
    ///
    /// # Errors
    /// Where a side of the patch is 0, or a file cannot be read or has shrunk.
    pub fn read_patch(&self, start: [i64; 3], size: [usize; 3]) -> Result<(Array4<f32>, Option<Array3<u8>>)> {
        let label = self.label.as_ref().map(|label| label.read_patch(0, start, size)).transpose()?;
        let channel = |channel| Ok(self.image.read_patch(channel, start, size)?.insert_axis(Axis(0)));
        let mut image: Array4<f32> = channel(0)?;
        for further in 1..self.channels() {
            image
                .append(Axis(0), channel(further)?.view())
                .map_err(|error| Error::Argument(error.to_string()))?;
        }
        Ok((image, label))
    }
}

fn whole<T: Voxel>(planes: &Planes<T>, channel: usize) -> Result<Volume<T>> {
    Ok(Volume::new(planes.read_patch(channel, [0; 3], planes.shape())?, planes.geometry().clone()))
}

/// Reads from a position of a file, without moving a cursor that other threads share.
#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Reads from a position of a file.
#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !buffer.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[count..];
        offset += count as u64;
    }
    Ok(())
}
