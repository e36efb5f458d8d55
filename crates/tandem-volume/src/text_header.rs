//! What NRRD and MetaImage share: a header of lines, and voxels behind it or in a file beside it.
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use crate::bytes::Bytes;
use crate::gzip::{self, Packing};
use crate::{Error, Result};

/// The longest header that is looked for, in bytes.
const HEADER_LIMIT: u64 = 1 << 20;

/// Opens a file and calls `take` with every line of its header, without the line's end, until that says `true` or the
/// file ends. Returns the byte behind the last line, and whether `take` ended it.
pub(crate) fn read_lines(path: &Path, mut take: impl FnMut(&str) -> Result<bool>) -> Result<(u64, bool)> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path))?).take(HEADER_LIMIT);
    let mut end = 0;
    loop {
        let mut line = Vec::new();
        end += file.read_until(b'\n', &mut line).map_err(Error::io(path))? as u64;
        if line.is_empty() {
            return Ok((end, false));
        }
        if line.contains(&0) {
            return Err(Error::file(
                path,
                "the header runs into binary data before it ends; the file is damaged, copy or download it again",
            ));
        }
        let line = String::from_utf8_lossy(&line);
        if take(line.trim_end_matches(['\n', '\r']))? {
            return Ok((end, true));
        }
    }
}

/// The file that a header names for its voxels: in the header's own folder, or below.
///
/// # Errors
/// Where the name leads elsewhere: a header from a stranger must not make other files of the machine readable.
pub(crate) fn beside(header: &Path, name: &str) -> Result<PathBuf> {
    let inside = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    // A backslash leads elsewhere on other systems only; no tool writes one in a plain name.
    if name.is_empty() || name.contains(['\\', '\0']) || !Path::new(name).components().all(inside) {
        return Err(Error::file(
            header,
            format!(
                "the voxels are said to be in {name:?}, outside the header's folder; put that file beside the header and \
                 correct the name"
            ),
        ));
    }
    let path = header.with_file_name(name);
    if !path.is_file() {
        return Err(Error::file(
            header,
            format!("the voxels are said to be in {name:?}, which is no file; put it beside the header"),
        ));
    }
    Ok(path)
}

/// Where voxels lie.
pub(crate) struct Placement {
    pub(crate) path: PathBuf,
    pub(crate) start: Start,
    pub(crate) packing: Packing,
}

/// Where they begin in their file.
pub(crate) enum Start {
    /// At a byte of the file, and behind so many bytes once unpacked.
    At { byte: u64, skip: u64 },
    /// So that their last byte is the file's.
    AtEnd,
}

impl Placement {
    /// The voxels, `count` bytes of them, which the caller's budget holds.
    pub(crate) fn read(&self, count: u64) -> Result<Bytes> {
        let (byte, skip) = match self.start {
            Start::At { byte, skip } => (byte, skip),
            Start::AtEnd => {
                let length = std::fs::metadata(&self.path).map_err(Error::io(&self.path))?.len();
                (length.saturating_sub(count), 0)
            }
        };
        gzip::read(&self.path, byte, self.packing, skip, count)
    }
}

/// The beginning of a line, for messages.
pub(crate) fn shown(line: &str) -> String {
    line.chars().take(40).collect()
}

/// Exactly `N` numbers between blanks.
pub(crate) fn numbers<T: std::str::FromStr, const N: usize>(text: &str) -> Option<[T; N]> {
    let values: Option<Vec<T>> = text.split_whitespace().map(|value| value.parse().ok()).collect();
    values?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let header = dir.path().join("case/scan.nhdr");
        std::fs::create_dir_all(dir.path().join("case/raw")).unwrap();
        for name in ["case/a.raw", "case/raw/a.raw", "outside.raw"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let absolute = dir.path().join("case/a.raw").display().to_string();
        for name in
            ["../outside.raw", "raw/../../outside.raw", &absolute, "/etc/passwd", "..\\a.raw", "", "a\0"]
        {
            let message = beside(&header, name).unwrap_err().to_string();
            assert!(
                message.contains("scan.nhdr: ") && message.contains("outside the header's folder;"),
                "{message}"
            );
        }
        assert!(beside(&header, "raw").unwrap_err().to_string().contains("no file;"));
        assert_eq!(beside(&header, "a.raw").unwrap(), dir.path().join("case/a.raw"));
        assert!(beside(&header, "./raw/a.raw").is_ok());
    }

    #[test]
    fn numbers_are_all_or_none() {
        assert_eq!(numbers::<usize, 3>(" 1 2\t3 "), Some([1, 2, 3]));
        for text in ["1 2", "1 2 3 4", "1 2 x", "1 -2 3", "1 2 99999999999999999999999"] {
            assert_eq!(numbers::<usize, 3>(text), None, "{text}");
        }
    }
}
