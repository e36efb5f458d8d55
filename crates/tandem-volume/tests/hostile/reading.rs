//! Reads a damaged file, and checks how that ends.
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tandem_volume::Error;
use tandem_volume::testing::read_every_way;
use tempfile::TempDir;

use crate::specimen::Specimen;

/// The longest that a read may take.
const LIMIT: Duration = Duration::from_secs(1);

/// How often a read that takes longer is tried: other programs may have held it up.
const ATTEMPTS: usize = 3;

/// The budget that readers are given here: small, so that a reader which does not keep to it is noticed.
const BUDGET: u64 = 64 << 20;

/// What the whole process may hold beside the budget.
const BESIDE: u64 = 64 << 20;

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

    /// Reads `bytes` as the specimen's file in every way that there is; the voxels along i, j, k.
    ///
    /// Panics where that breaks a law of readers or takes long.
    pub(crate) fn read(&self, bytes: &[u8], what: &str) -> Result<[usize; 3], Error> {
        self.write(bytes).expect("a damaged file");
        let mut fastest = Duration::MAX;
        for _ in 0..ATTEMPTS {
            let started = Instant::now();
            let read = std::panic::catch_unwind(|| read_every_way(&self.scan, BUDGET))
                .unwrap_or_else(|_| panic!("{} {what}: the reader panicked, see above", self.path.display()));
            fastest = fastest.min(started.elapsed());
            if fastest < LIMIT {
                return read;
            }
        }
        panic!("{} {what}: took {fastest:?}", self.path.display());
    }

    /// Over the old content, which is cut off last: some file systems flush a file to disk that is emptied first.
    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)
    }
}

/// Panics where this process, which reads in several threads, has ever held more than one reader may.
pub(crate) fn check_memory() {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says the peak");
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    let allowed = (BUDGET + BESIDE) >> 10;
    assert!(kilobytes < allowed, "readers of small files took {} of {} MiB", kilobytes >> 10, allowed >> 10);
}
