//! Plain and gzipped files read alike, with what goes wrong told apart.
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::{Error, Result};

/// The most bytes that one byte of a gzip file can stand for (deflate's limit), and some.
pub(crate) const HIGHEST_RATIO: u64 = 1_100;

/// Checks that the rest of a file, `found` bytes, can hold the `expected` ones, before memory is taken for them.
pub(crate) fn check_length(compressed: bool, expected: u64, found: u64, path: &Path) -> Result<()> {
    if !compressed && expected > found {
        return Err(Error::Truncated { path: path.to_owned(), expected, found });
    }
    if compressed && expected > found.saturating_mul(HIGHEST_RATIO) {
        return Err(Error::file(
            path,
            format!(
                "the header claims {expected} bytes, more than {found} gzipped ones can hold; the file is damaged"
            ),
        ));
    }
    Ok(())
}

/// Reads a file from front to end, unpacked where it is a gzip file.
pub(crate) struct Reader {
    source: Source,
    path: PathBuf,
    /// Unpacked bytes so far.
    position: u64,
}

enum Source {
    Plain(BufReader<File>),
    Gzip(MultiGzDecoder<BufReader<File>>),
}

impl Reader {
    /// A reader of `file` from its position; its next bytes tell whether it is a gzip file.
    pub(crate) fn new(file: File, path: &Path) -> Result<Self> {
        let mut file = BufReader::with_capacity(1 << 16, file);
        let start = file.fill_buf().map_err(Error::io(path))?;
        let compressed = start.starts_with(&[0x1f, 0x8b]);
        Ok(Self::with_encoding(file, compressed, path))
    }

    /// A reader of `file` from its position, `compressed` as the caller knows.
    pub(crate) fn with_encoding(file: BufReader<File>, compressed: bool, path: &Path) -> Self {
        let source = if compressed { Source::Gzip(MultiGzDecoder::new(file)) } else { Source::Plain(file) };
        Reader { source, path: path.to_owned(), position: 0 }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self.source, Source::Gzip(_))
    }

    /// Fills as much of `buffer` as there is, and says how much.
    pub(crate) fn read_up_to(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut bytes = Vec::with_capacity(buffer.len());
        self.take(buffer.len() as u64, &mut bytes)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// The next `count` bytes, of `expected` unpacked ones up to their end. Memory grows with what is there, so a
    /// header that lies takes none.
    pub(crate) fn read_exactly(&mut self, count: u64, expected: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if !self.is_compressed() {
            // The caller has compared the count with the length of the file.
            bytes.reserve_exact(count as usize);
        }
        self.take(count, &mut bytes)?;
        if (bytes.len() as u64) < count {
            let path = self.path.clone();
            return Err(Error::Truncated { path, expected, found: self.position });
        }
        Ok(bytes)
    }

    /// Passes over `count` bytes.
    pub(crate) fn skip(&mut self, count: u64) -> Result<()> {
        let skipped = match &mut self.source {
            Source::Plain(file) => io::copy(&mut file.take(count), &mut io::sink()),
            Source::Gzip(decoder) => io::copy(&mut decoder.take(count), &mut io::sink()),
        };
        self.position += skipped.map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// Reads a gzip file to its end, where its checksum is.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.is_compressed() { self.skip(u64::MAX) } else { Ok(()) }
    }

    fn take(&mut self, count: u64, bytes: &mut Vec<u8>) -> Result<()> {
        let taken = match &mut self.source {
            Source::Plain(file) => file.take(count).read_to_end(bytes),
            Source::Gzip(decoder) => decoder.take(count).read_to_end(bytes),
        };
        self.position += taken.map_err(|error| self.explain(error))? as u64;
        Ok(())
    }

    /// What an error of the decoder means for the file.
    fn explain(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => {
                Error::file(&self.path, "the gzip file is cut short; copy or download it again")
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Error::file(
                &self.path,
                format!("the gzip file is damaged ({source}); copy or download it again"),
            ),
            _ => Error::Io { path: self.path.clone(), source },
        }
    }
}
