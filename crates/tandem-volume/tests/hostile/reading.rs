//! Reads a damaged file, and checks how that ends.
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tandem_volume::{Error, hdf5, inspect, read_image, read_label};
use tempfile::TempDir;

use crate::specimen::Specimen;

/// The longest that a read may take.
const LIMIT: Duration = Duration::from_secs(1);

/// A folder with a specimen's other files, where damaged copies of it are written and read.
pub(crate) struct Folder {
    _dir: TempDir,
    path: PathBuf,
    /// What is read: the file, or the folder of a series.
    scan: PathBuf,
}

impl Folder {
    pub(crate) fn new(specimen: &Specimen) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, bytes) in &specimen.beside {
            std::fs::write(dir.path().join(name), bytes).expect("a file beside it");
        }
        let path = dir.path().join(specimen.name);
        let scan = if specimen.is_series { dir.path().to_owned() } else { path.clone() };
        Folder { _dir: dir, path, scan }
    }

    /// Reads `bytes` as the specimen's file in every way that there is.
    ///
    /// Panics where that takes long, finds a grid that no scan has, or ends with an error that does not name the file and
    /// a remedy.
    pub(crate) fn read(&self, bytes: &[u8], what: &str) -> Result<(), Error> {
        self.write(bytes).expect("a damaged file");
        let started = Instant::now();
        let read = std::panic::catch_unwind(|| self.read_all())
            .unwrap_or_else(|_| panic!("{} {what}: the reader panicked", self.path.display()));
        let taken = started.elapsed();
        assert!(taken < LIMIT, "{} {what}: took {taken:?}", self.path.display());
        if let Err(error) = &read {
            self.check_message(&error.to_string(), what);
        }
        read
    }

    /// Over the old content, which is cut off last: some file systems flush a file to disk that is emptied first.
    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)
    }

    fn read_all(&self) -> Result<(), Error> {
        let path = &self.scan;
        let found = inspect(path)?;
        if found.format == "HDF5" {
            return hdf5::read_subject(path).map(drop);
        }
        let grid = found.grid.expect("all but HDF5 have a grid");
        assert!(grid.spacing.iter().all(|&spacing| spacing.is_finite() && spacing > 0.0));
        assert!(grid.affine.iter().flatten().all(|value| value.is_finite()));
        let image = read_image(path)?;
        assert_eq!(image.shape(), found.shape);
        // A label map may have voxels that a scan may not.
        if let Err(error) = read_label(path) {
            self.check_message(&error.to_string(), "as a label map");
        }
        Ok(())
    }

    /// One line that begins with a file of this folder and ends with a remedy, behind a semicolon.
    fn check_message(&self, message: &str, what: &str) {
        let folder = self.path.parent().expect("a folder").display().to_string();
        assert!(message.starts_with(&folder), "{what}: no file is named: {message}");
        let remedy = message.rsplit_once("; ").map(|(_, remedy)| remedy).unwrap_or_default();
        assert!(remedy.len() > 8, "{what}: no remedy is named: {message}");
        assert!(!message.contains('\n'), "{what}: more than one line: {message}");
    }
}

/// Panics where this process has ever held more memory than small files can need.
pub(crate) fn check_memory() {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says the peak");
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    assert!(kilobytes < 1 << 20, "a reader took {} MiB for a small file", kilobytes >> 10);
}
