//! What a NIfTI header says about the voxels.
use std::path::Path;

use super::affine;
use super::fields::Fields;
use crate::stored::{About, Endian, Scalar, byte_count};
use crate::{Error, Geometry, Result};

/// The longest extensions that are passed over, in bytes.
const EXTENSIONS: f64 = 256.0 * 1024.0 * 1024.0;

/// NIfTI's numbers of the scalar types.
pub(super) const DATATYPES: [(i16, Scalar); 10] = [
    (2, Scalar::U8),
    (4, Scalar::I16),
    (8, Scalar::I32),
    (16, Scalar::F32),
    (64, Scalar::F64),
    (256, Scalar::I8),
    (512, Scalar::U16),
    (768, Scalar::U32),
    (1024, Scalar::I64),
    (1280, Scalar::U64),
];

/// What a NIfTI-1 or NIfTI-2 header says about its voxels.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// Voxels along i, j, k.
    pub(crate) shape: [usize; 3],
    /// Values of each voxel, one channel after the other.
    pub(crate) channels: usize,
    pub(crate) geometry: Geometry,
    pub(crate) scalar: Scalar,
    pub(crate) endian: Endian,
    /// Slope and intercept, where they change anything.
    pub(crate) scaling: Option<(f64, f64)>,
    /// Whether the voxels are in another file.
    pub(crate) is_pair: bool,
    /// Where the voxels begin in their (uncompressed) file.
    pub(crate) data_offset: u64,
    /// How many bytes they take.
    pub(crate) data_bytes: u64,
    pub(crate) about: About,
}

impl Header {
    /// Parses the first [`super::LONGEST_HEADER`] bytes of a file, or all of a shorter one.
    ///
    /// # Errors
    /// Where they are not a NIfTI header of one 3-D grid of channels of scalars with a sound geometry.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let fields = Fields::parse(bytes, path)?;
        let (shape, channels) = sides(&fields)?;
        let scalar = scalar(&fields)?;
        let voxel = scalar.size().checked_mul(channels);
        let data_bytes = voxel.and_then(|voxel| byte_count(shape, voxel)).ok_or_else(|| {
            fields.error(format!(
                "dim claims {shape:?} voxels of {channels} channel(s), more than any memory holds; the file is damaged, copy or download it again"
            ))
        })?;
        let mut mended = Vec::new();
        let geometry = affine::geometry(&fields, shape, &mut mended)
            .map_err(|error| Error::file(path, error.to_string()))?;
        let scaling = scaling(&fields, &mut mended)?;
        Ok(Header {
            shape,
            channels,
            geometry,
            scalar,
            endian: fields.endian,
            scaling,
            is_pair: fields.is_pair,
            data_offset: data_offset(&fields, &mut mended)?,
            data_bytes: data_bytes as u64,
            about: About { format: format!("NIfTI-{}", fields.version), claims: fields.claims(), mended },
        })
    }
}

/// Field `dim`: voxels along i, j, k of 2-D and 3-D grids, and how many channels (or times) lie along one further
/// dimension.
fn sides(fields: &Fields) -> Result<([usize; 3], usize)> {
    let dim = fields.dim;
    let count = dim[0];
    if !(1..=7).contains(&count) {
        return Err(fields.error(format!(
            "dim[0] is {count}, but a NIfTI file has 1 to 7 dimensions; the file is damaged, copy or download it again"
        )));
    }
    let side = |axis: usize| if axis <= count as usize { dim[axis] } else { 1 };
    if (1..=7).any(|axis| side(axis) < 1) {
        return Err(fields
            .error(format!("dim is {dim:?}, but every side needs at least one voxel; correct the header")));
    }
    let mut further = (4..=7).map(side).filter(|&side| side > 1);
    let channels = further.next().unwrap_or(1);
    if further.next().is_some() {
        return Err(fields.error(format!(
            "dim is {dim:?}, but channels are read along one further dimension only; extract the volume you mean"
        )));
    }
    Ok(([side(1), side(2), side(3)].map(|side| side as usize), channels as usize))
}

/// Fields `datatype` and `bitpix`.
fn scalar(fields: &Fields) -> Result<Scalar> {
    let (datatype, bitpix) = (fields.datatype, fields.bitpix);
    let scalar = DATATYPES.into_iter().find_map(|(code, scalar)| (code == datatype).then_some(scalar));
    let scalar = scalar.ok_or_else(|| {
        fields.error(format!(
            "datatype {datatype} is not a real number of up to 64 bits; convert the voxels to such a type"
        ))
    })?;
    if usize::try_from(bitpix) != Ok(8 * scalar.size()) {
        return Err(fields.error(format!(
            "datatype {datatype} and bitpix {bitpix} disagree; the file is damaged, copy or download it again"
        )));
    }
    Ok(scalar)
}

/// Field `vox_offset`; in one file, 0 stands for "behind the header".
fn data_offset(fields: &Fields, mended: &mut Vec<String>) -> Result<u64> {
    let offset = fields.vox_offset;
    let least = if fields.is_pair { 0 } else { fields.end() };
    if offset == 0.0 && least > 0 {
        mended.push(format!("vox_offset is 0; the voxels are taken from byte {least}, behind the header"));
        return Ok(least);
    }
    // The comparisons fail for NaN.
    if offset >= least as f64 && offset <= least as f64 + EXTENSIONS && offset.fract() == 0.0 {
        return Ok(offset as u64);
    }
    Err(fields.error(format!(
        "vox_offset is {offset}, but the voxels begin at byte {least} or at most 256 MiB later; correct the header"
    )))
}

/// Fields `scl_slope` and `scl_inter`. As nibabel has it, a slope that is 0 or not finite means none, and a sound slope
/// needs a finite intercept.
fn scaling(fields: &Fields, mended: &mut Vec<String>) -> Result<Option<(f64, f64)>> {
    let (slope, intercept) = (fields.scl_slope, fields.scl_inter);
    if slope == 0.0 || !slope.is_finite() {
        mended.push(format!("scl_slope is {slope}; the voxels are taken unscaled"));
        return Ok(None);
    }
    if !intercept.is_finite() {
        return Err(fields.error(format!(
            "scl_slope is {slope}, but scl_inter is {intercept}; set scl_inter to a number, or scl_slope to 0"
        )));
    }
    Ok(((slope, intercept) != (1.0, 0.0)).then_some((slope, intercept)))
}
