//! Writing a prepared folder, all or nothing.
use std::path::Path;

use super::case::PreparedSet;
use super::manifest::{Source, Split};
use crate::{Result, Subject};

/// Writes a prepared folder aside; [`Writer::finish`] renames it into place. A writer that is dropped before that
/// leaves nothing behind.
#[derive(Debug)]
pub struct Writer {}

/// A case to be added to a prepared folder.
#[derive(Clone, Debug)]
pub struct NewCase<'a> {
    /// Name, prepared image and label map.
    pub subject: &'a Subject,
    /// The list that the case belongs to.
    pub split: Split,
    /// The files that it was made from.
    pub sources: Vec<Source>,
    /// What was done to this case only.
    pub note: Option<String>,
}

impl Writer {
    /// Starts the folder `dir`, which must not exist, for `dataset`; `description` says where the scans come from and
    /// what was done to them.
    ///
    /// # Errors
    /// Where `dir` exists already, or the folder aside cannot be made.
    pub fn create(
        dir: impl AsRef<Path>,
        dataset: impl Into<String>,
        description: impl Into<String>,
    ) -> Result<Self> {
        let _ = (dir, dataset.into(), description.into());
        todo!()
    }

    /// Writes a case and its entry in the manifest.
    ///
    /// # Errors
    /// Where the id is not a plain file name or is taken, a voxel is not finite, or a file cannot be written.
    pub fn add(&mut self, case: NewCase<'_>) -> Result<()> {
        let _ = case;
        todo!()
    }

    /// Writes the manifest, renames the folder into place and opens it.
    ///
    /// # Errors
    /// Where there is no case, or the folder cannot be renamed.
    pub fn finish(self) -> Result<PreparedSet> {
        todo!()
    }
}
