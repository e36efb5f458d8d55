//! Bytes as a scan's file, for the fuzz targets.
//!
//! What is checked is [`tandem_volume::testing::read_every_way`], as by the tests of damaged files
//! (`crates/tandem-volume/tests/hostile/`); what reads too long or takes too much memory is noticed by libFuzzer.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use tandem_volume::testing::read_every_way;
use tempfile::TempDir;

/// Bytes that a reader may take: far less than libFuzzer allows (`-rss_limit_mb`).
const BUDGET: u64 = 64 << 20;

/// Where bytes become a file, and are read.
pub struct Reader {
    _dir: TempDir,
    file: PathBuf,
    /// What is read: the file, or the folder that it is in.
    scan: PathBuf,
}

impl Reader {
    /// A reader of files of this name, whose ending says the format.
    ///
    /// # Panics
    /// Where no temporary folder can be made.
    pub fn of_file(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join(name);
        Reader { scan: file.clone(), file, _dir: dir }
    }

    /// A reader of DICOM series: the bytes are one slice, and `others` are there already.
    ///
    /// # Panics
    /// Where the folder cannot be made.
    pub fn of_series(others: &[&[u8]]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (number, bytes) in others.iter().enumerate() {
            std::fs::write(dir.path().join(format!("{number}.dcm")), bytes).expect("a slice");
        }
        let file = dir.path().join("slice.dcm");
        Reader { scan: dir.path().to_owned(), file, _dir: dir }
    }

    /// Reads `bytes`, whatever comes of it.
    ///
    /// # Panics
    /// Where that breaks a law of readers, or the file cannot be written.
    pub fn read(&self, bytes: &[u8]) {
        std::fs::write(&self.file, bytes).expect("a file of the fuzzer");
        let _ = read_every_way(&self.scan, BUDGET);
    }
}
