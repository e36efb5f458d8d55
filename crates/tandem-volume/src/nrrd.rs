//! NRRD with attached voxels (`.nrrd`) or with voxels in a file beside the header (`.nhdr`)
//! (<https://teem.sourceforge.net/nrrd/format.html>).
use std::path::Path;

use crate::Result;
use crate::budget::Budget;
use crate::gzip::Packing;
use crate::stored::{About, Endian, Scalar, Stored};
use crate::text_header::{Placement, Start, beside};

mod axes;
mod encode;
mod fields;
mod grid;

use axes::Axes;
pub(crate) use encode::start;
use fields::Fields;

/// Reads a file of one 3-D grid of scalars, or of several channels along a fourth axis, raw or gzipped.
pub(crate) fn read(path: &Path, budget: Budget) -> Result<Stored> {
    let fields = Fields::read(path)?;
    let axes = Axes::of(&fields)?;
    let (shape, channels) = axes.sides(&fields)?;
    let (scalar, endian) = scalar(&fields)?;
    let mut mended = Vec::new();
    let geometry = grid::geometry(&fields, &axes, &mut mended)?;
    let count = budget.stored_bytes(shape, channels.0, scalar.size(), path)?;
    let bytes = placement(&fields, path)?.read(count)?;
    let about = About { format: "NRRD".to_owned(), claims: fields.into_claims(), mended };
    Ok(Stored { shape, channels, geometry, scalar, endian, scaling: None, bytes, about })
}

fn scalar(fields: &Fields) -> Result<(Scalar, Endian)> {
    let name = fields.need("type")?;
    let scalar = match name {
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => Scalar::U8,
        "signed char" | "int8" | "int8_t" => Scalar::I8,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Scalar::U16,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Scalar::I16,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => Scalar::U32,
        "int" | "signed int" | "int32" | "int32_t" => Scalar::I32,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => Scalar::U64,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => Scalar::I64,
        "float" => Scalar::F32,
        "double" => Scalar::F64,
        _ => {
            return Err(fields.error(format!(
                "the voxel type {name:?} is not a real number; convert the voxels to such a type"
            )));
        }
    };
    let endian = match fields.get("endian") {
        Some("little") => Endian::Little,
        Some("big") => Endian::Big,
        None if scalar.size() == 1 => Endian::Little,
        other => {
            return Err(fields.error(format!(
                "endian is {:?}, but `little` or `big` is needed; correct the header",
                other.unwrap_or("missing")
            )));
        }
    };
    Ok((scalar, endian))
}

/// Where the voxels are, and how they are packed.
fn placement(fields: &Fields, path: &Path) -> Result<Placement> {
    let packing = match fields.need("encoding")? {
        "raw" => Packing::Plain,
        "gzip" | "gz" => Packing::Gzip,
        other => {
            return Err(
                fields.error(format!("the encoding {other:?} is not read; save the file as raw or gzip"))
            );
        }
    };
    let (path, byte) = match fields.get("data file") {
        None => (path.to_owned(), fields.end),
        Some(name) if name.starts_with("LIST") || name.contains('%') => {
            return Err(fields.error(format!("the voxels are in several files ({name:?}); save them in one")));
        }
        Some(name) => (beside(path, name)?, 0),
    };
    if fields.get("line skip").is_some_and(|value| value != "0") {
        return Err(fields.error("`line skip` is not read; save the file without it"));
    }
    let skip = fields.get("byte skip").unwrap_or("0");
    let start = match (skip.parse::<i64>(), packing) {
        (Ok(-1), Packing::Plain) => Start::AtEnd,
        (Ok(skip @ 0..), _) => Start::At { byte, skip: skip as u64 },
        _ => {
            return Err(fields.error(format!(
                "`byte skip` is {skip:?}, but 0 or more is needed, or -1 where the encoding is raw; correct the header"
            )));
        }
    };
    Ok(Placement { path, start, packing })
}

#[cfg(test)]
mod tests;
