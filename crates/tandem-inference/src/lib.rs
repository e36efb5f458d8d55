//! Whole-volume prediction: sliding window, aggregation, ensembling.
//!
//! [`predict`] slides a window over an image and averages the softmax of each network where windows overlap;
//! [`segment`] does so for a scan on its own grid, by way of the spacing that the networks were trained at.
//! Intensities are taken as they are: whoever calls brings them to what the networks were trained on.
//!
//! The crate trains nothing and opens no files.
#![forbid(unsafe_code)]

mod ensemble;
mod error;
mod predict;
mod segment;
mod sums;
mod uncertainty;
mod windows;

pub use ensemble::{ensemble, label_map};
pub use error::{Error, Result};
pub use predict::predict;
pub use segment::{On, Plane, Prediction, Protocol, Segmentation, segment, segment_planes};
pub use uncertainty::{disagreement, entropy};
pub use windows::SlidingWindow;
