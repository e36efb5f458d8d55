//! 3-D tensor operations as candle custom ops.
//!
//! candle has no 3-D convolution, pooling or resizing. This crate adds them, differentiable, for channels-last tensors
//! `(N, D, H, W, C)`: the layout in which every value under a filter's row lies side by side. [`channels_first`] wraps
//! them in candle's `(N, C, D, H, W)` convention:
//!
//! ```
//! use candle_core::{DType, Device, Result, Tensor, Var};
//! use tandem_ops3d::Conv3dParams;
//! use tandem_ops3d::channels_first::conv3d;
//! use tandem_random::Draws;
//!
//! # fn main() -> Result<()> {
//! // Images (N, C, D, H, W) of noise, and what a filter makes of them that a layer shall learn.
//! let mut draws = Draws::new(1337, "example", 0, 0);
//! let noise: Vec<f32> = (0..2 * 512).map(|_| draws.normal() as f32).collect();
//! let images = Tensor::from_vec(noise, (2, 1, 8, 8, 8), &Device::Cpu)?;
//! let same = Conv3dParams::uniform(1, 1); // stride, padding
//! let filter = Tensor::full(0.5f32, (1, 1, 3, 3, 3), &Device::Cpu)?;
//! let wanted = conv3d(&images, &filter, None, same)?;
//!
//! let weight = Var::zeros((1, 1, 3, 3, 3), DType::F32, &Device::Cpu)?; // (Co, Ci, kd, kh, kw)
//! let bias = Var::zeros(1, DType::F32, &Device::Cpu)?;
//! let mut errors = Vec::new();
//! for _ in 0..30 {
//!     let made = conv3d(&images, &weight, Some(&bias), same)?;
//!     let error = (made - &wanted)?.sqr()?.mean_all()?;
//!     let gradients = error.backward()?;
//!     for parameter in [&weight, &bias] {
//!         let gradient = gradients.get(parameter).expect("the error depends on it");
//!         parameter.set(&(parameter.as_tensor() - (gradient * 0.3)?)?)?;
//!     }
//!     errors.push(error.to_scalar::<f32>()?);
//! }
//! assert!(errors[29] < 0.001 * errors[0], "{errors:?}");
//! # Ok(())
//! # }
//! ```
//!
//! Results depend on the inputs and on the code path ([`cpu_path`]) alone, never on the number of threads.
//!
//! [`program`] runs a whole network of such operations as one, with less memory. The page `docs/adding-an-op.md` of the
//! repository builds another operation.
#![deny(unsafe_op_in_unsafe_fn)]

mod activation;
pub mod channels_first;
mod class_scores;
mod conv;
mod conv_shape;
mod cpu;
mod deferred;
mod device;
mod dropout;
pub mod elementary;
// Without a GPU nobody reads all that kernels and convolutions are told.
#[cfg_attr(not(any(test, feature = "cuda")), expect(dead_code))]
mod gpu;
mod layout;
pub mod limits;
mod mirrored;
mod norm;
mod pool;
pub mod program;
#[cfg(test)]
mod reference;
mod resize;
mod storage;
mod voxel_bytes;
mod voxel_numbers;
mod window_sums;
mod workspace;

pub use activation::{add_relu, relu};
pub use class_scores::{ClassScores, LogitsGradient, OtherScores, UncertaintyShares};
pub use conv::{conv_transpose3d, conv3d};
pub use conv_shape::Conv3dParams;
pub use cpu::path::{CpuPath, check_cpu_path, cpu_path};
pub use deferred::{ClassSum, Deferred, VoxelGradient};
pub use device::{Brought, Device, Gpu, Stopwatch, TimedWork};
pub use dropout::dropout3d;
pub use layout::{to_channels_first, to_channels_last};
pub use norm::{Activation, BatchNorm3d, RunningStatistics, Statistics, batch_norm3d};
pub use pool::max_pool3d;
pub use resize::{Resize, resize3d};
pub use voxel_bytes::{VoxelBytes, VoxelCounts};
pub use voxel_numbers::VoxelNumbers;
pub use window_sums::{WindowPlace, WindowSums};
pub use workspace::Workspace;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-an-op.md")]
struct AddingAnOp;
