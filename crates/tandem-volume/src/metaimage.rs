//! MetaImage with attached voxels (`.mha`) or with voxels in a file beside the header (`.mhd`)
//! (<https://itk.org/Wiki/ITK/MetaIO/Documentation>).
//!
//! Positions are in LPS, as ITK writes and reads them; it looks neither at `DistanceUnits` nor at
//! `AnatomicalOrientation`, and nor does this reader.
use std::path::Path;

use crate::budget::Budget;
use crate::gzip::Packing;
use crate::stored::{About, Endian, Order, Scalar, Stored};
use crate::text_header::{Placement, Start, beside, numbers};
use crate::{Geometry, Result};

mod fields;

use fields::Fields;

/// Reads a file of one 3-D grid of scalars or of several channels, raw or packed with zlib.
pub(crate) fn read(path: &Path, budget: Budget) -> Result<Stored> {
    let fields = Fields::read(path)?;
    let (shape, channels) = (shape(&fields)?, channels(&fields)?);
    let (scalar, endian) = scalar(&fields)?;
    let mut mended = Vec::new();
    let geometry = geometry(&fields, &mut mended)?;
    let count = budget.stored_bytes(shape, channels, scalar.size(), path)?;
    let bytes = placement(&fields, path)?.read(count)?;
    let about = About { format: "MetaImage".to_owned(), claims: fields.into_claims(), mended };
    let channels = (channels, Order::Interleaved);
    Ok(Stored { shape, channels, geometry, scalar, endian, scaling: None, bytes, about })
}

fn shape(fields: &Fields) -> Result<[usize; 3]> {
    let dimensions = fields.need(&["NDims"])?;
    if dimensions != "3" {
        return Err(fields.error(format!(
            "NDims is {dimensions}, but only 3-D grids are read; extract the volume you mean"
        )));
    }
    let sizes = fields.need(&["DimSize"])?;
    numbers(sizes).filter(|shape| !shape.contains(&0)).ok_or_else(|| {
        fields
            .error(format!("DimSize is {sizes:?}, but three positive numbers are needed; correct the header"))
    })
}

/// Values of each voxel.
fn channels(fields: &Fields) -> Result<usize> {
    let text = fields.get(&["ElementNumberOfChannels"]).unwrap_or("1");
    text.parse().ok().filter(|&channels| channels > 0).ok_or_else(|| {
        fields.error(format!(
            "ElementNumberOfChannels is {text:?}, but a positive number is needed; correct the header"
        ))
    })
}

fn scalar(fields: &Fields) -> Result<(Scalar, Endian)> {
    let name = fields.need(&["ElementType"])?;
    let scalar = match name {
        "MET_UCHAR" => Scalar::U8,
        "MET_CHAR" => Scalar::I8,
        "MET_USHORT" => Scalar::U16,
        "MET_SHORT" => Scalar::I16,
        // MetaIO's long has 32 bits on every machine.
        "MET_UINT" | "MET_ULONG" => Scalar::U32,
        "MET_INT" | "MET_LONG" => Scalar::I32,
        "MET_ULONG_LONG" => Scalar::U64,
        "MET_LONG_LONG" => Scalar::I64,
        "MET_FLOAT" => Scalar::F32,
        "MET_DOUBLE" => Scalar::F64,
        _ => {
            return Err(fields.error(format!(
                "ElementType is {name:?}, which is not a real number; convert the voxels to such a type"
            )));
        }
    };
    let big = fields.flag(&["BinaryDataByteOrderMSB", "ElementByteOrderMSB"])?.unwrap_or(false);
    Ok((scalar, if big { Endian::Big } else { Endian::Little }))
}

/// The grid in RAS+ of one in LPS: the first two coordinates change sign.
fn geometry(fields: &Fields, mended: &mut Vec<String>) -> Result<Geometry> {
    const TO_RAS: [f64; 3] = [-1.0, -1.0, 1.0];
    let spacing = fields.numbers(&["ElementSpacing", "ElementSize"])?.ok_or_else(|| {
        fields.error("the header field `ElementSpacing` is missing; add it, in mm along i, j, k")
    })?;
    let origin = fields.numbers(&["Offset", "Origin", "Position"])?.unwrap_or_else(|| {
        mended.push("Offset is missing; 0 0 0 is taken".to_owned());
        [0.0; 3]
    });
    let axes = fields.numbers(&["TransformMatrix", "Rotation", "Orientation"])?.unwrap_or_else(|| {
        mended.push(
            "TransformMatrix is missing; the axes are taken to run to the left, the back and the head".into(),
        );
        [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    });
    let direction = [0, 1, 2].map(|row| [0, 1, 2].map(|axis| axes[3 * axis + row] * TO_RAS[row]));
    let origin = [0, 1, 2].map(|row| origin[row] * TO_RAS[row]);
    Geometry::new(spacing, origin, direction).map_err(|error| fields.error(error.to_string()))
}

/// Where the voxels are, and how they are packed.
fn placement(fields: &Fields, path: &Path) -> Result<Placement> {
    if fields.flag(&["BinaryData"])? == Some(false) {
        return Err(fields.error("BinaryData is False; save the voxels as binary numbers"));
    }
    let packing = match fields.flag(&["CompressedData"])? {
        Some(true) => Packing::Zlib,
        _ => Packing::Plain,
    };
    let header = fields.get(&["HeaderSize"]).unwrap_or("0");
    let skip =
        header.parse::<i64>().ok().filter(|&skip| skip >= 0 || skip == -1 && packing == Packing::Plain);
    let skip = skip.ok_or_else(|| {
        fields.error(format!(
            "HeaderSize is {header:?}, but 0 or more is needed, or -1 where the voxels are not packed; correct the header"
        ))
    })?;
    let (path, byte) = match fields.need(&["ElementDataFile"])? {
        "LOCAL" if skip <= 0 => (path.to_owned(), fields.end),
        "LOCAL" => {
            return Err(fields.error("HeaderSize is meant for voxels in another file; remove it"));
        }
        name if name == "LIST" || name.contains('%') => {
            return Err(fields.error(format!("the voxels are in several files ({name:?}); save them in one")));
        }
        name => (beside(path, name)?, 0),
    };
    let start = match skip {
        -1 => Start::AtEnd,
        skip => Start::At { byte: byte + skip as u64, skip: 0 },
    };
    Ok(Placement { path, start, packing })
}

#[cfg(test)]
mod tests;
