//! Reading prepared cases, whole or by the patch.
use std::path::Path;

use ndarray::Array3;

use super::manifest::Manifest;
use crate::{Geometry, Result, Volume};

/// An opened folder of prepared cases.
#[derive(Clone, Debug)]
pub struct PreparedSet {
    manifest: Manifest,
    digest: String,
}

impl PreparedSet {
    /// Opens the prepared folder `dir`.
    ///
    /// # Errors
    /// Where the manifest is missing, unreadable, of another version, or names a case twice.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let _ = dir;
        todo!()
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
        let _ = id;
        todo!()
    }
}

/// One prepared case, opened: whole volumes and patches are read from it.
#[derive(Debug)]
pub struct PreparedCase {
    shape: [usize; 3],
    geometry: Geometry,
}

impl PreparedCase {
    /// Voxels along i, j, k.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The physical grid.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Reads the whole image.
    ///
    /// # Errors
    /// Where the file cannot be read or has shrunk.
    pub fn read_image(&self) -> Result<Volume<f32>> {
        todo!()
    }

    /// Reads the whole label map; `None` where the case is unlabelled.
    ///
    /// # Errors
    /// Where the file cannot be read or has shrunk.
    pub fn read_label(&self) -> Result<Option<Volume<u8>>> {
        todo!()
    }

    /// Reads the patch of `size` voxels from `start`, without loading the volume. Voxels outside it are 0.
    ///
    /// # Errors
    /// Where a side of the patch is 0, or a file cannot be read or has shrunk.
    pub fn read_patch(&self, start: [i64; 3], size: [usize; 3]) -> Result<(Array3<f32>, Option<Array3<u8>>)> {
        let _ = (start, size);
        todo!()
    }
}
