//! Segmentation metrics on binary masks with spacing: overlap, distances of surfaces, volumes.
//!
//! ```
//! use ndarray::Array3;
//! use tandem_metrics::{Comparison, Dice, Hd95, Metric, Score, Undefined};
//!
//! // Masks (i, j, k): two boxes that differ by a plane of voxels.
//! let reference = Array3::from_shape_fn((8, 8, 8), |(i, j, k)| i > 1 && j > 1 && k > 1);
//! let prediction = Array3::from_shape_fn((8, 8, 8), |(i, j, k)| i > 2 && j > 1 && k > 1);
//! let comparison = Comparison::new(prediction.view(), reference.view(), [0.625; 3])?; // spacing in mm
//! for metric in [&Hd95 as &dyn Metric, &Dice] {
//!     println!("{} = {} {}", metric.name(), metric.measure(&comparison), metric.unit());
//! }
//! assert_eq!(Hd95.measure(&comparison), Score::Value(0.625));
//! assert_eq!(Hd95.measure(&comparison.in_voxels()), Score::Value(1.0));
//!
//! // An empty prediction has no surface and hence no surface distance; it is never scored as 0 mm, the best possible.
//! let nothing = Array3::from_elem((8, 8, 8), false);
//! let comparison = Comparison::new(nothing.view(), reference.view(), [0.625; 3])?;
//! assert_eq!(Hd95.measure(&comparison), Score::Undefined(Undefined::EmptyPrediction));
//! # Ok::<(), tandem_metrics::Error>(())
//! ```
//!
//! A [`Metric`] takes a [`Comparison`] of a prediction with a reference and gives a [`Score`]: a value, or the reason
//! why there is none. [`metrics()`] is the list of them all, [`summarise`] takes their mean and SD over cases.
//!
//! The crate reads no files and knows no class indices: a label map is compared class by class, as masks.
#![forbid(unsafe_code)]

mod bits;
mod boundary;
mod comparison;
mod component;
mod distance_transform;
mod error;
mod metric;
mod overlap;
mod summary;
mod surface;
mod surface_dice;
mod surface_elements;
mod volume;

pub use boundary::{Asd, Assd, Hd, Hd95, Hd95Max};
pub use comparison::Comparison;
pub use component::largest_component;
pub use distance_transform::distance_transform;
pub use error::Error;
pub use metric::{Metric, Score, Undefined, metrics};
pub use overlap::{Dice, Jaccard, Precision, Sensitivity};
pub use summary::{Summary, summarise};
use surface::SurfaceDistances;
pub use surface_dice::Nsd;
pub use volume::{RelativeVolumeDifference, VolumeDifference};
