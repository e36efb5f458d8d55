//! What can go wrong with volumes and their files.
use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation on volumes.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a volume could not be made, read or written.
///
/// Every message is one sentence that names the file or field and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open, read, write or rename a file.
    #[error("{}: {source}{}", path.display(), remedy(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file's content is damaged, or of a kind that this crate does not read.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A file holds fewer bytes than its header promises.
    #[error("{}: the file is cut short ({found} of {expected} bytes); copy or download it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the header promises.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A label map holds a value that is no label.
    #[error(
        "{}: voxel {voxel:?} has the value {value}, but labels are whole numbers in 0..=255; is this the label map?",
        path.display()
    )]
    Label {
        /// The file.
        path: PathBuf,
        /// The first such voxel.
        voxel: [usize; 3],
        /// Its value.
        value: f64,
    },
    /// The slices of a DICOM series make no grid.
    #[cfg(feature = "dicom")]
    #[error("{}: {fault}", folder.display())]
    Series {
        /// The folder of the slices.
        folder: PathBuf,
        /// What keeps them from being one.
        fault: Box<crate::dicom::SeriesFault>,
    },
    /// A spacing, origin or direction that no scan can have.
    #[error("{0}")]
    Geometry(String),
    /// Two arrays that must lie on one grid do not.
    #[error("{0}")]
    Grid(String),
    /// An argument outside what the operation accepts.
    #[error("{0}")]
    Argument(String),
}

/// What helps against an error of the operating system, to be put behind its message; empty where that is plain.
pub fn remedy(error: &io::Error) -> &'static str {
    // EIO has no kind of its own.
    const DEVICE: i32 = 5;
    match error.kind() {
        io::ErrorKind::NotFound => "; check the path, and whether its disk is there",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room there, then go on",
        io::ErrorKind::FileTooLarge => "; allow larger files there (ulimit -f), then go on",
        io::ErrorKind::ReadOnlyFilesystem => "; mount it writable or choose another folder, then go on",
        io::ErrorKind::PermissionDenied => "; get permission or choose another folder",
        _ if error.raw_os_error() == Some(DEVICE) => "; the device fails: see the system's log",
        _ => "",
    }
}

impl Error {
    /// An [`Error::File`] about `path`.
    pub(crate) fn file(path: &Path, message: impl Into<String>) -> Self {
        Error::File { path: path.to_owned(), message: message.into() }
    }

    /// A closure that turns an [`io::Error`] into an [`Error::Io`] about `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    }
}
