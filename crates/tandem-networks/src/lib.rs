//! Backbones for 3-D segmentation: V-Net and 3-D ResNet-34 with a V-Net decoder.
//!
//! Both take `(N, C, D, H, W)` and return logits and features in that convention; inside, tensors are channels-last.
//! Parameter names equal those of the published PyTorch networks.
#![forbid(unsafe_code)]

mod build;
mod decoder;
mod initialise;
mod layers;
mod network;
mod parameters;
mod resnet34;
mod segmenter;
mod vnet;

pub use build::{ARCHITECTURES, NetworkConfig, Size, build, layers, size};
pub use parameters::{Kind, Parameter, Parameters};
pub use segmenter::{Output, Pass, Segmenter};
pub use tandem_ops3d::Deferred;
pub use tandem_ops3d::program::{Footprint, LayerShape, LayerTrial, Precision};
