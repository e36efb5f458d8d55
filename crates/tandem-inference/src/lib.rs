//! Whole-volume prediction: sliding window, aggregation, ensembling.
//!
//! ```
//! use candle_core::Device;
//! use ndarray::Array3;
//! use std::ops::ControlFlow;
//! use tandem_inference::{Protocol, SlidingWindow, segment};
//! use tandem_networks::{NetworkConfig, build};
//! use tandem_volume::{Geometry, Volume};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A V-Net with initial weights; `parameters.load` gives it those of a training.
//! let config = NetworkConfig { filters: 2, ..Default::default() };
//! let (vnet, _parameters) = build("vnet", &config, 1337, &tandem_networks::Device::Cpu)?;
//! // What `tandem_volume::read_image` gives, normalised as the scans of the training were.
//! let scan = Volume::new(Array3::zeros((20, 16, 12)), Geometry::with_spacing([1.0, 1.0, 2.0])?);
//!
//! let protocol = Protocol {
//!     window: SlidingWindow { patch: [16; 3], stride: [8; 3], batch: 2, mirror: false }, // voxels
//!     spacing: Some([1.25; 3]), // mm; None for the scan's own
//! };
//! let mut progress = |done, of| {
//!     println!("{done} of {of} windows");
//!     ControlFlow::Continue(()) // Break would end the work
//! };
//! let segmentation = segment(&[vnet.as_ref()], &scan.into(), &protocol, &Device::Cpu, &mut progress)?;
//! let label = segmentation.own.label(); // on the scan's own grid, ready for `tandem_volume::write_label`
//! assert_eq!((label.shape(), label.geometry().spacing()), ([20, 16, 12], [1.0, 1.0, 2.0]));
//! # Ok(())
//! # }
//! ```
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
