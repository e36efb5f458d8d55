//! Plain files and those packed with gzip or zlib read alike, with what goes wrong told apart.
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use libdeflater::Decompressor;

use crate::bytes::Bytes;
use crate::{Error, Result};

/// The most bytes that one byte of a gzip file can stand for (deflate's limit), and some.
pub(crate) const HIGHEST_RATIO: u64 = 1_100;

/// A packed file of so many bytes is held beside what it unpacks to; of a longer one that may take half the unpacked bytes, for
/// which there is room where voxels are decoded later.
const AT_ONCE: u64 = 32 << 20;

/// What may follow the last voxel of a packed file: more is a bomb, or the wrong header.
const SLACK: u64 = 16 << 20;

/// Checks that the rest of a file, `found` bytes, can hold the `expected` ones, before memory is taken for them.
pub(crate) fn check_length(compressed: bool, expected: u64, found: u64, path: &Path) -> Result<()> {
    if !compressed && expected > found {
        return Err(Error::Truncated { path: path.to_owned(), expected, found });
    }
    if compressed && expected > found.saturating_mul(HIGHEST_RATIO) {
        return Err(Error::file(
            path,
            format!(
                "the header claims {expected} bytes, more than {found} packed ones can hold; the file is damaged, copy or \
                 download it again"
            ),
        ));
    }
    Ok(())
}

/// `count` bytes of the file at `path`, behind `skip` others, once it is unpacked from byte `start` on.
///
/// # Errors
/// Where the file is missing, cut short or damaged, or goes on for long behind these bytes.
pub(crate) fn read(path: &Path, start: u64, packing: Packing, skip: u64, count: u64) -> Result<Bytes> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len().saturating_sub(start);
    let expected = skip.saturating_add(count);
    check_length(packing != Packing::Plain, expected, length, path)?;
    file.seek(SeekFrom::Start(start)).map_err(Error::io(path))?;
    if packing != Packing::Plain && length <= AT_ONCE.max(expected / 2) {
        let mut packed = Vec::with_capacity(length as usize);
        (&mut file).take(length).read_to_end(&mut packed).map_err(Error::io(path))?;
        if let Some(bytes) = unpacked(&packed, packing, skip, expected) {
            return Ok(bytes);
        }
        file.seek(SeekFrom::Start(start)).map_err(Error::io(path))?;
    }
    let mut reader = Reader::with_packing(BufReader::with_capacity(1 << 16, file), packing, path);
    reader.skip(skip)?;
    let bytes = reader.read_exactly(count, expected)?;
    reader.finish()?;
    Ok(bytes.into())
}

/// The bytes behind the first `skip` of the `expected` ones that `packed` stands for, where it stands for these alone and is
/// sound. What else there can be is for [`Reader`] to take or to explain.
fn unpacked(packed: &[u8], packing: Packing, skip: u64, expected: u64) -> Option<Bytes> {
    // A gzip file ends with the length of its last part.
    if packing == Packing::Gzip && packed.last_chunk() != Some(&(expected as u32).to_le_bytes()) {
        return None;
    }
    let part = usize::try_from(skip).ok()?..usize::try_from(expected).ok()?;
    Bytes::filled(part, |bytes| {
        let mut decompressor = Decompressor::new();
        let found = match packing {
            Packing::Plain => return false,
            Packing::Gzip => decompressor.gzip_decompress(packed, bytes),
            Packing::Zlib => decompressor.zlib_decompress(packed, bytes),
        };
        found == Ok(bytes.len())
    })
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
    Zlib(ZlibDecoder<BufReader<File>>),
}

/// How the voxels of a file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zlib,
}

impl Reader {
    /// A reader of `file` from its position; its next bytes tell whether it is a gzip file.
    pub(crate) fn new(file: File, path: &Path) -> Result<Self> {
        let mut file = BufReader::with_capacity(1 << 16, file);
        let start = file.fill_buf().map_err(Error::io(path))?;
        let packing = if start.starts_with(&[0x1f, 0x8b]) { Packing::Gzip } else { Packing::Plain };
        Ok(Self::with_packing(file, packing, path))
    }

    /// A reader of `file` from its position, packed as the caller knows.
    pub(crate) fn with_packing(file: BufReader<File>, packing: Packing, path: &Path) -> Self {
        let source = match packing {
            Packing::Plain => Source::Plain(file),
            Packing::Gzip => Source::Gzip(MultiGzDecoder::new(file)),
            Packing::Zlib => Source::Zlib(ZlibDecoder::new(file)),
        };
        Reader { source, path: path.to_owned(), position: 0 }
    }

    /// How the file is packed.
    pub(crate) fn packing(&self) -> Packing {
        match self.source {
            Source::Plain(_) => Packing::Plain,
            Source::Gzip(_) => Packing::Gzip,
            Source::Zlib(_) => Packing::Zlib,
        }
    }

    fn is_compressed(&self) -> bool {
        self.packing() != Packing::Plain
    }

    fn source(&mut self) -> &mut dyn Read {
        match &mut self.source {
            Source::Plain(file) => file,
            Source::Gzip(decoder) => decoder,
            Source::Zlib(decoder) => decoder,
        }
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
        let skipped = io::copy(&mut self.source().take(count), &mut io::sink());
        self.position += skipped.map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// Reads a packed file to its end, where its checksum is.
    pub(crate) fn finish(mut self) -> Result<()> {
        if !self.is_compressed() {
            return Ok(());
        }
        let end = self.position;
        self.skip(SLACK + 1)?;
        if self.position - end > SLACK {
            return Err(Error::file(
                &self.path,
                format!(
                    "the packed file goes on for more than {} MiB behind the {end} bytes that the header promises; \
                     correct the header, or save the scan again",
                    SLACK >> 20
                ),
            ));
        }
        Ok(())
    }

    fn take(&mut self, count: u64, bytes: &mut Vec<u8>) -> Result<()> {
        let taken = self.source().take(count).read_to_end(bytes);
        self.position += taken.map_err(|error| self.explain(error))? as u64;
        Ok(())
    }

    /// What an error of the decoder means for the file.
    fn explain(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => {
                Error::file(&self.path, "the packed file is cut short; copy or download it again")
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Error::file(
                &self.path,
                format!("the packed file is damaged ({source}); copy or download it again"),
            ),
            _ => Error::Io { path: self.path.clone(), source },
        }
    }
}

/// `bytes` as a gzip file.
#[cfg(test)]
pub(crate) fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory is written to")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(beyond: usize) -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scan.nii.gz");
        std::fs::write(&path, packed(&vec![0; 10 + beyond])).unwrap();
        let mut reader = Reader::new(File::open(&path).unwrap(), &path)?;
        assert_eq!(reader.read_exactly(10, 10)?, [0; 10]);
        reader.finish()
    }

    #[test]
    fn what_is_unpacked_at_once_is_what_a_stream_gives() {
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let sound = packed(&bytes);
        assert_eq!(unpacked(&sound, Packing::Gzip, 0, 100_000).as_deref(), Some(&bytes[..]));
        // For the stream: another length, two parts, damage.
        assert!(unpacked(&sound, Packing::Gzip, 0, 99_999).is_none());
        let parts = [packed(&bytes[..60_000]), packed(&bytes[60_000..])].concat();
        assert!(unpacked(&parts, Packing::Gzip, 0, 100_000).is_none());
        let mut damaged = sound.clone();
        damaged[sound.len() - 8] ^= 1;
        assert!(unpacked(&damaged, Packing::Gzip, 0, 100_000).is_none());
        let dir = tempfile::tempdir().unwrap();
        for (name, file) in [("one.gz", &sound), ("parts.gz", &parts)] {
            let path = dir.path().join(name);
            std::fs::write(&path, file).unwrap();
            assert_eq!(read(&path, 0, Packing::Gzip, 7, 99_993).unwrap()[..], bytes[7..], "{name}");
        }
        let path = dir.path().join("damaged.gz");
        std::fs::write(&path, damaged).unwrap();
        let message = read(&path, 0, Packing::Gzip, 0, 100_000).unwrap_err().to_string();
        assert!(message.contains("damaged.gz: the packed file is damaged"), "{message}");
    }

    #[test]
    fn a_bomb_is_left_alone() {
        assert!(finish(SLACK as usize).is_ok());
        let message = finish(SLACK as usize + 1).unwrap_err().to_string();
        assert!(message.contains("scan.nii.gz: the packed file goes on"), "{message}");
    }
}
