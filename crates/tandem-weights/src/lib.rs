//! Weights that another program trained, as named arrays.
//!
//! [`read`] takes a PyTorch state dict (`.pth`, `.pt`) or a safetensors file. A `.pth` is a zip archive with a pickle in it, and a
//! pickle is a program. Here it runs on a machine that knows tensors and containers and nothing else: whatever else a file
//! asks for ends the reading with a reason. Nothing is ever written, no code of the file runs, and memory is bounded by the
//! file's size: an array takes no more values than its storage has, and all of them together no more bytes than the file.
#![forbid(unsafe_code)]

mod dtype;
mod error;
mod file;
mod machine;
mod opcode;
mod safe;
mod torch;
mod zip;

pub use error::{Error, Result};
pub use file::{of_bytes, read};

use std::collections::BTreeMap;

/// An array of any shape. Values are f32, whatever they are in the file: wider ones are rounded.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its sides; none for a single value.
    pub shape: Vec<usize>,
    /// Its values, the last side fastest.
    pub values: Vec<f32>,
}

/// Arrays by name. Names within containers are joined by dots, as in `state_dict.out_conv.weight`.
pub type Arrays = BTreeMap<String, Array>;

/// What is wrong with a file, as the end of a sentence that begins with its name.
pub(crate) type Parsed<T> = std::result::Result<T, String>;
