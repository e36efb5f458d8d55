//! Segmentation metrics on binary masks with spacing: Dice, Jaccard, Hausdorff and mean surface distances.
//!
//! A [`Metric`] takes a [`Comparison`] of a prediction with a reference and gives a [`Score`]: a value, or the reason
//! why there is none. An empty prediction has no surface and hence no surface distance; it is never scored as 0 mm,
//! the best possible.
//!
//! ```
//! use ndarray::Array3;
//! use tandem_metrics::{METRICS, Score, evaluate_pair};
//!
//! let reference = Array3::from_shape_fn((8, 8, 8), |(i, j, k)| i > 1 && j > 1 && k > 1);
//! let prediction = Array3::from_shape_fn((8, 8, 8), |(i, j, k)| i > 2 && j > 1 && k > 1);
//! let scores = evaluate_pair(prediction.view(), reference.view(), [0.625; 3])?;
//! for (metric, score) in METRICS.iter().zip(scores) {
//!     println!("{} = {score} {}", metric.name(), metric.unit());
//! }
//! // Both directed lists of surface distances hold 0 and one voxel's width only.
//! assert_eq!(scores[3], Score::Value(0.625));
//! # Ok::<(), tandem_metrics::Error>(())
//! ```
//!
//! The crate reads no files and knows no class indices: a label map is compared class by class, as masks.
#![forbid(unsafe_code)]

mod boundary;
mod comparison;
mod component;
mod distance_transform;
mod error;
mod metric;
mod overlap;
mod summary;
mod surface;

pub use boundary::{Asd, Assd, Hd, Hd95};
pub use comparison::{Comparison, evaluate_pair};
pub use component::largest_component;
pub use distance_transform::distance_transform;
pub use error::Error;
pub use metric::{METRICS, Metric, Score, Undefined};
pub use overlap::{Dice, Jaccard};
pub use summary::{Summary, summarise};
pub use surface::{SurfaceDistances, surface};
