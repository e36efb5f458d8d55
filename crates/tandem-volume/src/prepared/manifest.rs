//! What a prepared folder says about itself.
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::names::Names;
use crate::{Error, Orientation, Result};

/// The version of the layout that this crate writes.
pub(super) const FORMAT: u32 = 2;
/// The oldest one that it reads: that of scans of one channel, with nothing named.
const OLDEST: u32 = 1;

/// The content of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the layout: 2.
    pub format: u32,
    /// Name of the dataset, such as `la` or `phantom`.
    pub dataset: String,
    /// Where the scans come from and what was done to them, for people.
    pub description: String,
    /// How the raw intensities of each channel were normalised; empty where the dataset has its own way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub normalisation: Vec<Normalisation>,
    /// Which way the axes of every scan run; none where they run as they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<Orientation>,
    /// The channels of every image.
    #[serde(default = "one")]
    pub channels: Names,
    /// The classes of the label maps, background included.
    #[serde(default = "unknown")]
    pub classes: Names,
    /// The cases, in the order of their list (the first ones are the labelled ones of an experiment).
    pub cases: Vec<CaseRecord>,
}

fn one() -> Names {
    Names::Numbered(1)
}

/// Until the cases have been looked at.
pub(super) fn unknown() -> Names {
    Names::Numbered(0)
}

impl Manifest {
    /// Parses and checks the bytes of the manifest at `path`.
    pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| {
            Error::file(path, format!("the manifest is not valid ({error}); prepare again"))
        };
        // The version first: another one may have any fields.
        let Version { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if !(OLDEST..=FORMAT).contains(&format) {
            return Err(Error::file(
                path,
                format!(
                    "the folder has format {format}, but this version reads {OLDEST} to {FORMAT}; prepare the data again"
                ),
            ));
        }
        let mut manifest: Manifest = serde_json::from_slice(bytes).map_err(unreadable)?;
        manifest.count_classes();
        let mut ids = BTreeSet::new();
        for case in &manifest.cases {
            check_id(&case.id).map_err(|message| Error::file(path, message))?;
            if !ids.insert(&case.id) {
                return Err(Error::file(
                    path,
                    format!("the case {:?} is listed twice; prepare again", case.id),
                ));
            }
        }
        Ok(manifest)
    }

    /// Where nobody said how many classes there are: those up to the highest label, and at least two.
    pub(super) fn count_classes(&mut self) {
        if self.classes == unknown() {
            let highest = self.cases.iter().filter_map(|case| case.highest_label).max();
            self.classes = Names::Numbered(usize::from(highest.unwrap_or(0).max(1)) + 1);
        }
    }

    /// The entry of a case.
    pub fn case(&self, id: &str) -> Option<&CaseRecord> {
        self.cases.iter().find(|case| case.id == id)
    }
}

/// Says why `id` cannot name a file.
pub(crate) fn check_id(id: &str) -> std::result::Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !id.is_empty() && !id.starts_with('.') && id.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "the case name {id:?} needs letters, digits, `-`, `_` and `.` only, and must not begin with `.`"
    ))
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
    /// Statistics of the prepared intensities of each channel.
    #[serde(deserialize_with = "of_each_channel")]
    pub intensity: Vec<Intensity>,
    /// Voxels with a label above 0; `None` where the case is unlabelled.
    pub foreground_voxels: Option<u64>,
    /// The highest label; `None` where the case is unlabelled.
    pub highest_label: Option<u8>,
    /// What was done to this case only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How raw intensities become those that networks see: a new scan needs the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Normalisation {
    /// Less the scan's mean, divided by its standard deviation, over all voxels.
    ZScore,
    /// Cut off at both ends, and scaled so that these become 0 and 1.
    Window {
        /// The intensity that becomes 0, in the scan's unit.
        low: f64,
        /// The intensity that becomes 1, in the scan's unit.
        high: f64,
    },
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
        let path = path.as_ref();
        let mut hash = Sha256::new();
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(Error::io(path))?);
        loop {
            let bytes = file.fill_buf().map_err(Error::io(path))?;
            let count = bytes.len();
            if count == 0 {
                break;
            }
            hash.update(bytes);
            file.consume(count);
        }
        Ok(Source { file: name.into(), sha256: Some(hexadecimal(&hash.finalize())) })
    }

    /// The source `name` whose content are the files in the folder at `path`, which are the slices of one scan: SHA-256
    /// over a line for each, its digest and its name, in the order of the names (as `sha256sum *` prints them).
    ///
    /// # Errors
    /// Where the folder or a file cannot be read.
    pub fn of_folder(name: impl Into<String>, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
            let entry = entry.map_err(Error::io(path))?;
            if entry.path().is_file() {
                files.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
            }
        }
        files.sort();
        let mut hash = Sha256::new();
        for (name, path) in &files {
            let digest = Source::of_file(name, path)?.sha256.unwrap_or_default();
            hash.update(format!("{digest}  {name}\n"));
        }
        Ok(Source { file: name.into(), sha256: Some(hexadecimal(&hash.finalize())) })
    }
}

/// Statistics of all voxels of a channel of a prepared image, in the channel's unit.
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

impl Intensity {
    /// The statistics of `values`, which must be finite and at least one; `None` where they are not.
    pub(super) fn of(values: &[f32]) -> Option<Self> {
        if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let values = || values.iter().map(|&value| f64::from(value));
        let n = values().count() as f64;
        let mean = values().sum::<f64>() / n;
        let variance = values().map(|value| (value - mean) * (value - mean)).sum::<f64>() / n;
        let (min, max) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        Some(Intensity { min, max, mean, sd: variance.sqrt() })
    }
}

/// A list, or what format 1 has: the statistics of the only channel.
fn of_each_channel<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Intensity>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Each(Vec<Intensity>),
        Only(Intensity),
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Each(each) => each,
        Stored::Only(only) => vec![only],
    })
}

/// Bytes in hexadecimal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_all_values() {
        let found = Intensity::of(&[1.0, 2.0, 3.0, 6.0]).unwrap();
        assert_eq!(found, Intensity { min: 1.0, max: 6.0, mean: 3.0, sd: 3.5f64.sqrt() });
        assert_eq!(Intensity::of(&[]), None);
        assert_eq!(Intensity::of(&[0.0, f32::NAN]), None);
    }

    #[test]
    fn a_source_is_hashed_by_its_content() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        // The one-block example of FIPS 180-2.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Source::of_file("images/a.nii", file.path()).unwrap().sha256.as_deref(), Some(expected));
    }

    #[test]
    fn a_folder_is_hashed_by_its_files_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b"), "abc").unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        // Printed by `sha256sum * | sha256sum` in such a folder.
        let expected = "bf6e2103d6cbead28abb7d3fec372bc25d03a35b1647e83e090248eb08d0adae";
        assert_eq!(Source::of_folder("scan", folder.path()).unwrap().sha256.as_deref(), Some(expected));
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for id in ["", ".", "..", "a/b", "a\\b", "../x", ".hidden", "a b"] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
        for id in ["06SR5RBREL16DQ6M8LWS", "phantom-001", "a.b_c"] {
            assert!(check_id(id).is_ok(), "{id:?}");
        }
    }

    #[test]
    fn another_version_is_told_apart_from_damage() {
        let error =
            |text: &str| Manifest::parse(text.as_bytes(), Path::new("m.json")).unwrap_err().to_string();
        assert!(error(r#"{"format": 3, "news": []}"#).contains("has format 3"));
        assert!(error(r#"{"format": 1, "news": []}"#).contains("unknown field `news`"));
        assert!(error("{").contains("not valid"));
    }

    #[test]
    fn format_1_has_one_channel_and_the_classes_of_its_labels() {
        let case = |id: &str, highest: &str| {
            format!(
                r#"{{"id": "{id}", "split": "train", "labelled": {}, "shape": [4, 4, 4], "spacing": [1, 1, 1], "sources": [],
                "intensity": {{"min": 0, "max": 1, "mean": 0.5, "sd": 0.1}}, "foreground_voxels": 3,
                "highest_label": {highest}}}"#,
                highest != "null"
            )
        };
        let manifest = |cases: [String; 2]| {
            let text = format!(
                r#"{{"format": 1, "dataset": "d", "description": "", "cases": [{}]}}"#,
                cases.join(",")
            );
            Manifest::parse(text.as_bytes(), Path::new("m.json")).unwrap()
        };
        let found = manifest([case("a", "1"), case("b", "4")]);
        assert_eq!((found.channels, found.classes), (Names::Numbered(1), Names::Numbered(5)));
        assert_eq!((found.cases[0].intensity.len(), found.cases[0].intensity[0].max), (1, 1.0));
        assert_eq!(manifest([case("a", "null"), case("b", "0")]).classes, Names::Numbered(2));
    }
}
