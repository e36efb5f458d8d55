//! One process a run folder.

use crate::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

/// The file in a run folder that is locked. It stays there: what counts is the lock, not the file.
const LOCK: &str = ".lock";

/// The right to write to a run folder, or to one of several runs. The system takes it back when its holder ends, however it ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock of a folder and writes into it who holds it.
    ///
    /// # Errors
    /// Where another process holds it, or the file system has no locks.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who it is only helps: that somebody does is what matters.
                let _ = file.read_to_string(&mut holder);
                let problem = format!(
                    "is in use by {}; wait until that has ended, or choose another run folder",
                    if holder.is_empty() { "another process" } else { holder.trim_end() }
                );
                return Err(Error::run_file(folder, problem));
            }
            Err(TryLockError::Error(source)) => {
                let problem =
                    format!("cannot be locked ({source}); choose a folder on a file system with locks");
                return Err(Error::run_file(folder, problem));
            }
        }
        let holder = format!("process {} on {}\n", std::process::id(), host());
        file.set_len(0).and_then(|()| file.write_all(holder.as_bytes())).map_err(Error::io(&path))?;
        Ok(RunLock { _file: file })
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "an unknown host".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is_until_that_ends() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunLock::take(folder.path()).unwrap();
        let message = RunLock::take(folder.path()).unwrap_err().to_string();
        let holder = format!("process {} on {}", std::process::id(), host());
        let problem =
            format!("is in use by {holder}; wait until that has ended, or choose another run folder");
        assert_eq!(message, format!("{}: {problem}", folder.path().display()));
        drop(first);
        RunLock::take(folder.path()).unwrap();
    }
}
