//! The fields of a NIfTI-1 or NIfTI-2 header as numbers, in either byte order.
use std::path::Path;

use crate::stored::Endian;
use crate::{Error, Result};

/// The longest header: that of NIfTI-2, and the four bytes that announce extensions.
pub(crate) const LONGEST_HEADER: usize = HEADER_2 + 4;

const HEADER_1: usize = 348;
const HEADER_2: usize = 540;

/// What the two versions say in fields of the same names.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    /// 1 or 2.
    pub(super) version: u8,
    /// Whether the voxels are in another file, which the magic bytes say.
    pub(super) is_pair: bool,
    pub(super) endian: Endian,
    pub(super) dim: [i64; 8],
    pub(super) datatype: i16,
    pub(super) bitpix: i16,
    pub(super) pixdim: [f64; 8],
    pub(super) vox_offset: f64,
    pub(super) scl_slope: f64,
    pub(super) scl_inter: f64,
    pub(super) qform_code: i32,
    pub(super) sform_code: i32,
    /// Parts b, c, d of the unit quaternion.
    pub(super) quatern: [f64; 3],
    pub(super) qoffset: [f64; 3],
    /// The rows `srow_x`, `srow_y`, `srow_z`.
    pub(super) srow: [[f64; 4]; 3],
    pub(super) xyzt_units: i32,
    pub(super) descrip: String,
    path: &'a Path,
}

impl<'a> Fields<'a> {
    /// The fields in the first bytes of a file, [`LONGEST_HEADER`] of them where there are so many.
    pub(super) fn parse(bytes: &[u8], path: &'a Path) -> Result<Self> {
        let truncated = |expected: usize| Error::Truncated {
            path: path.to_owned(),
            expected: expected as u64,
            found: bytes.len() as u64,
        };
        let Some(size) = bytes.first_chunk::<4>() else { return Err(truncated(HEADER_1)) };
        let (version, endian) = match (i32::from_le_bytes(*size), i32::from_be_bytes(*size)) {
            (348, _) => (1, Endian::Little),
            (_, 348) => (1, Endian::Big),
            (540, _) => (2, Endian::Little),
            (_, 540) => (2, Endian::Big),
            _ => {
                return Err(Error::file(
                    path,
                    "this is not a NIfTI file (its first number is neither 348 nor 540); convert the file to NIfTI",
                ));
            }
        };
        let length = if version == 1 { HEADER_1 } else { HEADER_2 };
        let bytes = bytes.get(..length).ok_or_else(|| truncated(length))?;
        let magic = if version == 1 { &bytes[344..348] } else { &bytes[4..12] };
        let is_pair = match magic {
            b"n+1\0" | b"n+2\0\r\n\x1a\n" => false,
            b"ni1\0" | b"ni2\0\r\n\x1a\n" => true,
            _ => {
                return Err(Error::file(
                    path,
                    "the magic bytes n+1, ni1, n+2 or ni2 are missing (an Analyze file?); convert the file to NIfTI",
                ));
            }
        };
        let numbers = Numbers { bytes, endian };
        let fields = if version == 1 { numbers.version_1(path) } else { numbers.version_2(path) };
        Ok(Fields { is_pair, ..fields })
    }

    /// Where the header and its announcement of extensions end: the first byte that voxels of one file can have.
    pub(super) fn end(&self) -> u64 {
        4 + if self.version == 1 { HEADER_1 } else { HEADER_2 } as u64
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Error {
        Error::file(self.path, message)
    }

    /// Every field that says something about the voxels, for people.
    pub(super) fn claims(&self) -> Vec<(String, String)> {
        let [x, y, z] = self.srow;
        let endian = if self.endian == Endian::Little { "little" } else { "big" };
        [
            ("byte order", endian.to_owned()),
            ("dim", format!("{:?}", self.dim)),
            ("datatype", self.datatype.to_string()),
            ("bitpix", self.bitpix.to_string()),
            ("pixdim", format!("{:?}", self.pixdim)),
            ("vox_offset", self.vox_offset.to_string()),
            ("scl_slope", self.scl_slope.to_string()),
            ("scl_inter", self.scl_inter.to_string()),
            ("xyzt_units", self.xyzt_units.to_string()),
            ("qform_code", self.qform_code.to_string()),
            ("sform_code", self.sform_code.to_string()),
            ("quatern_b, c, d", format!("{:?}", self.quatern)),
            ("qoffset_x, y, z", format!("{:?}", self.qoffset)),
            ("srow_x", format!("{x:?}")),
            ("srow_y", format!("{y:?}")),
            ("srow_z", format!("{z:?}")),
            ("descrip", self.descrip.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

/// The numbers of a header by their byte offset.
struct Numbers<'a> {
    bytes: &'a [u8],
    endian: Endian,
}

impl Numbers<'_> {
    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes: [u8; N] = std::array::from_fn(|n| self.bytes[offset + n]);
        if self.endian == Endian::Big {
            bytes.reverse();
        }
        bytes
    }

    fn i16(&self, offset: usize) -> i16 {
        i16::from_le_bytes(self.array(offset))
    }

    fn i32(&self, offset: usize) -> i32 {
        i32::from_le_bytes(self.array(offset))
    }

    fn i64(&self, offset: usize) -> i64 {
        i64::from_le_bytes(self.array(offset))
    }

    fn f32s<const N: usize>(&self, offset: usize) -> [f64; N] {
        std::array::from_fn(|n| f64::from(f32::from_le_bytes(self.array(offset + 4 * n))))
    }

    fn f64s<const N: usize>(&self, offset: usize) -> [f64; N] {
        std::array::from_fn(|n| f64::from_le_bytes(self.array(offset + 8 * n)))
    }

    fn text(&self, offset: usize, length: usize) -> String {
        let bytes = &self.bytes[offset..offset + length];
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(length);
        String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
    }

    /// <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>
    fn version_1<'a>(&self, path: &'a Path) -> Fields<'a> {
        let [vox_offset, scl_slope, scl_inter] = self.f32s(108);
        Fields {
            version: 1,
            is_pair: false,
            endian: self.endian,
            dim: std::array::from_fn(|n| i64::from(self.i16(40 + 2 * n))),
            datatype: self.i16(70),
            bitpix: self.i16(72),
            pixdim: self.f32s(76),
            vox_offset,
            scl_slope,
            scl_inter,
            xyzt_units: i32::from(self.bytes[123]),
            descrip: self.text(148, 80),
            qform_code: i32::from(self.i16(252)),
            sform_code: i32::from(self.i16(254)),
            quatern: self.f32s(256),
            qoffset: self.f32s(268),
            srow: [self.f32s(280), self.f32s(296), self.f32s(312)],
            path,
        }
    }

    /// <https://nifti.nimh.nih.gov/pub/dist/doc/nifti2.h>
    fn version_2<'a>(&self, path: &'a Path) -> Fields<'a> {
        let [scl_slope, scl_inter] = self.f64s(176);
        Fields {
            version: 2,
            is_pair: false,
            endian: self.endian,
            datatype: self.i16(12),
            bitpix: self.i16(14),
            dim: std::array::from_fn(|n| self.i64(16 + 8 * n)),
            pixdim: self.f64s(104),
            vox_offset: self.i64(168) as f64,
            scl_slope,
            scl_inter,
            descrip: self.text(240, 80),
            qform_code: self.i32(344),
            sform_code: self.i32(348),
            quatern: self.f64s(352),
            qoffset: self.f64s(376),
            srow: [self.f64s(400), self.f64s(432), self.f64s(464)],
            xyzt_units: self.i32(500),
            path,
        }
    }
}
