//! The weights of a network and, beside them, their gradient.

use crate::cpu::rows;
use crate::cpu::scratch::Scratch;
use crate::device::Device;
use candle_core::{DType, Result, Tensor, Var};
use rayon::prelude::*;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Elements of a unit of parallel work. Sums are elementwise: the split cannot change a bit.
const CHUNK: usize = 1 << 14;

/// The weights of a network: one vector, and the gradient that a backward pass leaves for them.
///
/// The gradient is kept here and not in candle's `GradStore`, which would clear a vector of as many zeros, add the gradient to
/// it, and do so in fresh memory each time. As in PyTorch, further backward passes add to it until it is taken. Clones share
/// both.
#[derive(Clone, Debug)]
pub struct Weights {
    values: Var,
    device: Device,
    gradient: Arc<Mutex<Option<Gradient>>>,
    /// Stands for the weights in candle's graph, so that it knows what depends on them.
    leaf: Var,
}

impl Weights {
    /// Weights without a gradient, of a network that runs on that device. They lie on the host: every pass on a GPU takes them there.
    ///
    /// # Errors
    /// Never on the CPU, in practice.
    pub fn new(values: Vec<f32>, device: &Device) -> Result<Self> {
        let (count, host) = (values.len(), &candle_core::Device::Cpu);
        Ok(Weights {
            values: Var::from_vec(values, count, host)?,
            device: device.clone(),
            gradient: Arc::default(),
            leaf: Var::zeros((), DType::F32, host)?,
        })
    }

    /// Where the network runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The weights as one vector. candle's graph knows nothing of it: see [`Self::take_gradient`].
    pub fn values(&self) -> &Var {
        &self.values
    }

    /// The sum of the gradients of all backward passes since it was last taken; none where none reached the weights.
    pub fn take_gradient(&self) -> Option<Gradient> {
        self.gradient().take()
    }

    /// What stands for the weights in a graph.
    pub(super) fn leaf(&self) -> &Tensor {
        &self.leaf
    }

    /// Keeps a gradient, or adds it to the one that is there.
    pub(super) fn give_gradient(&self, found: Gradient) {
        match &mut *self.gradient() {
            Some(Gradient(sum)) => {
                let chunks = sum.par_chunks_mut(CHUNK).zip(found.par_chunks(CHUNK));
                chunks.for_each(|(sum, found)| rows::add(found, sum));
            }
            none => *none = Some(found),
        }
    }

    fn gradient(&self) -> MutexGuard<'_, Option<Gradient>> {
        self.gradient.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gradient of a network's weights: as many values, in the same order. Its memory serves the next one when it is dropped.
pub struct Gradient(pub(super) Scratch<f32>);

impl Deref for Gradient {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl std::fmt::Debug for Gradient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gradient of {} weights", self.len())
    }
}
