//! The running statistics of a network's normalisations.

use super::shared::Shared;
use super::vector::WeightVector;
use crate::device::Device;
use candle_core::{Result, Tensor, bail};
use std::ops::Range;

/// The running statistics of a network's normalisations: one vector, where the network runs. Training passes move them. Clones share
/// them.
#[derive(Clone, Debug)]
pub struct NormStatistics(pub(super) Shared);

impl NormStatistics {
    /// Those of a network that runs on that device.
    ///
    /// # Errors
    /// Where the device has no memory for them.
    pub fn new(values: &[f32], device: &Device) -> Result<Self> {
        Shared::new(values, device).map(NormStatistics)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// A copy of them, one vector.
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
        self.0.part(range)
    }

    /// Sets all of them.
    ///
    /// # Errors
    /// Where there are more or fewer.
    pub fn set(&self, values: &[f32]) -> Result<()> {
        self.0.set(values)
    }

    /// A copy of them that stays where the network runs; [`Self::restore`] brings it back.
    ///
    /// # Errors
    /// Where the device has no memory for it.
    pub fn keep(&self) -> Result<WeightVector> {
        self.0.read().copy()
    }

    /// Sets all of them to what [`Self::keep`] kept.
    ///
    /// # Errors
    /// Where it has another length, or the device has no memory for them.
    pub fn restore(&self, kept: &WeightVector) -> Result<()> {
        if kept.len() != self.count() {
            bail!("there are {} values for {} running statistics", kept.len(), self.count());
        }
        *self.0.write() = kept.copy()?;
        Ok(())
    }
}
