//! Images that lie on a GPU before a network asks for them.

use super::buffer::Buffer;
use super::{Gpu, Machine};
use crate::storage::with_slices;
use candle_core::{Result, Tensor, TensorId, bail};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The copies that are there, f32, by the tensors that they are copies of.
#[derive(Default)]
pub(super) struct Copies(Mutex<HashMap<TensorId, Buffer>>);

impl Copies {
    fn lock(&self) -> MutexGuard<'_, HashMap<TensorId, Buffer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tensor's copy on a GPU: see [`Device::bring`](crate::Device::bring). It goes when this is dropped.
pub struct Brought {
    id: TensorId,
    copies: Arc<Copies>,
}

impl Drop for Brought {
    fn drop(&mut self) {
        let copy = self.copies.lock().remove(&self.id);
        // Memory that is still written to must not be lent to anybody else. Where the GPU has failed, what it failed with is said
        // by whoever asks next.
        let _ = copy.map(|copy| copy.machine().receive());
    }
}

impl std::fmt::Debug for Brought {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Brought")
    }
}

impl Gpu {
    pub(crate) fn of_machine(machine: Arc<dyn Machine>) -> Self {
        Gpu { machine, copies: Arc::default() }
    }

    pub(crate) fn bring(&self, tensor: &Tensor) -> Result<Brought> {
        if tensor.is_variable() {
            bail!("a variable cannot be copied to a GPU ahead: its values may change");
        }
        let values = tensor.contiguous()?;
        let copy = with_slices("a copy", [&values], |[values]| Buffer::brought(&self.machine, values))?;
        self.copies.lock().insert(tensor.id(), copy);
        Ok(Brought { id: tensor.id(), copies: self.copies.clone() })
    }

    /// The copy of a tensor, where it was brought.
    pub(crate) fn brought(&self, tensor: &Tensor) -> Result<Option<Buffer>> {
        let copy = self.copies.lock().get(&tensor.id()).cloned();
        copy.map(|copy| copy.machine().receive().map(|()| copy)).transpose()
    }
}
