//! NIfTI-1 in one file, plain or gzipped (<https://nifti.nimh.nih.gov/nifti-1>).
//!
//! Our own reader, since the header decides where a patch lies in a prepared file, and since sizes must be checked
//! before memory is taken for them.
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::stored::Stored;
use crate::{Error, Result, gzip};

mod encode;
mod header;

pub(crate) use encode::{Voxel, encode};
pub(crate) use header::{HEADER_BYTES, Header};

/// Reads a `.nii` or `.nii.gz` file; which of the two it is shows in its first bytes.
pub(crate) fn read(path: &Path) -> Result<Stored> {
    let file = File::open(path).map_err(Error::io(path))?;
    let file_bytes = file.metadata().map_err(Error::io(path))?.len();
    let mut reader = gzip::Reader::new(file, path)?;
    let mut start = [0; HEADER_BYTES];
    let found = reader.read_up_to(&mut start)?;
    let header = Header::parse(&start[..found], path)?;
    let expected = header.data_offset + header.data_bytes;
    gzip::check_length(reader.is_compressed(), expected, file_bytes, path)?;
    reader.skip(header.data_offset - HEADER_BYTES as u64)?;
    let bytes = reader.read_exactly(header.data_bytes, expected)?;
    reader.finish()?;
    Ok(Stored {
        shape: header.shape,
        geometry: header.geometry,
        scalar: header.scalar,
        endian: header.endian,
        scaling: header.scaling,
        bytes,
    })
}

/// Reads the header of an uncompressed file, whose length must cover its voxels.
pub(crate) fn read_header(file: &File, path: &Path) -> Result<Header> {
    let mut start = Vec::with_capacity(HEADER_BYTES);
    file.take(HEADER_BYTES as u64).read_to_end(&mut start).map_err(Error::io(path))?;
    let header = Header::parse(&start, path)?;
    let found = file.metadata().map_err(Error::io(path))?.len();
    gzip::check_length(false, header.data_offset + header.data_bytes, found, path)?;
    Ok(header)
}

#[cfg(test)]
mod tests;
