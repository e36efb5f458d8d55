//! Vectors that the clones of a network's parameters share.

use super::vector::WeightVector;
use crate::device::Device;
use candle_core::{Result, Tensor, bail};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A vector of a fixed length where a network runs.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    count: usize,
    device: Device,
    values: Arc<RwLock<WeightVector>>,
}

impl Shared {
    pub(super) fn new(values: &[f32], device: &Device) -> Result<Self> {
        let vector = WeightVector::of(values, device)?;
        Ok(Shared { count: values.len(), device: device.clone(), values: Arc::new(RwLock::new(vector)) })
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A copy of some values.
    pub(super) fn part(&self, range: Range<usize>) -> Result<Tensor> {
        let count = range.len();
        Tensor::from_vec(self.read().read(range)?, count, &candle_core::Device::Cpu)
    }

    /// Sets all values.
    pub(super) fn set(&self, values: &[f32]) -> Result<()> {
        *self.write() = self.vector(values)?;
        Ok(())
    }

    /// As many values, beside these.
    pub(super) fn vector(&self, values: &[f32]) -> Result<WeightVector> {
        if values.len() != self.count {
            bail!("there are {} values for a vector of {}", values.len(), self.count);
        }
        WeightVector::of(values, &self.device)
    }

    /// Whether it is the same vector.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, WeightVector> {
        self.values.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, WeightVector> {
        self.values.write().unwrap_or_else(PoisonError::into_inner)
    }
}
