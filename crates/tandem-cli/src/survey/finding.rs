//! What is wrong with a scan or a folder.

use serde::Serialize;

/// Whether something breaks a run, deserves a look, or only is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Error,
    Warning,
    Note,
}

impl Severity {
    /// As tables have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// What can be wrong, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A file that cannot be read: missing, damaged, cut short, a wrong checksum, an impossible grid.
    Unreadable,
    /// Voxels that are NaN or infinite.
    NotFinite,
    /// An image without contrast.
    Constant,
    /// Channels that are too many, too few or on different grids.
    Channels,
    /// Image and label map on different grids.
    Grid,
    /// Values in a label map that are no whole numbers in 0..=255.
    LabelValue,
    /// A label that `dataset.json` or the layout does not know.
    UnknownLabel,
    /// A label map without an image.
    LabelWithoutImage,
    /// Files and lists that do not fit together.
    Folder,
    /// The same voxels under two ids.
    Duplicate,
    /// Fewer label maps than a run needs, to learn from and to validate on.
    FewLabelled,
    /// Labels that cannot be the classes of a network: most numbers between them are nothing, or one is to be ignored.
    UnusableLabels,
    /// Label maps that are all empty.
    NoForeground,
    /// A label map without foreground.
    EmptyLabel,
    /// Labels that nothing bears: declared ones, or numbers that are passed over.
    UnusedLabel,
    /// A class in one label map alone, or of a few voxels.
    RareClass,
    /// A spacing far from that of the other scans.
    Spacing,
    /// Axes that run otherwise than in most scans.
    Orientation,
    /// An image without a label map: an unlabelled scan.
    Unlabelled,
}

impl Kind {
    /// How bad it is.
    pub(crate) fn severity(self) -> Severity {
        match self {
            Kind::Unlabelled => Severity::Note,
            kind if kind < Kind::EmptyLabel => Severity::Error,
            _ => Severity::Warning,
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) kind: Kind,
    /// The scan; `-` where it is about the folder.
    pub(crate) scan: String,
    /// The file, relative to the folder.
    pub(crate) file: Option<String>,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(kind: Kind, scan: &str, file: Option<&str>, message: String) -> Self {
        let (scan, file) = (scan.to_owned(), file.map(str::to_owned));
        Finding { severity: kind.severity(), kind, scan, file, message }
    }
}
