//! Voxels as files store them, and their way into arrays.
use std::path::Path;

use ndarray::Array3;

use crate::{Error, Geometry, Image, Result, Volume};

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
pub(crate) trait Voxel: Copy + Default {
    /// How files store it.
    const SCALAR: Scalar;
    /// Appends the values' bytes, little endian.
    fn encode(values: &[Self], bytes: &mut Vec<u8>);
    /// Decodes as many values as there are.
    fn decode(bytes: &[u8], endian: Endian, values: &mut [Self]);
}

impl Voxel for f32 {
    const SCALAR: Scalar = Scalar::F32;
    fn encode(values: &[Self], bytes: &mut Vec<u8>) {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    fn decode(bytes: &[u8], endian: Endian, values: &mut [Self]) {
        for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
            *value = match endian {
                Endian::Little => f32::from_le_bytes(*bytes),
                Endian::Big => f32::from_be_bytes(*bytes),
            };
        }
    }
}

impl Voxel for u8 {
    const SCALAR: Scalar = Scalar::U8;
    fn encode(values: &[Self], bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(values);
    }
    fn decode(bytes: &[u8], _: Endian, values: &mut [Self]) {
        values.copy_from_slice(bytes);
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
    pub(crate) bytes: Vec<u8>,
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

impl Stored {
    /// The scan with all its channels, in f32.
    pub(crate) fn into_image(self) -> Image {
        let (channels, order) = self.channels;
        let voxels: usize = self.shape.iter().product();
        let mut values = vec![0.0f32; voxels * channels];
        if self.scalar == Scalar::F32 && self.scaling.is_none() && order == Order::Planar {
            // Not by way of f64, so that the bits stay, those of a NaN too.
            f32::decode(&self.bytes, self.endian, &mut values);
        } else {
            let (slope, intercept) = self.scaling.unwrap_or((1.0, 0.0));
            let place = |index: usize| match order {
                Order::Planar => index,
                Order::Interleaved => index % channels * voxels + index / channels,
            };
            self.for_each(|index, value| values[place(index)] = (value * slope + intercept) as f32);
        }
        let volume = |channel: usize| {
            let values = &values[channel * voxels..][..voxels];
            Volume::new(from_i_fastest(values, self.shape), self.geometry.clone())
        };
        Image::on_one_grid((0..channels).map(volume).collect())
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
        let mut values = vec![0u8; self.bytes.len() / self.scalar.size()];
        let (slope, intercept) = self.scaling.unwrap_or((1.0, 0.0));
        let mut wrong = None;
        self.for_each(|index, value| {
            let value = value * slope + intercept;
            let label = value as u8; // saturates, NaN becomes 0
            if f64::from(label) != value {
                wrong.get_or_insert((index, value));
            }
            values[index] = label;
        });
        if let Some((index, value)) = wrong {
            let [ni, nj, _] = self.shape;
            let voxel = [index % ni, index / ni % nj, index / (ni * nj)];
            return Err(Error::Label { path: path.to_owned(), voxel, value });
        }
        Ok(Volume::new(from_i_fastest(&values, self.shape), self.geometry))
    }

    /// Calls `visit` with every value in file order, unscaled.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(usize, f64)) {
        macro_rules! each {
            ($kind:ty) => {{
                for (index, bytes) in self.bytes.as_chunks().0.iter().enumerate() {
                    let value = match self.endian {
                        Endian::Little => <$kind>::from_le_bytes(*bytes),
                        Endian::Big => <$kind>::from_be_bytes(*bytes),
                    };
                    visit(index, value as f64);
                }
            }};
        }
        match self.scalar {
            Scalar::U8 => each!(u8),
            Scalar::I8 => each!(i8),
            Scalar::U16 => each!(u16),
            Scalar::I16 => each!(i16),
            Scalar::U32 => each!(u32),
            Scalar::I32 => each!(i32),
            Scalar::U64 => each!(u64),
            Scalar::I64 => each!(i64),
            Scalar::F32 => each!(f32),
            Scalar::F64 => each!(f64),
        }
    }
}

/// The bytes of a grid with sides `shape` and values of `size` bytes; `None` where no memory could hold them.
pub(crate) fn byte_count(shape: [usize; 3], size: usize) -> Option<usize> {
    shape
        .iter()
        .try_fold(size, |bytes, &side| bytes.checked_mul(side))
        .filter(|&bytes| bytes <= isize::MAX as usize)
}

/// An array `[i, j, k]` of values that a file stores with i fastest.
pub(crate) fn from_i_fastest<T: Copy>(values: &[T], shape: [usize; 3]) -> Array3<T> {
    let [ni, nj, nk] = shape;
    Array3::from_shape_vec((ni, nj, nk), reverse_axes(values, [nk, nj, ni]))
        .expect("reverse_axes keeps the number of values, which is the product of the shape")
}

/// The values of an array `[i, j, k]` with i fastest, as files store them.
pub(crate) fn to_i_fastest<T: Copy>(array: &Array3<T>) -> Vec<T> {
    let (ni, nj, nk) = array.dim();
    let array = array.as_standard_layout();
    reverse_axes(array.as_slice().expect("a standard layout is one slice"), [ni, nj, nk])
}

/// Reverses the axes of a row-major array of sides `[a, b, c]`: the last axis was the fastest, the first one becomes
/// it. Works by tiles that fit the cache, since one of the two sides is always walked with a large stride.
fn reverse_axes<T: Copy>(values: &[T], [a, b, c]: [usize; 3]) -> Vec<T> {
    const TILE: usize = 32;
    assert_eq!(values.len(), a * b * c, "the number of values is the product of the sides");
    let mut reversed = values.to_vec();
    for z0 in (0..c).step_by(TILE) {
        for y in 0..b {
            for x0 in (0..a).step_by(TILE) {
                for z in z0..(z0 + TILE).min(c) {
                    let row = &mut reversed[(z * b + y) * a..][..a];
                    for x in x0..(x0 + TILE).min(a) {
                        row[x] = values[(x * b + y) * c + z];
                    }
                }
            }
        }
    }
    reversed
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
            bytes,
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

    #[test]
    fn i_is_fastest_in_files_and_k_in_arrays() {
        let shape = [37, 3, 41]; // larger than a tile, and no multiple of it
        let file: Vec<u32> = (0..37 * 3 * 41).collect();
        let array = from_i_fastest(&file, shape);
        for ((i, j, k), &value) in array.indexed_iter() {
            assert_eq!(value as usize, i + 37 * (j + 3 * k));
        }
        assert_eq!(to_i_fastest(&array), file);
    }
}
