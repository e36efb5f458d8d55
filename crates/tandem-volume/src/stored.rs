//! Voxels as files store them, and their way into arrays.
use std::path::Path;

use ndarray::{Array3, Axis, Slice};

use crate::bytes::Bytes;
use crate::{Error, Geometry, Image, Result, Volume};

mod turned;

use turned::{from_rows, rows};
pub(crate) use turned::{part_to_i_fastest, reversed, to_i_fastest};

/// The scalar types that files store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Scalar {
    /// Bytes of one value.
    pub(crate) fn size(self) -> usize {
        match self {
            Scalar::U8 | Scalar::I8 => 1,
            Scalar::U16 | Scalar::I16 => 2,
            Scalar::U32 | Scalar::I32 | Scalar::F32 => 4,
            Scalar::U64 | Scalar::I64 | Scalar::F64 => 8,
        }
    }
}

/// A voxel type of this crate's own files.
pub(crate) trait Voxel: Copy + Default + Send + Sync {
    /// How files store it.
    const SCALAR: Scalar;
    /// Appends the values' bytes, little endian.
    fn encode(values: &[Self], bytes: &mut Vec<u8>);
    /// The array `[i, j, k]` of a file's bytes: `row` gives those along i, by k and j.
    fn decoded<'a>(
        row: impl Fn(usize, usize) -> &'a [u8] + Sync,
        endian: Endian,
        shape: [usize; 3],
    ) -> Array3<Self>;
}

impl Voxel for f32 {
    const SCALAR: Scalar = Scalar::F32;
    fn encode(values: &[Self], bytes: &mut Vec<u8>) {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    fn decoded<'a>(
        row: impl Fn(usize, usize) -> &'a [u8] + Sync,
        endian: Endian,
        shape: [usize; 3],
    ) -> Array3<f32> {
        let row = |k, j| row(k, j).as_chunks().0;
        match endian {
            Endian::Little => from_rows(row, shape, f32::from_le_bytes),
            Endian::Big => from_rows(row, shape, f32::from_be_bytes),
        }
    }
}

impl Voxel for u8 {
    const SCALAR: Scalar = Scalar::U8;
    fn encode(values: &[Self], bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(values);
    }
    fn decoded<'a>(
        row: impl Fn(usize, usize) -> &'a [u8] + Sync,
        _: Endian,
        shape: [usize; 3],
    ) -> Array3<u8> {
        from_rows(row, shape, |value| value)
    }
}

/// Order of the bytes in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

/// Where a file puts the values of several channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// One channel after the other.
    Planar,
    /// All values of a voxel together.
    Interleaved,
}

/// One grid of scalars as a file stores it: every reader makes one of these, and nothing else makes volumes of files.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Voxels along i, j, k.
    pub(crate) shape: [usize; 3],
    /// Values of each voxel, and their order.
    pub(crate) channels: (usize, Order),
    pub(crate) geometry: Geometry,
    pub(crate) scalar: Scalar,
    pub(crate) endian: Endian,
    /// Slope and intercept that turn stored values into intensities.
    pub(crate) scaling: Option<(f64, f64)>,
    /// The values, i fastest within a channel: exactly product(shape) * channels * scalar.size() bytes.
    pub(crate) bytes: Bytes,
    pub(crate) about: About,
}

/// What a reader found in a header beside the grid: for people who look into a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// The format and its version, such as `NIfTI-1`.
    pub(crate) format: String,
    /// The header's fields by name, as they stand.
    pub(crate) claims: Vec<(String, String)>,
    /// What in the header was contradictory or not sound, and how it was taken.
    pub(crate) mended: Vec<String>,
}

/// Evaluates `$body` with `$decode`, a function from the bytes of a value to the value in its own type.
macro_rules! with_decoder {
    ($stored:expr, $decode:ident => $body:expr) => {{
        macro_rules! of {
            ($kind:ty) => {
                match $stored.endian {
                    Endian::Little => {
                        let $decode = <$kind>::from_le_bytes;
                        $body
                    }
                    Endian::Big => {
                        let $decode = <$kind>::from_be_bytes;
                        $body
                    }
                }
            };
        }
        match $stored.scalar {
            Scalar::U8 => of!(u8),
            Scalar::I8 => of!(i8),
            Scalar::U16 => of!(u16),
            Scalar::I16 => of!(i16),
            Scalar::U32 => of!(u32),
            Scalar::I32 => of!(i32),
            Scalar::U64 => of!(u64),
            Scalar::I64 => of!(i64),
            Scalar::F32 => of!(f32),
            Scalar::F64 => of!(f64),
        }
    }};
}

impl Stored {
    /// The scan with all its channels, in f32.
    pub(crate) fn into_image(self) -> Image {
        let (channels, order) = self.channels;
        let [ni, nj, nk] = self.shape;
        let volume = |array| Volume::new(array, self.geometry.clone());
        let volumes = match order {
            Order::Interleaved if channels > 1 => {
                // One axis of all values of all voxels along i, which is then the slowest one of the array.
                let all = self.decoded(&self.bytes, [channels * ni, nj, nk]);
                let every = channels as isize;
                let of = |channel| all.slice_axis(Axis(0), Slice::new(channel, None, every)).to_owned();
                (0..every).map(|channel| volume(of(channel))).collect()
            }
            _ => {
                let size = ni * nj * nk * self.scalar.size();
                let of = |channel| self.decoded(&self.bytes[channel * size..][..size], self.shape);
                (0..channels).map(|channel| volume(of(channel))).collect()
            }
        };
        Image::on_one_grid(volumes)
    }

    /// The array `[i, j, k]` of a part of the file's values, in f32.
    fn decoded(&self, bytes: &[u8], shape: [usize; 3]) -> Array3<f32> {
        match self.scaling {
            // Not by way of f64, so that the bits stay, those of a NaN too.
            None if self.scalar == Scalar::F32 => {
                let [ni, nj, nk] = shape;
                f32::decoded(rows(bytes, [ni * size_of::<f32>(), nj, nk]), self.endian, shape)
            }
            // What each byte stands for is looked up.
            scaling if self.scalar.size() == 1 => {
                let (slope, intercept) = scaling.unwrap_or((1.0, 0.0));
                let signed = self.scalar == Scalar::I8;
                let value = |byte: u8| if signed { f64::from(byte as i8) } else { f64::from(byte) };
                let table: [f32; 256] =
                    std::array::from_fn(|byte| (value(byte as u8) * slope + intercept) as f32);
                from_rows(rows(bytes, shape), shape, |byte: u8| table[usize::from(byte)])
            }
            scaling => {
                let (slope, intercept) = scaling.unwrap_or((1.0, 0.0));
                with_decoder!(self, decode => from_rows(rows(bytes.as_chunks().0, shape), shape, |bytes| {
                    (decode(bytes) as f64 * slope + intercept) as f32
                }))
            }
        }
    }

    /// The scan, in f32; `path` is for the message where it has several channels.
    pub(crate) fn into_volume(self, path: &Path) -> Result<Volume<f32>> {
        self.check_single(path)?;
        Ok(self.into_image().into_channels().swap_remove(0))
    }

    fn check_single(&self, path: &Path) -> Result<()> {
        match self.channels.0 {
            1 => Ok(()),
            channels => Err(Error::file(
                path,
                format!(
                    "the file holds {channels} channels or times, but one 3-D volume is wanted; extract the one you mean"
                ),
            )),
        }
    }

    /// The label map; `path` is for the message where a value is no label.
    pub(crate) fn into_label(self, path: &Path) -> Result<Volume<u8>> {
        self.check_single(path)?;
        let (slope, intercept) = self.scaling.unwrap_or((1.0, 0.0));
        let mut wrong = None;
        self.for_each(|index, value| {
            let value = value * slope + intercept;
            // `as` saturates, and makes 0 of NaN.
            if f64::from(value as u8) != value {
                wrong.get_or_insert((index, value));
            }
        });
        if let Some((index, value)) = wrong {
            let [ni, nj, _] = self.shape;
            let voxel = [index % ni, index / ni % nj, index / (ni * nj)];
            return Err(Error::Label { path: path.to_owned(), voxel, value });
        }
        let array = with_decoder!(self, decode => from_rows(rows(self.bytes.as_chunks().0, self.shape), self.shape, |bytes| {
            (decode(bytes) as f64 * slope + intercept) as u8
        }));
        Ok(Volume::new(array, self.geometry))
    }

    /// Calls `visit` with every value in file order, unscaled.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(usize, f64)) {
        with_decoder!(self, decode => for (index, bytes) in self.bytes.as_chunks().0.iter().enumerate() {
            visit(index, decode(*bytes) as f64);
        });
    }
}

/// The bytes of a grid with sides `shape` and values of `size` bytes; `None` where no memory could hold them.
pub(crate) fn byte_count(shape: [usize; 3], size: usize) -> Option<usize> {
    shape
        .iter()
        .try_fold(size, |bytes, &side| bytes.checked_mul(side))
        .filter(|&bytes| bytes <= isize::MAX as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(scalar: Scalar, endian: Endian, bytes: Vec<u8>, scaling: Option<(f64, f64)>) -> Stored {
        let shape = [bytes.len() / scalar.size(), 1, 1];
        Stored {
            shape,
            channels: (1, Order::Planar),
            geometry: Geometry::isotropic(1.0).unwrap(),
            scalar,
            endian,
            scaling,
            bytes: bytes.into(),
            about: About::default(),
        }
    }

    fn values(stored: Stored) -> Vec<f32> {
        stored.into_volume(Path::new("scan.nii")).unwrap().array().iter().copied().collect()
    }

    #[test]
    fn every_scalar_type_decodes_in_both_byte_orders() {
        macro_rules! check {
            ($kind:ty, $scalar:expr, $values:expr) => {
                let numbers: Vec<$kind> = $values;
                let expected: Vec<f32> = numbers.iter().map(|&v| v as f32).collect();
                let little = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
                assert_eq!(values(stored($scalar, Endian::Little, little, None)), expected);
                let big = numbers.iter().flat_map(|v| v.to_be_bytes()).collect();
                assert_eq!(values(stored($scalar, Endian::Big, big, None)), expected);
            };
        }
        check!(u8, Scalar::U8, vec![0, 7, 255]);
        check!(i8, Scalar::I8, vec![-128, 7, 127]);
        check!(u16, Scalar::U16, vec![1, 258, 65535]);
        check!(i16, Scalar::I16, vec![-32768, 258, 32767]);
        check!(u32, Scalar::U32, vec![1, 66_000, u32::MAX]);
        check!(i32, Scalar::I32, vec![i32::MIN, -66_000, 5]);
        check!(u64, Scalar::U64, vec![1, 1 << 40]);
        check!(i64, Scalar::I64, vec![-1, -(1 << 40)]);
        check!(f32, Scalar::F32, vec![1.5, -1e-30]);
        check!(f64, Scalar::F64, vec![0.1, -1e30]);
    }

    #[test]
    fn scaling_is_applied_in_f64() {
        let image = stored(Scalar::U8, Endian::Little, vec![0, 3], Some((0.1, -0.2)));
        assert_eq!(values(image), [(-0.2f64) as f32, (3.0 * 0.1f64 - 0.2) as f32]);
        let image = stored(Scalar::I8, Endian::Little, vec![0x80, 3], Some((0.1, -0.2)));
        assert_eq!(values(image), [(-128.0 * 0.1f64 - 0.2) as f32, (3.0 * 0.1f64 - 0.2) as f32]);
    }

    #[test]
    fn labels_are_whole_numbers_from_0_to_255() {
        let label = |values: &[f32]| {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            stored(Scalar::F32, Endian::Little, bytes, None).into_label(Path::new("case.nii"))
        };
        let good: Vec<u8> = label(&[0.0, 1.0, 255.0]).unwrap().array().iter().copied().collect();
        assert_eq!(good, [0, 1, 255]);
        for bad in [0.5, -1.0, 256.0, f32::NAN, f32::INFINITY] {
            let message = label(&[0.0, bad]).unwrap_err().to_string();
            assert!(message.starts_with("case.nii: voxel [1, 0, 0] has the value"), "{message}");
        }
    }
}
