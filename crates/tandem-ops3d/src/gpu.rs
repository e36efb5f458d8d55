//! Networks on a GPU: memory, kernels and convolutions. What a network is made of is in `program/on_gpu`.
//!
//! Tensors stay on the host: a network is one operation of candle's graph. A pass takes an image there; activations, logits and
//! their gradients stay on the GPU, and losses with a kernel of their own are computed there (`queue/scores.rs`). The CUDA of candle itself is
//! not used: it would need the CUDA compiler and libraries to build, and its tensors would hold nothing that the graph needs.

mod brought;
mod buffer;
mod conv;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(any(test, feature = "emulator"))]
pub(crate) mod emulator;
#[cfg(any(test, feature = "cuda"))]
mod halves;
mod machine;
mod queue;
#[cfg(test)]
pub(crate) mod tests;
mod timed;

pub use brought::Brought;
pub use timed::{Stopwatch, TimedWork};

pub(crate) use buffer::{Buffer, Plain};
pub(crate) use conv::Operands;
pub(crate) use machine::{Kind, Machine};
pub(crate) use queue::{Norm, NormGradients, NormParameters, Part, Queue, Rest, Tables};

use brought::Copies;
use candle_core::Result;
use std::sync::Arc;

/// A GPU that networks run on. Clones are the same one.
#[derive(Clone)]
pub struct Gpu {
    pub(crate) machine: Arc<dyn Machine>,
    copies: Arc<Copies>,
}

impl Gpu {
    /// Whether cuDNN is there and wanted.
    pub fn has_cudnn(&self) -> bool {
        self.machine.convolves()
    }

    /// Whether it has units that multiply matrices of bf16.
    pub fn multiplies_bf16(&self) -> bool {
        self.machine.multiplies_bf16()
    }

    /// Bytes of its memory that nobody uses, where it says.
    pub fn free_memory(&self) -> Option<u64> {
        self.machine.free_memory()
    }

    /// Bytes of it that this process holds once all that was asked for has run, where it says.
    ///
    /// # Errors
    /// Where it fails.
    pub fn held_memory(&self) -> Result<Option<u64>> {
        self.machine.wait()?;
        Ok(self.machine.held_memory())
    }

    /// The most bytes of it that this process held at once, where it says.
    pub fn peak_memory(&self) -> Option<u64> {
        self.machine.peak_memory()
    }

    /// What is worth knowing of the work so far: which convolutions ran by which kernels.
    pub fn remarks(&self) -> Option<String> {
        self.machine.remarks()
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.machine.describe())
    }
}

impl std::fmt::Display for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.machine.describe())
    }
}
