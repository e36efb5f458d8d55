//! Volumes as the bytes of a gzipped NRRD file.
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::stored::{Scalar, Voxel, to_i_fastest};
use crate::{Error, Result, Volume};

/// The bytes of a NRRD file with attached, gzipped voxels, in LPS as 3D Slicer and ITK write it; `path` is for the message.
///
/// # Errors
/// Where the volume has no voxel.
pub(crate) fn encode<T: Voxel>(volume: &Volume<T>, path: &Path) -> Result<Vec<u8>> {
    let [ni, nj, nk] = volume.shape();
    if volume.array().is_empty() {
        return Err(Error::file(
            path,
            format!("NRRD holds sides of 1 or more voxels, but the volume has {:?}; pad it", volume.shape()),
        ));
    }
    let affine = volume.geometry().affine();
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
    let mut voxels = Vec::new();
    T::encode(&to_i_fastest(volume.array()), &mut voxels);
    let mut encoder = GzEncoder::new(header.into_bytes(), Compression::default());
    encoder.write_all(&voxels).and_then(|()| encoder.finish()).map_err(Error::io(path))
}
