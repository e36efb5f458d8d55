//! NIfTI-1 and NIfTI-2, in one file or as a pair of header and voxels, plain or gzipped
//! (<https://nifti.nimh.nih.gov/nifti-1>, <https://nifti.nimh.nih.gov/nifti-2>).
//!
//! Our own reader, since the header decides where a patch lies in a prepared file, and since sizes must be checked
//! before memory is taken for them.
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::budget::Budget;
use crate::bytes::Bytes;
use crate::gzip::{self, Packing};
use crate::stored::{Order, Stored};
use crate::{Error, Result};

mod affine;
mod encode;
mod fields;
mod header;

pub(crate) use encode::{Version, encode, start};
use fields::{Fields, LONGEST_HEADER};
pub(crate) use header::Header;

/// Reads a `.nii` file, or the pair that a `.hdr` or `.img` file belongs to; whether they are gzipped shows in their
/// first bytes.
pub(crate) fn read(path: &Path, budget: Budget) -> Result<Stored> {
    let pair = pair(path)?;
    let path = pair.as_ref().map_or(path, |(header, _)| header);
    let mut reader = open(path)?;
    let mut start = [0; LONGEST_HEADER];
    let found = reader.read_up_to(&mut start)?;
    let header = Header::parse(&start[..found], path)?;
    budget.stored_bytes(header.shape, header.channels, header.scalar.size(), path)?;
    let bytes = match &pair {
        Some((_, voxels)) if header.is_pair => read_voxels(&header, voxels, open(voxels)?.packing())?,
        None if !header.is_pair => read_voxels(&header, path, reader.packing())?,
        Some(_) => {
            return Err(Error::file(
                path,
                "the magic bytes say that header and voxels are in one file; give it the ending .nii",
            ));
        }
        None => {
            return Err(Error::file(
                path,
                "the magic bytes say that header and voxels are in two files; give them the endings .hdr and .img",
            ));
        }
    };
    Ok(Stored {
        shape: header.shape,
        channels: (header.channels, Order::Planar),
        geometry: header.geometry,
        scalar: header.scalar,
        endian: header.endian,
        scaling: header.scaling,
        bytes,
        about: header.about,
    })
}

/// The version of a file, or of the pair that it belongs to.
pub(crate) fn version(path: &Path) -> Result<Version> {
    let pair = pair(path)?;
    let path = pair.as_ref().map_or(path, |(header, _)| header);
    let mut start = [0; LONGEST_HEADER];
    let found = open(path)?.read_up_to(&mut start)?;
    let fields = Fields::parse(&start[..found], path)?;
    Ok(if fields.version == 2 { Version::Two } else { Version::One })
}

/// Reads the header of an uncompressed single file, whose length must cover its voxels.
pub(crate) fn read_header(file: &File, path: &Path) -> Result<Header> {
    let mut start = Vec::with_capacity(LONGEST_HEADER);
    file.take(LONGEST_HEADER as u64).read_to_end(&mut start).map_err(Error::io(path))?;
    let header = Header::parse(&start, path)?;
    let found = file.metadata().map_err(Error::io(path))?.len();
    gzip::check_length(false, header.data_offset + header.data_bytes, found, path)?;
    Ok(header)
}

fn open(path: &Path) -> Result<gzip::Reader> {
    gzip::Reader::new(File::open(path).map_err(Error::io(path))?, path)
}

/// The voxels of the file at `path`, packed as said.
fn read_voxels(header: &Header, path: &Path, packing: Packing) -> Result<Bytes> {
    gzip::read(path, 0, packing, header.data_offset, header.data_bytes)
}

/// The header and the voxels of a pair; `None` for the name of a single file. Either part may be gzipped.
fn pair(path: &Path) -> Result<Option<(PathBuf, PathBuf)>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let unpacked = lower.strip_suffix(".gz").unwrap_or(&lower);
    let (own, other) = match unpacked.rsplit_once('.') {
        Some((stem, "hdr")) => (&name[stem.len()..], [".img", ".img.gz"]),
        Some((stem, "img")) => (&name[stem.len()..], [".hdr", ".hdr.gz"]),
        _ => return Ok(None),
    };
    let stem = name.strip_suffix(own).unwrap_or(&name);
    let upper = own.to_ascii_uppercase() == own;
    let beside = other.map(|ending| {
        let ending = if upper { ending.to_ascii_uppercase() } else { ending.to_owned() };
        path.with_file_name(format!("{stem}{ending}"))
    });
    let Some(found) = beside.iter().find(|path| path.is_file()) else {
        return Err(Error::file(
            path,
            format!("this is half of a NIfTI pair; put {} beside it", beside[0].display()),
        ));
    };
    let pair = if unpacked.ends_with("hdr") {
        (path.to_owned(), found.clone())
    } else {
        (found.clone(), path.to_owned())
    };
    Ok(Some(pair))
}

#[cfg(test)]
mod tests;
