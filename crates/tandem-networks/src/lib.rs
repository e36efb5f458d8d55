//! Backbones for 3-D segmentation: V-Net, 3-D ResNet-34 with a V-Net decoder, and V-Nets with further heads or decoders.
//!
//! They take `(N, C, D, H, W)` and return logits and features in that convention; inside, tensors are channels-last.
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
mod vnet_dtc;
mod vnet_mcnet;
mod vnet_urpc;

pub use build::{NetworkConfig, Size, architectures, build, layers, size};
pub use parameters::{Kind, Parameter, Parameters};
pub use segmenter::{Output, Pass, Segmenter};
pub use tandem_ops3d::Deferred;
pub use tandem_ops3d::Device;
pub use tandem_ops3d::program::{Footprint, LayerShape, LayerTrial, Precision};
