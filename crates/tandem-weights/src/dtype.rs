//! How values lie in a file.

use half::{bf16, f16};

/// The type of stored values, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl Dtype {
    /// The type that a storage class of PyTorch holds.
    pub(crate) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "DoubleStorage" => Dtype::F64,
            "FloatStorage" => Dtype::F32,
            "HalfStorage" => Dtype::F16,
            "BFloat16Storage" => Dtype::Bf16,
            "LongStorage" => Dtype::I64,
            "IntStorage" => Dtype::I32,
            "ShortStorage" => Dtype::I16,
            "CharStorage" => Dtype::I8,
            "ByteStorage" => Dtype::U8,
            "BoolStorage" => Dtype::Bool,
            _ => return None,
        })
    }

    /// The type of a safetensors entry.
    pub(crate) fn of_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
        Some(match dtype {
            safetensors::Dtype::F64 => Dtype::F64,
            safetensors::Dtype::F32 => Dtype::F32,
            safetensors::Dtype::F16 => Dtype::F16,
            safetensors::Dtype::BF16 => Dtype::Bf16,
            safetensors::Dtype::I64 => Dtype::I64,
            safetensors::Dtype::I32 => Dtype::I32,
            safetensors::Dtype::I16 => Dtype::I16,
            safetensors::Dtype::I8 => Dtype::I8,
            safetensors::Dtype::U8 => Dtype::U8,
            safetensors::Dtype::BOOL => Dtype::Bool,
            _ => return None,
        })
    }

    /// Bytes of one value.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    /// All whole values of these bytes.
    pub(crate) fn values(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect()
        }
        match self {
            Dtype::F64 => each(bytes, |chunk| f64::from_le_bytes(chunk) as f32),
            Dtype::F32 => each(bytes, f32::from_le_bytes),
            Dtype::F16 => each(bytes, |chunk| f16::from_le_bytes(chunk).to_f32()),
            Dtype::Bf16 => each(bytes, |chunk| bf16::from_le_bytes(chunk).to_f32()),
            Dtype::I64 => each(bytes, |chunk| i64::from_le_bytes(chunk) as f32),
            Dtype::I32 => each(bytes, |chunk| i32::from_le_bytes(chunk) as f32),
            Dtype::I16 => each(bytes, |chunk| f32::from(i16::from_le_bytes(chunk))),
            Dtype::I8 => each(bytes, |chunk| f32::from(i8::from_le_bytes(chunk))),
            Dtype::U8 => each(bytes, |[byte]| f32::from(byte)),
            Dtype::Bool => each(bytes, |[byte]| f32::from(u8::from(byte != 0))),
        }
    }
}
