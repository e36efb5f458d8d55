//! The header of a gzipped NRRD file.
use std::path::Path;

use crate::stored::{Scalar, Voxel};
use crate::{Error, Geometry, Result};

/// What comes before the gzipped voxels in a NRRD file of one grid, in LPS as 3D Slicer and ITK write it; `path` is for the
/// message.
///
/// # Errors
/// Where the grid has no voxel.
pub(crate) fn start<T: Voxel>(shape: [usize; 3], geometry: &Geometry, path: &Path) -> Result<Vec<u8>> {
    let [ni, nj, nk] = shape;
    if shape.contains(&0) {
        return Err(Error::file(
            path,
            format!("NRRD holds sides of 1 or more voxels, but the volume has {shape:?}; pad it"),
        ));
    }
    let affine = geometry.affine();
    // Numbers as Rust prints them are the shortest that read back the same.
    let vector =
        |column: usize| format!("({},{},{})", -affine[0][column], -affine[1][column], affine[2][column]);
    let scalar = match T::SCALAR {
        Scalar::U8 => "uint8",
        Scalar::I8 => "int8",
        Scalar::U16 => "uint16",
        Scalar::I16 => "int16",
        Scalar::U32 => "uint32",
        Scalar::I32 => "int32",
        Scalar::U64 => "uint64",
        Scalar::I64 => "int64",
        Scalar::F32 => "float",
        Scalar::F64 => "double",
    };
    let header = format!(
        "NRRD0004\ntype: {scalar}\ndimension: 3\nspace: left-posterior-superior\nsizes: {ni} {nj} {nk}\n\
         space directions: {} {} {}\nkinds: domain domain domain\nendian: little\nencoding: gzip\nspace origin: {}\n\n",
        vector(0),
        vector(1),
        vector(2),
        vector(3),
    );
    Ok(header.into_bytes())
}
