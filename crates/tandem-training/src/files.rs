//! Files that are written whole or not at all.

use crate::{Error, Result};
use std::fs::{self, File};
use std::path::Path;

/// Lets `write` fill a file aside, syncs it, and renames it to `path`. A reader sees the old file or the new one.
pub(crate) fn write_aside(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.join(format!(".{name}.part"));
    let finish = || {
        File::open(&aside).and_then(|file| file.sync_all()).map_err(Error::io(&aside))?;
        fs::rename(&aside, path).map_err(Error::io(path))?;
        // The rename itself is durable once the folder is.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(folder))
    };
    let result = write(&aside).and_then(|()| finish());
    if result.is_err() {
        // The first error is the one to report; what is left aside is only removed where that is possible.
        let _ = fs::remove_file(&aside);
    }
    result
}

/// Writes text whole or not at all.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    write_aside(path, |aside| fs::write(aside, text).map_err(Error::io(aside)))
}

/// Writes a value as indented JSON, whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Error::run_file(path, error.to_string()))?;
    write_text(path, &(text + "\n"))
}

/// Reads a value from JSON.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::run_file(path, format!("does not read as expected: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        write_text(&path, "old").unwrap();
        let failed = write_aside(&path, |aside| {
            fs::write(aside, "half").unwrap();
            Err(Error::run_file(aside, "the disk is full"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_text(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }
}
