//! The folder of prepared cases that training and evaluation read.
//!
//! ```text
//! DIR/manifest.json     what the cases are, where they come from, what was done to them
//! DIR/images/ID.nii     uncompressed NIfTI-1, f32; 4-D where the scan has several channels, one behind the other
//! DIR/labels/ID.nii     uncompressed NIfTI-1, u8; missing where the case is unlabelled
//! ```
//!
//! Nothing is compressed, so that a patch is read with one positioned read a plane and channel.

mod case;
mod manifest;
mod names;
mod planes;
mod writer;

pub use case::{PreparedCase, PreparedSet};
pub(crate) use manifest::check_id;
pub use manifest::{CaseRecord, Intensity, Manifest, Normalisation, Source, Split};
pub use names::Names;
pub use writer::{NewCase, Writer};

#[cfg(test)]
mod tests;
