//! The header of a NIfTI-1 file.
use std::path::Path;

use crate::stored::{Endian, Scalar, byte_count};
use crate::{Error, Geometry, Result};

/// Bytes of the header and of the four that announce extensions.
pub(crate) const HEADER_BYTES: usize = 352;

/// What a NIfTI-1 header says about the voxels of its file.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// Voxels along i, j, k.
    pub(crate) shape: [usize; 3],
    pub(crate) geometry: Geometry,
    pub(crate) scalar: Scalar,
    pub(crate) endian: Endian,
    /// Slope and intercept, where they change anything.
    pub(crate) scaling: Option<(f64, f64)>,
    /// Where the voxels begin in the (uncompressed) file.
    pub(crate) data_offset: u64,
    /// How many bytes they take.
    pub(crate) data_bytes: u64,
}

impl Header {
    /// Parses the first [`HEADER_BYTES`] bytes of a file.
    ///
    /// # Errors
    /// Where they are not a NIfTI-1 header of one 3-D grid of scalars with a sound geometry.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let fields = Fields::new(bytes, path)?;
        let shape = shape(&fields)?;
        let scalar = scalar(&fields)?;
        let data_bytes = byte_count(shape, scalar.size()).ok_or_else(|| {
            Error::file(path, format!("the header claims {shape:?} voxels; the file is damaged"))
        })?;
        let geometry = geometry(&fields).map_err(|error| Error::file(path, error.to_string()))?;
        Ok(Header {
            shape,
            geometry,
            scalar,
            endian: fields.endian,
            scaling: scaling(&fields),
            data_offset: data_offset(&fields)?,
            data_bytes: data_bytes as u64,
        })
    }
}

/// The header's numbers by their byte offset, in the file's byte order.
struct Fields<'a> {
    bytes: &'a [u8; HEADER_BYTES],
    endian: Endian,
    path: &'a Path,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8], path: &'a Path) -> Result<Self> {
        let Ok(bytes) = <&[u8; HEADER_BYTES]>::try_from(bytes) else {
            let (expected, found) = (HEADER_BYTES as u64, bytes.len() as u64);
            return Err(Error::Truncated { path: path.to_owned(), expected, found });
        };
        let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let endian = match (i32::from_le_bytes(size), i32::from_be_bytes(size)) {
            (348, _) => Endian::Little,
            (_, 348) => Endian::Big,
            (540, _) | (_, 540) => {
                return Err(Error::file(path, "NIfTI-2 is not read; convert the file to NIfTI-1"));
            }
            _ => return Err(Error::file(path, "this is not a NIfTI file (its first number is not 348)")),
        };
        match &bytes[344..348] {
            b"n+1\0" => Ok(Fields { bytes, endian, path }),
            b"ni1\0" => {
                Err(Error::file(path, "header and voxels are in two files; convert them to one .nii file"))
            }
            _ => Err(Error::file(
                path,
                "the magic bytes n+1 are missing (Analyze?); convert the file to NIfTI-1",
            )),
        }
    }

    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        std::array::from_fn(|n| self.bytes[offset + n])
    }

    fn i16(&self, offset: usize) -> i16 {
        match self.endian {
            Endian::Little => i16::from_le_bytes(self.array(offset)),
            Endian::Big => i16::from_be_bytes(self.array(offset)),
        }
    }

    fn f32(&self, offset: usize) -> f64 {
        f64::from(match self.endian {
            Endian::Little => f32::from_le_bytes(self.array(offset)),
            Endian::Big => f32::from_be_bytes(self.array(offset)),
        })
    }

    fn error(&self, message: String) -> Error {
        Error::file(self.path, message)
    }
}

/// Field `dim`: 2-D and 3-D grids, and those of more dimensions whose further sides are 1.
fn shape(fields: &Fields) -> Result<[usize; 3]> {
    let dim: [i16; 8] = std::array::from_fn(|n| fields.i16(40 + 2 * n));
    let count = dim[0];
    if !(1..=7).contains(&count) {
        return Err(fields.error(format!("dim[0] is {count}, but a NIfTI-1 file has 1 to 7 dimensions")));
    }
    let side = |axis: usize| if axis <= count as usize { dim[axis] } else { 1 };
    let sides = [side(1), side(2), side(3)];
    if sides.iter().any(|&side| side < 1) {
        return Err(fields.error(format!("dim is {dim:?}, but every side needs at least one voxel")));
    }
    if (4..=7).any(|axis| side(axis) > 1) {
        return Err(fields
            .error(format!("dim is {dim:?}, but only one 3-D volume is read; extract the one you mean")));
    }
    Ok(sides.map(|side| side as usize))
}

/// Fields `datatype` and `bitpix`.
fn scalar(fields: &Fields) -> Result<Scalar> {
    let (datatype, bitpix) = (fields.i16(70), fields.i16(72));
    let scalar = match datatype {
        2 => Scalar::U8,
        4 => Scalar::I16,
        8 => Scalar::I32,
        16 => Scalar::F32,
        64 => Scalar::F64,
        256 => Scalar::I8,
        512 => Scalar::U16,
        768 => Scalar::U32,
        1024 => Scalar::I64,
        1280 => Scalar::U64,
        _ => {
            return Err(fields.error(format!(
                "datatype {datatype} is not a real number of up to 64 bits; convert the voxels to such a type"
            )));
        }
    };
    if usize::try_from(bitpix) != Ok(8 * scalar.size()) {
        return Err(
            fields.error(format!("datatype {datatype} and bitpix {bitpix} disagree; the file is damaged"))
        );
    }
    Ok(scalar)
}

/// Field `vox_offset`; 0 stands for "behind the header".
fn data_offset(fields: &Fields) -> Result<u64> {
    let offset = fields.f32(108);
    if offset == 0.0 {
        return Ok(HEADER_BYTES as u64);
    }
    // The comparisons fail for NaN; 2^32 bytes of extensions are damage.
    if offset >= HEADER_BYTES as f64 && offset <= 4_294_967_296.0 && offset.fract() == 0.0 {
        return Ok(offset as u64);
    }
    Err(fields.error(format!("vox_offset is {offset}, but voxels begin at byte 352 or later")))
}

/// Fields `scl_slope` and `scl_inter`: a slope that is 0 or not finite means none.
fn scaling(fields: &Fields) -> Option<(f64, f64)> {
    let (slope, intercept) = (fields.f32(112), fields.f32(116));
    let meant =
        slope != 0.0 && slope.is_finite() && intercept.is_finite() && (slope, intercept) != (1.0, 0.0);
    meant.then_some((slope, intercept))
}

/// The grid in mm: sform where its code is set, else qform, else the spacing alone.
fn geometry(fields: &Fields) -> Result<Geometry> {
    let mut affine = if fields.i16(254) > 0 {
        sform(fields)
    } else if fields.i16(252) > 0 {
        qform(fields)
    } else {
        spacing_alone(fields)
    };
    let mm = match fields.bytes[123] & 7 {
        1 => 1000.0, // metres
        3 => 0.001,  // micrometres
        _ => 1.0,
    };
    for row in &mut affine[..3] {
        row.iter_mut().for_each(|value| *value *= mm);
    }
    Geometry::from_affine(affine)
}

fn sform(fields: &Fields) -> [[f64; 4]; 4] {
    let row = |row: usize| [0, 1, 2, 3].map(|column| fields.f32(280 + 16 * row + 4 * column));
    [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]
}

fn spacing_alone(fields: &Fields) -> [[f64; 4]; 4] {
    let [x, y, z] = [80, 84, 88].map(|offset| fields.f32(offset));
    [[x, 0.0, 0.0, 0.0], [0.0, y, 0.0, 0.0], [0.0, 0.0, z, 0.0], [0.0, 0.0, 0.0, 1.0]]
}

/// The rotation of a unit quaternion, scaled by `pixdim`; a negative `pixdim[0]` flips the third axis.
fn qform(fields: &Fields) -> [[f64; 4]; 4] {
    let [b, c, d] = [256, 260, 264].map(|offset| fields.f32(offset));
    let rest = 1.0 - b * b - c * c - d * d;
    // As NIfTI's own code has it: less than 1e-7 is the rounding of b, c, d to f32, and its root is no small angle.
    let a = if rest < 1e-7 { 0.0 } else { rest.sqrt() };
    let length = (a * a + b * b + c * c + d * d).sqrt();
    let [a, b, c, d] = [a, b, c, d].map(|part| part / length);
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ];
    let flip = if fields.f32(76) < 0.0 { -1.0 } else { 1.0 };
    let scale = [fields.f32(80), fields.f32(84), fields.f32(88) * flip];
    let row = |row: usize| {
        let [x, y, z] = [0, 1, 2].map(|axis| rotation[row][axis] * scale[axis]);
        [x, y, z, fields.f32(268 + 4 * row)]
    };
    [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]
}
