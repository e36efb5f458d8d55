//! What does not fit together in a folder of scans.
use std::fmt;

/// Something that does not fit together in a folder of scans. Its text says what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A label map without an image.
    LabelWithoutImage {
        /// The label map's file.
        file: String,
    },
    /// A scan is called what no prepared case can be called.
    Name {
        /// Its image's file.
        file: String,
        /// What is wrong with the name.
        problem: String,
    },
    /// Two files are one scan.
    TwoFiles {
        /// The scan.
        id: String,
        /// The two.
        files: [String; 2],
    },
    /// The folder of a scan holds no slices.
    NoSlices {
        /// The folder.
        folder: String,
    },
    /// An image of nnU-Net's layout whose name has no number of a channel.
    NoChannelNumber {
        /// The image's file.
        file: String,
    },
    /// A scan lacks a channel, or has one too many.
    Channels {
        /// The scan.
        id: String,
        /// The numbers of its channels.
        found: Vec<usize>,
        /// How many `dataset.json` names.
        wanted: usize,
    },
    /// `dataset.json` names a file that is not there.
    MissingFile {
        /// The file.
        file: String,
    },
    /// A list names a scan that is not there.
    MissingScan {
        /// The list's file.
        list: &'static str,
        /// The scan.
        id: String,
    },
    /// The lists name a scan twice.
    ListedTwice {
        /// The list that names it again.
        list: &'static str,
        /// The list that named it before.
        first: &'static str,
        /// The scan.
        id: String,
    },
}

impl Fault {
    /// The file that it is about.
    pub fn file(&self) -> &str {
        match self {
            Fault::LabelWithoutImage { file }
            | Fault::NoChannelNumber { file }
            | Fault::MissingFile { file }
            | Fault::Name { file, .. } => file,
            Fault::NoSlices { folder } => folder,
            Fault::TwoFiles { files, .. } => &files[0],
            Fault::Channels { .. } => dataset_json(),
            Fault::MissingScan { list, .. } | Fault::ListedTwice { list, .. } => list,
        }
    }
}

fn dataset_json() -> &'static str {
    super::dataset_json::NAME
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Fault::LabelWithoutImage { file } => {
                write!(f, "{file} is a label map without an image; add the image or remove the label map")
            }
            Fault::Name { file, problem } => write!(f, "{file}: {problem}; rename the scan"),
            Fault::TwoFiles { id, files: [a, b] } => write!(f, "both {a} and {b} are scan {id}; remove one"),
            Fault::NoSlices { folder } => write!(f, "{folder} holds no .dcm files; download the scan again"),
            Fault::NoChannelNumber { file } => {
                write!(f, "{file} has no number of a channel; nnU-Net names images CASE_0000, CASE_0001 ...")
            }
            Fault::Channels { id, found, wanted } => write!(
                f,
                "scan {id} has the channels {found:?}, but {} names {wanted}; add the missing files or correct it",
                dataset_json()
            ),
            Fault::MissingFile { file } => {
                write!(f, "{} names {file}, which is not there; add it or strike it off", dataset_json())
            }
            Fault::MissingScan { list, id } => {
                write!(f, "{list} names {id}, but there is no such scan; add it or strike it off")
            }
            Fault::ListedTwice { list, first, id } if list == first => {
                write!(f, "{list} names {id} for the second time; strike one off")
            }
            Fault::ListedTwice { list, first, id } => {
                write!(f, "{list} names {id}, which {first} names too; strike one off")
            }
        }
    }
}
