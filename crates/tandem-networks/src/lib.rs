//! Backbones for 3-D segmentation: V-Net and 3-D ResNet-34 with a V-Net decoder.
#![forbid(unsafe_code)]

mod parameters;
mod segmenter;

pub use parameters::{Kind, Parameter, Parameters};
pub use segmenter::{Output, Pass, Segmenter};
