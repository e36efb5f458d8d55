//! Files that are written whole or not at all.

use crate::{Error, Result};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How the names of files end that are not whole yet; they begin with a dot.
const PARTIAL: &str = ".partial";

/// Writes `bytes` beside `path`, syncs them, renames them into place and syncs the folder: a reader sees the old file or
/// the new one, never a part, and so does whoever looks after a power cut.
///
/// # Errors
/// Where the system refuses; then `path` is what it was before, and nothing is left beside it.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_whole_by(path, |file| file.write_all(bytes))
}

/// The same with what `write` puts into the file, for contents that need not be in memory at once.
///
/// # Errors
/// As for [`write_whole`].
pub fn write_whole_by(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let aside = aside(path);
    let folder = folder_of(path);
    let written = File::create(&aside)
        .and_then(|mut file| write(&mut file).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, path))
        // The rename itself lasts once the folder is synced.
        .and_then(|()| File::open(folder)?.sync_all());
    written.map_err(|error| {
        // What cannot be removed either is reported by the first error.
        let _ = fs::remove_file(&aside);
        Error::io(path)(error)
    })
}

/// Gives a file the further name `to` in the same folder, in place of what had that name; a copy where the file system
/// knows one name a file only.
///
/// # Errors
/// Where the system refuses; then `to` is what it was before.
pub fn link_whole(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let (aside, folder) = (aside(to), folder_of(to));
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
///
/// # Errors
/// Where the folder cannot be read or a file cannot be removed.
pub fn remove_partial(folder: impl AsRef<Path>) -> Result<()> {
    let folder = folder.as_ref();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(PARTIAL) {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

/// Makes the folder `path`, which must not exist, whole or not at all: `fill` puts files into a folder aside, which is renamed
/// into place afterwards. Folders above it are made where they are missing.
///
/// # Errors
/// Where something of that name exists already, `fill` fails, or the system refuses; then there is no folder.
pub fn write_folder<E: From<Error>>(
    path: impl AsRef<Path>,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let path = path.as_ref();
    let aside = Aside::make(path)?;
    fill(&aside.0)?;
    Ok(aside.rename(path)?)
}

/// A folder beside the one that it is to become; removed when it goes out of scope, unless it was renamed.
#[derive(Debug)]
pub(crate) struct Aside(pub(crate) PathBuf);

impl Aside {
    /// An empty folder beside `path`, which must not exist.
    pub(crate) fn make(path: &Path) -> Result<Self> {
        refuse_existing(path)?;
        let aside = Aside(aside(path));
        // What a process of the same number left when it was killed.
        let _ = fs::remove_dir_all(&aside.0);
        fs::create_dir_all(&aside.0).map_err(Error::io(&aside.0))?;
        Ok(aside)
    }

    /// Gives it its name.
    pub(crate) fn rename(self, path: &Path) -> Result<()> {
        // An empty folder would be replaced without a word.
        refuse_existing(path)?;
        let renamed = fs::rename(&self.0, path).and_then(|()| File::open(folder_of(path))?.sync_all());
        renamed.map_err(Error::io(path))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Nobody can be told here; after a rename there is nothing to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn refuse_existing(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    Err(Error::file(path, "the folder exists already; remove it or choose another one"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A hidden name beside `path`, of this process only.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}{PARTIAL}", std::process::id()));
    path.with_file_name(name)
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
            link_whole(path(from), path("best")).unwrap();
            assert_eq!(fs::read_to_string(path("best")).unwrap(), from);
        }
        assert_eq!(names(folder.path()), ["best", "new", "old"]);
        fs::remove_file(path("new")).unwrap();
        assert_eq!(fs::read_to_string(path("best")).unwrap(), "new");
    }

    #[test]
    fn a_folder_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("above/model");
        let fill = |name: &'static str| {
            move |aside: &Path| fs::write(aside.join(name), name).map_err(Error::io(aside))
        };
        assert!(write_folder(&path, fill("no/such/folder")).is_err());
        assert!(names(&folder.path().join("above")).is_empty());
        write_folder(&path, fill("a")).unwrap();
        assert_eq!(
            (names(&folder.path().join("above")), names(&path)),
            (vec!["model".into()], vec!["a".into()])
        );
        let message = write_folder(&path, fill("b")).unwrap_err().to_string();
        assert!(message.contains("exists already; remove it or choose another one"), "{message}");
        assert_eq!(names(&path), ["a"]);
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
