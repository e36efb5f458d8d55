//! Volumes as the bytes of a NIfTI file.
use std::path::Path;

use super::header::DATATYPES;
use crate::stored::{Voxel, to_i_fastest};
use crate::{Error, Geometry, Result, Volume};

/// The version of a NIfTI file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Grids in single precision, sides in 16 bits: what every program reads.
    One,
    /// Grids in double precision, sides in 64 bits.
    Two,
}

/// Bytes of the headers and of the four that announce extensions.
const HEADER_BYTES: usize = 352;
const HEADER_2_BYTES: usize = 544;

/// The bytes of an uncompressed NIfTI-1 file, little endian, with sform and qform, of channels on one grid: several lie
/// along the fourth dimension. `path` is for the message.
///
/// # Errors
/// As [`start`].
pub(crate) fn encode<T: Voxel>(channels: &[Volume<T>], path: &Path) -> Result<Vec<u8>> {
    let (shape, geometry) =
        channels.first().map_or(([0; 3], None), |first| (first.shape(), Some(first.geometry())));
    let mut bytes = start::<T>(Version::One, shape, channels.len(), geometry, path)?;
    bytes.reserve_exact(channels.iter().map(|channel| channel.array().len() * size_of::<T>()).sum());
    channels.iter().for_each(|channel| T::encode(&to_i_fastest(channel.array()), &mut bytes));
    Ok(bytes)
}

/// What comes before the voxels in such a file of either version.
///
/// # Errors
/// Where there is no channel, or a side is 0; in NIfTI-1, where there are more than 32,767 channels or voxels along a side.
pub(crate) fn start<T: Voxel>(
    version: Version,
    shape: [usize; 3],
    channels: usize,
    geometry: Option<&Geometry>,
    path: &Path,
) -> Result<Vec<u8>> {
    let (Some(geometry), Some(dim)) = (geometry, dim(version, shape, channels)) else {
        return Err(Error::file(
            path,
            format!(
                "NIfTI-1 holds sides of 1 to 32767 voxels, but the volume has {shape:?} of {channels} channel(s); crop it, or \
                 write it as .nrrd"
            ),
        ));
    };
    let header = if version == Version::One { header } else { header_2 };
    Ok(header(dim, datatype::<T>(), T::SCALAR.size(), geometry))
}

/// NIfTI's number of a voxel type; every scalar type has one.
fn datatype<T: Voxel>() -> i16 {
    DATATYPES.into_iter().find_map(|(code, scalar)| (scalar == T::SCALAR).then_some(code)).unwrap_or_default()
}

/// Field `dim` of a 3-D grid with so many channels.
fn dim(version: Version, [i, j, k]: [usize; 3], channels: usize) -> Option<[i64; 8]> {
    let most = if version == Version::One { i64::from(i16::MAX) } else { i64::MAX };
    let mut dim = [if channels == 1 { 3 } else { 4 }, 1, 1, 1, 1, 1, 1, 1];
    for (field, side) in dim[1..].iter_mut().zip([i, j, k, channels]) {
        *field = i64::try_from(side).ok().filter(|side| (1..=most).contains(side))?;
    }
    Some(dim)
}

/// The header of NIfTI-1; `dim` fits into 16 bits.
fn header(dim: [i64; 8], datatype: i16, value_bytes: usize, geometry: &Geometry) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
    put(0, &348i32.to_le_bytes());
    for (n, side) in dim.iter().enumerate() {
        put(40 + 2 * n, &(*side as i16).to_le_bytes());
    }
    put(70, &datatype.to_le_bytes());
    put(72, &(8 * value_bytes as i16).to_le_bytes());
    let (flip, quaternion) = quaternion(geometry.direction());
    let [x, y, z] = geometry.spacing();
    let mut put_f32 = |offset: usize, values: &[f64]| {
        for (n, &value) in values.iter().enumerate() {
            put(offset + 4 * n, &(value as f32).to_le_bytes());
        }
    };
    put_f32(76, &[flip, x, y, z, 1.0, 1.0, 1.0, 1.0]);
    put_f32(108, &[HEADER_BYTES as f64, 1.0, 0.0]); // vox_offset, scl_slope, scl_inter
    put_f32(256, &quaternion);
    put_f32(268, &geometry.origin());
    for (row, values) in geometry.affine()[..3].iter().enumerate() {
        put_f32(280 + 16 * row, values);
    }
    put(123, &[2]); // xyzt_units: mm
    put(252, &1i16.to_le_bytes()); // qform_code: scanner
    put(254, &1i16.to_le_bytes()); // sform_code: scanner
    put(344, b"n+1\0");
    bytes
}

/// The header of NIfTI-2 (<https://nifti.nimh.nih.gov/pub/dist/doc/nifti2.h>).
fn header_2(dim: [i64; 8], datatype: i16, value_bytes: usize, geometry: &Geometry) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_2_BYTES];
    let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
    put(0, &540i32.to_le_bytes());
    put(4, b"n+2\0\r\n\x1a\n");
    put(12, &datatype.to_le_bytes());
    put(14, &(8 * value_bytes as i16).to_le_bytes());
    for (n, side) in dim.iter().enumerate() {
        put(16 + 8 * n, &side.to_le_bytes());
    }
    put(168, &(HEADER_2_BYTES as i64).to_le_bytes()); // vox_offset
    let (flip, quaternion) = quaternion(geometry.direction());
    let [x, y, z] = geometry.spacing();
    let mut put_f64 = |offset: usize, values: &[f64]| {
        for (n, &value) in values.iter().enumerate() {
            put(offset + 8 * n, &value.to_le_bytes());
        }
    };
    put_f64(104, &[flip, x, y, z, 1.0, 1.0, 1.0, 1.0]);
    put_f64(176, &[1.0, 0.0]); // scl_slope, scl_inter
    put_f64(352, &quaternion);
    put_f64(376, &geometry.origin());
    for (row, values) in geometry.affine()[..3].iter().enumerate() {
        put_f64(400 + 32 * row, values);
    }
    put(344, &1i32.to_le_bytes()); // qform_code: scanner
    put(348, &1i32.to_le_bytes()); // sform_code: scanner
    put(500, &2i32.to_le_bytes()); // xyzt_units: mm
    bytes
}

/// NIfTI's `qfac` and the parts b, c, d of the unit quaternion of a direction (Shepperd, "Quaternion from rotation
/// matrix", J. Guidance and Control 1978: the largest part first, so that nothing cancels).
fn quaternion(direction: [[f64; 3]; 3]) -> (f64, [f64; 3]) {
    let mut r = direction;
    let flip = if determinant(r) < 0.0 { -1.0 } else { 1.0 };
    r.iter_mut().for_each(|row| row[2] *= flip);
    // Four times the product of any two of the parts a, b, c, d.
    let products = [
        [1.0 + r[0][0] + r[1][1] + r[2][2], r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]],
        [r[2][1] - r[1][2], 1.0 + r[0][0] - r[1][1] - r[2][2], r[0][1] + r[1][0], r[0][2] + r[2][0]],
        [r[0][2] - r[2][0], r[0][1] + r[1][0], 1.0 - r[0][0] + r[1][1] - r[2][2], r[1][2] + r[2][1]],
        [r[1][0] - r[0][1], r[0][2] + r[2][0], r[1][2] + r[2][1], 1.0 - r[0][0] - r[1][1] + r[2][2]],
    ];
    let largest = (1..4).fold(0, |best, n| if products[n][n] > products[best][best] { n } else { best });
    let [a, b, c, d] = products[largest];
    // NIfTI stores no a: it is the positive root.
    let length = (a * a + b * b + c * c + d * d).sqrt() * if a < 0.0 { -1.0 } else { 1.0 };
    (flip, [b / length, c / length, d / length])
}

fn determinant(m: [[f64; 3]; 3]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}
