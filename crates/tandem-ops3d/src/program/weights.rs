//! The weights of a network and, beside them, their gradient.

use super::shared::Shared;
use super::vector::{Descent, WeightVector};
use crate::device::Device;
use candle_core::{DType, Result, Tensor, Var};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockReadGuard};

/// The weights of a network: one vector, and the gradient that a backward pass leaves for them. Both lie where the network runs.
///
/// The gradient is kept here and not in candle's `GradStore`, which would clear a vector of as many zeros, add the gradient to
/// it, and do so in fresh memory each time. As in PyTorch, further backward passes add to it until it is taken. Clones share
/// both.
#[derive(Clone, Debug)]
pub struct Weights {
    values: Shared,
    gradient: Arc<Mutex<Option<WeightVector>>>,
    /// Stands for the weights in candle's graph, so that it knows what depends on them.
    leaf: Var,
}

impl Weights {
    /// Weights without a gradient, of a network that runs on that device.
    ///
    /// # Errors
    /// Where the device has no memory for them.
    pub fn new(values: &[f32], device: &Device) -> Result<Self> {
        Ok(Weights {
            values: Shared::new(values, device)?,
            gradient: Arc::default(),
            leaf: Var::zeros((), DType::F32, &candle_core::Device::Cpu)?,
        })
    }

    /// Where the network runs.
    pub fn device(&self) -> &Device {
        self.values.device()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.count()
    }

    /// A copy of them, one vector. candle's graph knows nothing of it: see [`Self::take_gradient`].
    ///
    /// # Errors
    /// Where the device fails.
    pub fn values(&self) -> Result<Tensor> {
        self.part(0..self.count())
    }

    /// A copy of some of them.
    ///
    /// # Errors
    /// Where the range is not part of them, or the device fails.
    pub fn part(&self, range: Range<usize>) -> Result<Tensor> {
        self.values.part(range)
    }

    /// Sets all of them.
    ///
    /// # Errors
    /// Where there are more or fewer.
    pub fn set(&self, values: &[f32]) -> Result<()> {
        self.values.set(values)
    }

    /// Values for as many weights, beside them: a momentum that was kept.
    ///
    /// # Errors
    /// Where there are more or fewer.
    pub fn vector(&self, values: &[f32]) -> Result<WeightVector> {
        self.values.vector(values)
    }

    /// The sum of the gradients of all backward passes since it was last taken; none where none reached the weights.
    pub fn take_gradient(&self) -> Option<WeightVector> {
        self.gradient().take()
    }

    /// Moves them by a gradient and a momentum, which moves as well; it begins where there is none.
    ///
    /// # Errors
    /// Where gradient or momentum are those of other weights.
    pub fn descend(
        &self,
        gradient: &WeightVector,
        momentum: &mut Option<WeightVector>,
        step: &Descent,
    ) -> Result<()> {
        self.values.write().descend(gradient, momentum, step)
    }

    /// Moves them towards those of another network: `decay * own + (1 - decay) * other`.
    ///
    /// # Errors
    /// Where the other network has another number of weights, or lies elsewhere.
    pub fn follow(&self, other: &Weights, decay: f64) -> Result<()> {
        if self.values.is(&other.values) {
            return Ok(());
        }
        self.values.write().follow(&other.read(), decay)
    }

    /// What stands for the weights in a graph.
    pub(super) fn leaf(&self) -> &Tensor {
        &self.leaf
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, WeightVector> {
        self.values.read()
    }

    /// Keeps a gradient, or adds it to the one that is there.
    pub(super) fn give_gradient(&self, found: WeightVector) -> Result<()> {
        match &mut *self.gradient() {
            Some(sum) => sum.add(&found),
            none => {
                *none = Some(found);
                Ok(())
            }
        }
    }

    fn gradient(&self) -> MutexGuard<'_, Option<WeightVector>> {
        self.gradient.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
