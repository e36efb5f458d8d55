//! Tensors that are made where somebody asks for them.

use candle_core::{Result, Tensor};
use std::sync::Arc;

/// A tensor that costs nothing until it is asked for, and is made anew each time.
#[derive(Clone)]
pub struct Deferred(Arc<dyn Fn() -> Result<Tensor> + Send + Sync>);

impl Deferred {
    /// What `make` returns.
    pub fn new(make: impl Fn() -> Result<Tensor> + Send + Sync + 'static) -> Self {
        Deferred(Arc::new(make))
    }

    /// The tensor.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn get(&self) -> Result<Tensor> {
        (self.0)()
    }
}

impl From<Tensor> for Deferred {
    /// A tensor that exists already.
    fn from(tensor: Tensor) -> Self {
        Self::new(move || Ok(tensor.clone()))
    }
}

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deferred")
    }
}
