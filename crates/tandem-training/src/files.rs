//! Files that are written whole or not at all.

use crate::{Error, Result};
use std::fs::{self, File};
use std::path::Path;
use tandem_volume::write_whole;

/// How the names of files end that are not whole yet; they begin with a dot.
const ASIDE: &str = ".partial";

/// Writes text whole or not at all.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    Ok(write_whole(path, text.as_bytes())?)
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

/// Gives a file the further name `to` in the same folder, in place of what had that name; a copy where the file system
/// knows one name a file only.
pub(crate) fn link_whole(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.join(format!(".{name}{ASIDE}"));
    let copy = || fs::copy(from, &aside).and_then(|_| File::open(&aside)?.sync_all());
    let linked = fs::hard_link(from, &aside)
        .or_else(|_| copy())
        .and_then(|()| fs::rename(&aside, to))
        .and_then(|()| File::open(folder)?.sync_all());
    // Where both names meant one file already, the rename leaves them as they are.
    let _ = fs::remove_file(&aside);
    linked.map_err(Error::io(to))
}

/// Removes what killed writes have left in a folder.
pub(crate) fn remove_partial(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(ASIDE) {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_further_name_outlives_the_first_and_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("old"), "old").unwrap();
        fs::write(path("new"), "new").unwrap();
        for from in ["old", "new", "new"] {
            link_whole(&path(from), &path("best")).unwrap();
            assert_eq!(fs::read_to_string(path("best")).unwrap(), from);
        }
        assert_eq!(names(folder.path()), ["best", "new", "old"]);
        fs::remove_file(path("new")).unwrap();
        assert_eq!(fs::read_to_string(path("best")).unwrap(), "new");
    }

    #[test]
    fn what_killed_writes_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", ".b.7.partial", ".c", "d.partial"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_partial(folder.path()).unwrap();
        assert_eq!(names(folder.path()), [".c", "a", "d.partial"]);
    }
}
