//! A run as one HTML file: curves, scores, box plots, slices with outlines, and a 3-D viewer.
//!
//! [`Page`] is such a file, made of [`Part`]s. It opens from a disk, asks nobody for anything, and takes all text as text. It is read
//! on a phone, by keyboard and on paper, and its colours are Okabe and Ito's, with other dashes where they repeat.
//!
//! [`Picture`] draws one slice with outlines as a PNG:
//!
//! ```
//! use ndarray::Array3;
//! use tandem_report::{Outline, PREDICTION, Picture, Plane, window};
//!
//! let image = Array3::from_shape_fn((8, 8, 4), |(i, _, _)| i as f32);
//! let label = Array3::from_shape_fn((8, 8, 4), |(i, _, _)| u8::from(i > 4));
//! let plane = Plane::Axial;
//! let picture = Picture {
//!     image: plane.cut(image.view(), 2),
//!     window: window(image.view()),
//!     spacing: plane.spacing([0.625, 0.625, 2.5]),
//!     outlines: vec![Outline { labels: plane.cut(label.view(), 2), colour: PREDICTION }],
//! };
//! let png: Vec<u8> = picture.png(256)?;
//! # Ok::<(), tandem_report::Error>(())
//! ```
//!
//! The crate takes plain arrays and reads no files. Volumes are `[i, j, k]` with i to the patient's right, j to the front and k to
//! the head (RAS): whoever has another one turns it first.
#![forbid(unsafe_code)]

mod box_plot;
mod case;
mod chart;
mod contour;
mod error;
mod html;
mod largest_error;
mod page;
mod picture;
mod plane;
mod scale;
mod table;
mod viewer;
mod window;

pub use box_plot::{BoxPlots, Sample};
pub use case::{Scan, Slices};
pub use chart::{Chart, Curve};
pub use error::{Error, Result};
pub use largest_error::largest_error;
pub use page::{Page, Part, Section};
pub use picture::{Outline, PREDICTION, Picture, REFERENCE};
pub use plane::Plane;
pub use table::{Cell, Table};
pub use viewer::Viewer;
pub use window::window;
