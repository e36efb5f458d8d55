//! Backbones for 3-D segmentation: V-Net, 3-D ResNet-34 with a V-Net decoder, and V-Nets with further heads or decoders.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use tandem_networks::{NetworkConfig, Pass, build};
//!
//! # fn main() -> candle_core::Result<()> {
//! // Of one channel and two classes, with 16 filters in the published network; initial weights are drawn from the seed.
//! let config = NetworkConfig { filters: 2, ..Default::default() };
//! let (vnet, parameters) = build("vnet", &config, 1337, &tandem_networks::Device::Cpu)?;
//! println!("{} weights", parameters.count());
//! assert!(parameters.get("block_one.conv.0.weight").is_some());
//!
//! let images = Tensor::zeros((1, 1, 32, 32, 16), DType::F32, &Device::Cpu)?; // (N, C, D, H, W)
//! let logits = vnet.forward(&images, Pass::Infer)?.logits.get()?; // (N, K, D, H, W)
//! assert_eq!(logits.dims(), [1, 2, 32, 32, 16]);
//! let labels = logits.argmax(1)?; // (N, D, H, W)
//! assert_eq!(labels.dims(), [1, 32, 32, 16]);
//! # Ok(())
//! # }
//! ```
//!
//! Networks take `(N, C, D, H, W)` and return logits and features in that convention; inside, tensors are channels-last.
//! Parameter names equal those of the published PyTorch networks, whose weights [`Parameters::load`] takes.
//!
//! To train one, give `forward` [`Pass::Train`], make a scalar of the logits (with the losses of `tandem-objectives`, or candle's
//! own operations) and call its `backward`: the gradient of the weights is then had from [`Parameters::take_gradient`]. To segment
//! a whole scan, see `tandem-inference`.
#![forbid(unsafe_code)]

mod build;
mod decoder;
mod initialise;
mod layers;
mod network;
pub mod onnx;
mod parameters;
mod resnet34;
mod segmenter;
mod vnet;
mod vnet_dtc;
mod vnet_mcnet;
mod vnet_urpc;

pub use build::{NetworkConfig, Size, architectures, build, layers, program, shapes, size};
pub use network::SIZE_DIVISOR;
pub use parameters::{Kind, Parameter, Parameters};
pub use segmenter::{Output, Pass, Segmenter};
pub use tandem_ops3d::Deferred;
pub use tandem_ops3d::Device;
pub use tandem_ops3d::program::{Footprint, LayerShape, LayerTrial, Precision};
