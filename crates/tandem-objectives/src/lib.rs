//! Losses and semi-supervised methods for 3-D segmentation.
#![forbid(unsafe_code)]

mod method;

pub use method::{Batch, Forward, Method, Network, Objective, Prediction, Role, Step, Term};
