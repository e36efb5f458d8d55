//! The voxels of one slice.
//!
//! What a compressed frame claims is compared with the header before a decoder takes memory for it, and a frame that is
//! cut short is an error instead of zeros.
use std::borrow::Cow;
use std::fs;
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::Path;

use super::data_set::PixelData;
use super::rle;
use super::slice::Slice;
use crate::{Error, Result};

/// How the voxels of a file are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Rle,
    Jpeg,
    Jpeg2000,
}

impl Encoding {
    /// The encoding of a transfer syntax, or why it is not read.
    pub(super) fn of(transfer_syntax: &str) -> Result<Self, String> {
        let number = transfer_syntax.trim_end_matches('\0').strip_prefix("1.2.840.10008.1.2");
        match number {
            Some("" | ".1" | ".2") => Ok(Encoding::Plain),
            Some(".5") => Ok(Encoding::Rle),
            Some(".4.50" | ".4.51" | ".4.57" | ".4.70") => Ok(Encoding::Jpeg),
            Some(".4.90" | ".4.91") => Ok(Encoding::Jpeg2000),
            _ => Err(format!(
                "the transfer syntax {transfer_syntax} (0002,0010) is not read; export the series uncompressed"
            )),
        }
    }
}

/// How a value lies in the bits of a voxel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bits {
    allocated: u16,
    stored: u16,
    high: u16,
    signed: bool,
}

impl Bits {
    /// `None` where the bits make no value of 1 or 2 bytes.
    pub(super) fn new(allocated: u16, stored: u16, high: u16, signed: bool) -> Option<Self> {
        let sound = [8, 16].contains(&allocated)
            && stored > 0
            && stored <= high.saturating_add(1)
            && high < allocated;
        sound.then_some(Bits { allocated, stored, high, signed })
    }

    /// Bytes of a voxel.
    pub(super) fn bytes(self) -> usize {
        usize::from(self.allocated / 8)
    }

    /// The value in the bits of a voxel; other bits may hold overlays.
    fn value(self, voxel: u16) -> i32 {
        let unused = 16 - u32::from(self.stored);
        let top = voxel << (15 - u32::from(self.high));
        if self.signed { i32::from(top as i16 >> unused) } else { i32::from(top >> unused) }
    }
}

/// Decodes the voxels of a slice into `values`, row by row, rescaled: f32 in little endian.
pub(super) fn decode(slice: &Slice, values: &mut [[u8; 4]]) -> Result<()> {
    let bytes = fs::read(&slice.path).map_err(Error::io(&slice.path))?;
    let part = |range: &Range<usize>| {
        bytes.get(range.clone()).ok_or_else(|| damaged(&slice.path, "changed since its header was read"))
    };
    let count = values.len();
    let voxels: Vec<u16> = match (slice.encoding, &slice.pixel_data) {
        (Encoding::Plain, PixelData::Plain(range)) => {
            let bytes = part(range)?.get(..count * slice.bits.bytes());
            let bytes = bytes.ok_or_else(|| damaged(&slice.path, "is cut short"))?;
            words(bytes, slice.bits.bytes(), slice.is_big_endian)
        }
        (encoding, PixelData::Fragments(fragments)) if encoding != Encoding::Plain => {
            // A file of one frame: all fragments are parts of it.
            let frame = match &fragments[..] {
                [one] => Cow::Borrowed(part(one)?),
                many => Cow::Owned(many.iter().map(part).collect::<Result<Vec<_>>>()?.concat()),
            };
            unpack(encoding, &frame, slice).map_err(|what| damaged(&slice.path, &what))?
        }
        _ => return Err(damaged(&slice.path, "is not encoded as its transfer syntax (0002,0010) says")),
    };
    if voxels.len() != count {
        return Err(damaged(&slice.path, "does not hold one value a voxel"));
    }
    for (value, voxel) in values.iter_mut().zip(voxels) {
        let rescaled = f64::from(slice.bits.value(voxel)) * slice.slope + slice.intercept;
        *value = (rescaled as f32).to_le_bytes();
    }
    Ok(())
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::file(
        path,
        format!("PixelData (7FE0,0010) {what}; the file is damaged, so copy or export it again"),
    )
}

/// Values of 1 or 2 bytes. Single bytes lie in words of little-endian order too where the file is big endian.
fn words(bytes: &[u8], size: usize, is_big_endian: bool) -> Vec<u16> {
    match size {
        1 => bytes.iter().map(|&byte| byte.into()).collect(),
        _ if is_big_endian => bytes.as_chunks().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect(),
        _ => bytes.as_chunks().0.iter().map(|&pair| u16::from_le_bytes(pair)).collect(),
    }
}

/// The voxels of a compressed frame, or what is wrong with it.
fn unpack(encoding: Encoding, frame: &[u8], slice: &Slice) -> Result<Vec<u16>, String> {
    let (size, count) = (slice.bits.bytes(), slice.rows * slice.columns);
    let claimed = match encoding {
        Encoding::Plain => return Err("is not compressed".into()),
        Encoding::Rle => {
            let bytes = rle::decode(frame, size, count).ok_or("holds a damaged RLE frame")?;
            return Ok(words(&bytes, size, false));
        }
        Encoding::Jpeg => jpeg_size(frame),
        Encoding::Jpeg2000 => jpeg_2000_size(frame),
    };
    match claimed {
        Some(claimed) if claimed == [slice.rows, slice.columns] => {}
        Some([rows, columns]) => {
            return Err(format!(
                "holds a frame of {rows} rows and {columns} columns, but Rows (0028,0010) and Columns (0028,0011) are \
                 {} and {}",
                slice.rows, slice.columns
            ));
        }
        None => return Err("holds a frame without a size, or in colour".into()),
    }
    // The decoders are other people's: one that panics on damaged data must not end the program.
    let decoded = match encoding {
        Encoding::Jpeg => catch_unwind(|| decode_jpeg(frame, count)),
        _ => catch_unwind(|| decode_jpeg_2000(frame)),
    };
    decoded.unwrap_or(None).ok_or_else(|| "holds a frame that is cut short or damaged".into())
}

fn decode_jpeg(frame: &[u8], count: usize) -> Option<Vec<u16>> {
    let bytes = jpeg_decoder::Decoder::new(frame).decode().ok()?;
    (bytes.len().is_multiple_of(count))
        .then(|| words(&bytes, bytes.len() / count, cfg!(target_endian = "big")))
}

fn decode_jpeg_2000(frame: &[u8]) -> Option<Vec<u16>> {
    let whole = jpeg2k::DecodeParameters::new().strict(true);
    let image = jpeg2k::Image::from_bytes_with(frame, whole).ok()?;
    let [component] = image.components() else { return None };
    // Negative values keep their low 16 bits, of which the header says how many count.
    Some(component.data().iter().map(|&value| value as u16).collect())
}

/// Rows and columns of a JPEG frame with one component (ITU T.81, B.2.2).
fn jpeg_size(frame: &[u8]) -> Option<[usize; 2]> {
    let mut rest = frame.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let &[0xff, marker, high, low, ..] = rest else { return None };
        if marker == 0xff {
            rest = &rest[1..]; // a fill byte
            continue;
        }
        let is_start_of_frame = matches!(marker, 0xc0..=0xcf) && ![0xc4, 0xc8, 0xcc].contains(&marker);
        let segment = rest.get(2..2 + usize::from(u16::from_be_bytes([high, low])))?;
        match segment {
            &[_, _, _, r1, r0, c1, c0, components, ..] if is_start_of_frame => {
                let side = |high, low| usize::from(u16::from_be_bytes([high, low]));
                return (components == 1).then(|| [side(r1, r0), side(c1, c0)]);
            }
            _ if is_start_of_frame => return None,
            _ => rest = &rest[2 + segment.len()..],
        }
    }
}

/// Rows and columns of a JPEG 2000 codestream with one component (ITU T.800, A.5.1).
fn jpeg_2000_size(frame: &[u8]) -> Option<[usize; 2]> {
    let size = frame.strip_prefix(&[0xff, 0x4f, 0xff, 0x51])?;
    let number = |offset: usize| {
        let bytes = size.get(offset..offset + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize)
    };
    let [columns, rows, left, top] = [number(4)?, number(8)?, number(12)?, number(16)?];
    let components = u16::from_be_bytes(size.get(36..38)?.try_into().ok()?);
    if components != 1 {
        return None;
    }
    Some([rows.checked_sub(top)?, columns.checked_sub(left)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_out_of_their_bits() {
        let stored = |bits, high, signed| Bits::new(16, bits, high, signed).unwrap();
        // 12 bits below four bits of an overlay.
        assert_eq!(stored(12, 11, false).value(0xa123), 0x123);
        assert_eq!(stored(12, 11, true).value(0xafff), -1);
        assert_eq!(stored(12, 15, false).value(0x123f), 0x123);
        assert_eq!(stored(16, 15, true).value(0x8000), -32768);
        assert_eq!(stored(16, 15, false).value(0x8000), 32768);
        assert_eq!(Bits::new(8, 8, 7, true).unwrap().value(0x00ff), -1);
        for (allocated, bits, high) in [(32, 16, 15), (16, 0, 15), (16, 13, 11), (16, 12, 16), (8, 12, 11)] {
            assert_eq!(Bits::new(allocated, bits, high, false), None, "{allocated} {bits} {high}");
        }
    }

    #[test]
    fn sizes_are_read_before_frames_are_decoded() {
        let jpeg = [0xff, 0xd8, 0xff, 0xfe, 0, 3, 9, 0xff, 0xff, 0xc3, 0, 11, 16, 2, 1, 3, 4, 1, 1, 0x11, 0];
        assert_eq!(jpeg_size(&jpeg), Some([513, 772]));
        (0..20).for_each(|length| assert_eq!(jpeg_size(&jpeg[..length]), None, "{length}"));
        let mut colour = jpeg;
        colour[17] = 3;
        assert_eq!(jpeg_size(&colour), None);
    }
}
