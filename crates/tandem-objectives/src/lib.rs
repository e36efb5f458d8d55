//! Losses and semi-supervised methods for 3-D segmentation.
//!
//! The terms of the methods are plain functions in [`losses`]. Any of them, or a sum of several, is a scalar of candle's graph by
//! [`loss_of`], for training loops of one's own:
//!
//! ```
//! use candle_core::{DType, Device, Tensor, Var};
//! use tandem_objectives::{VoxelBytes, loss_of, losses};
//!
//! # fn main() -> candle_core::Result<()> {
//! // Two patches of 4 x 4 x 4 voxels, two classes. Of a real network, logits (N, K, D, H, W) are the output.
//! let image = Tensor::arange(0f32, 128.0, &Device::Cpu)?.reshape((2, 1, 4, 4, 4))?;
//! let labels: Vec<u8> = (0..128).map(|voxel| u8::from(voxel >= 100)).collect(); // in the order (n, i, j, k)
//! let labels = VoxelBytes::from(labels);
//! let slope = Var::zeros((1, 2, 1, 1, 1), DType::F32, &Device::Cpu)?;
//! let mut values = Vec::new();
//! for _ in 0..20 {
//!     let logits = ((image.clone() - 100.0)? / 64.0)?.broadcast_mul(&slope)?;
//!     let loss = loss_of(&logits, |scores| {
//!         Ok(losses::cross_entropy(scores, &labels, 1.0)? + losses::dice(scores, &labels, 1.0)?)
//!     })?;
//!     let gradients = loss.backward()?;
//!     let gradient = gradients.get(&slope).expect("the loss depends on it");
//!     slope.set(&(slope.as_tensor() - (gradient * 5.0)?)?)?;
//!     values.push(loss.to_scalar::<f32>()?);
//! }
//! assert!(values[19] < 0.5 * values[0], "{values:?}");
//! # Ok(())
//! # }
//! ```
//!
//! A [`Method`] says which networks it trains and, batch by batch, what they should minimise; it runs them through a
//! [`Forward`] handle, so that this crate knows neither the networks nor the loop that trains them. [`build`] makes one
//! from its name and options.
#![forbid(unsafe_code)]

mod method;
mod methods;

pub mod losses;
pub mod testing;

mod graph;
mod planes;
mod scores;

#[cfg(test)]
mod golden;

pub use graph::with_gradient;
pub use tandem_ops3d::{Deferred, VoxelBytes, VoxelGradient, VoxelNumbers};

pub use method::{Batch, Forward, Method, Network, Objective, Prediction, Role, Step, Term};
pub use methods::{
    Bcp, BcpOptions, CandidateRule, Cps, CpsOptions, Dtc, DtcOptions, DualNetworks, DualNetworksCce,
    DualNetworksCceOptions, DualNetworksOptions, EntropyOf, FeatureKind, Head, McNetPlus, McNetPlusOptions,
    Mcf, McfOptions, MeanTeacher, MeanTeacherOptions, NetworkName, PredictBy, PseudoCrossEntropy,
    PseudoLabels, ReliableRule, StrongView, Supervised, SupervisedEnsemble, SupervisedEnsembleOptions,
    SupervisedOptions, Tandem, TandemOptions, UaMt, UaMtOptions, UncertaintyDirection, UncertaintyRegion,
    Urpc, UrpcOptions, WinnerCriterion, build, names, preset, resolve,
};
pub use scores::{Detached, Gradient, Live, Scores, loss_of};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-a-method.md")]
struct AddingAMethod;
