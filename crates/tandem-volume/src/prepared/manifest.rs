//! What a prepared folder says about itself.
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Result;

/// The version of the layout that this crate reads and writes.
pub(crate) const FORMAT: u32 = 1;

/// The content of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the layout: 1.
    pub format: u32,
    /// Name of the dataset, such as `la` or `phantom`.
    pub dataset: String,
    /// Where the scans come from and what was done to them, for people.
    pub description: String,
    /// The cases, in the order of their list (the first ones are the labelled ones of an experiment).
    pub cases: Vec<CaseRecord>,
}

/// One case of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseRecord {
    /// Name of the case, and of its files.
    pub id: String,
    /// The list that the case belongs to.
    pub split: Split,
    /// Whether `labels/ID.nii` exists.
    pub labelled: bool,
    /// Voxels along i, j, k.
    pub shape: [usize; 3],
    /// Spacing along i, j, k in mm.
    pub spacing: [f64; 3],
    /// The files that the case was made from.
    pub sources: Vec<Source>,
    /// Statistics of the prepared intensities.
    pub intensity: Intensity,
    /// Voxels with a label above 0; `None` where the case is unlabelled.
    pub foreground_voxels: Option<u64>,
    /// The highest label; `None` where the case is unlabelled.
    pub highest_label: Option<u8>,
    /// What was done to this case only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The list that a case belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training and validation.
    Train,
    /// For the final evaluation only.
    Test,
}

/// Where a case comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The file, relative to the source folder, or what made a synthetic case.
    pub file: String,
    /// SHA-256 of the file in hexadecimal; `None` for a synthetic case.
    pub sha256: Option<String>,
}

impl Source {
    /// The source `name` whose content is the file at `path`.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn of_file(name: impl Into<String>, path: impl AsRef<Path>) -> Result<Self> {
        let _ = (name, path);
        todo!()
    }
}

/// Statistics of all voxels of a prepared image, in the image's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intensity {
    /// Lowest value.
    pub min: f64,
    /// Highest value.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation (divided by n).
    pub sd: f64,
}
