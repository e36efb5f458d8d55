//! 3-D tensor operations as candle custom ops.
//!
//! candle has no 3-D convolution, pooling or resizing. This crate adds them, differentiable, for channels-last tensors
//! `(N, D, H, W, C)`: the layout in which every value under a filter's row lies side by side. [`channels_first`] wraps
//! them in candle's `(N, C, D, H, W)` convention.
//!
//! Results depend on the inputs and on the code path ([`cpu_path`]) alone, never on the number of threads.
#![deny(unsafe_op_in_unsafe_fn)]

mod activation;
pub mod channels_first;
mod conv;
mod conv_shape;
mod cpu;
mod deferred;
mod device;
mod dropout;
pub mod elementary;
#[cfg(any(test, feature = "gpu"))]
mod gpu;
mod layout;
pub mod limits;
mod norm;
mod pool;
pub mod program;
#[cfg(test)]
mod reference;
mod resize;
mod storage;
mod workspace;

pub use activation::{add_relu, relu};
pub use conv::{conv_transpose3d, conv3d};
pub use conv_shape::Conv3dParams;
pub use cpu::path::{CpuPath, check_cpu_path, cpu_path};
pub use deferred::{Deferred, ReadRow, RowGradient};
pub use device::{Device, Gpu};
pub use dropout::dropout3d;
pub use layout::{to_channels_first, to_channels_last};
pub use norm::{Activation, BatchNorm3d, RunningStatistics, Statistics, batch_norm3d};
pub use pool::max_pool3d;
pub use resize::{Resize, resize3d};
pub use workspace::Workspace;
