//! Values that lie on the host, on a GPU, or on both.

use crate::gpu::{Buffer, Machine, Plain, Queue};
use crate::program::Precision;
use candle_core::Result;
use std::sync::{Arc, OnceLock};

/// Values that lie where they were made; a copy on the other side is made when it is asked for, and kept.
pub(crate) struct Mirrored<T> {
    len: usize,
    host: OnceLock<Vec<T>>,
    there: OnceLock<Buffer>,
}

impl<T: Plain + Default> Mirrored<T> {
    pub(crate) fn on_host(values: Vec<T>) -> Self {
        Mirrored { len: values.len(), host: values.into(), there: OnceLock::new() }
    }

    pub(crate) fn on_gpu(values: Buffer, len: usize) -> Self {
        Mirrored { len, host: OnceLock::new(), there: values.into() }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn values(&self) -> Result<&[T]> {
        if let (None, Some(there)) = (self.host.get(), self.there.get()) {
            let values = there.values(self.len)?;
            return Ok(self.host.get_or_init(|| values));
        }
        Ok(self.host.get_or_init(Vec::new))
    }

    /// The values on a machine.
    pub(crate) fn on(&self, machine: &Arc<dyn Machine>) -> Result<Buffer> {
        match self.there.get() {
            Some(there) if Arc::ptr_eq(there.machine(), machine) => Ok(there.clone()),
            Some(_) => Buffer::of(machine, self.values()?),
            None => {
                let there = Buffer::of(machine, self.values()?)?;
                Ok(self.there.get_or_init(|| there).clone())
            }
        }
    }

    /// The values and the kernels of their GPU, where they lie there alone.
    pub(crate) fn only_on_gpu(&self) -> Option<(Queue, &Buffer)> {
        let there = self.there.get().filter(|_| self.host.get().is_none())?;
        Some((Queue { machine: there.machine().clone(), precision: Precision::F32 }, there))
    }
}
