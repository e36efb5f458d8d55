//! Memory on a machine.

use super::machine::Machine;
use candle_core::Result;
use std::sync::Arc;

/// Memory on a machine. Clones share it; it goes back with the last of them.
#[derive(Clone)]
pub(crate) struct Buffer(Arc<Memory>);

struct Memory {
    machine: Arc<dyn Machine>,
    address: u64,
    bytes: usize,
}

/// What can be copied to a machine and back.
///
/// # Safety
/// Plain data without padding, of which every bit pattern is a value.
pub(crate) unsafe trait Plain: Copy {}
// SAFETY: numbers.
unsafe impl Plain for f32 {}
// SAFETY: numbers.
unsafe impl Plain for f64 {}
// SAFETY: numbers.
unsafe impl Plain for u8 {}
// SAFETY: numbers.
unsafe impl Plain for i32 {}
// SAFETY: numbers.
unsafe impl Plain for i64 {}

impl Buffer {
    /// Memory with unspecified contents.
    pub(crate) fn new(machine: &Arc<dyn Machine>, bytes: usize) -> Result<Self> {
        // No machine lends nothing.
        let bytes = bytes.max(1);
        let address = machine.allocate(bytes)?;
        Ok(Buffer(Arc::new(Memory { machine: machine.clone(), address, bytes })))
    }

    /// A copy of values on the host.
    pub(crate) fn of<T: Plain>(machine: &Arc<dyn Machine>, values: &[T]) -> Result<Self> {
        let buffer = Self::new(machine, size_of_val(values))?;
        buffer.upload(values)?;
        Ok(buffer)
    }

    /// A copy of values on the host, made beside the work that was asked for: see [`Machine::bring`].
    pub(crate) fn brought(machine: &Arc<dyn Machine>, values: &[f32]) -> Result<Self> {
        if values.is_empty() {
            return Self::of(machine, values);
        }
        let bytes = size_of_val(values);
        // SAFETY: plain data can be read as bytes.
        let address = machine.bring(unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), bytes) })?;
        Ok(Buffer(Arc::new(Memory { machine: machine.clone(), address, bytes })))
    }

    pub(crate) fn machine(&self) -> &Arc<dyn Machine> {
        &self.0.machine
    }

    pub(crate) fn address(&self) -> u64 {
        self.0.address
    }

    /// The address of the f32 value of an index.
    pub(crate) fn at(&self, index: usize) -> u64 {
        self.0.address + (index * size_of::<f32>()) as u64
    }

    pub(crate) fn clear(&self) -> Result<()> {
        // SAFETY: the memory is allocated.
        unsafe { self.0.machine.clear(self.0.address, self.0.bytes) }
    }

    /// Clears f32 values from that of an index on.
    pub(crate) fn clear_part(&self, first: usize, len: usize) -> Result<()> {
        let [before, bytes] = [first, len].map(|values| values * size_of::<f32>());
        assert!(before + bytes <= self.0.bytes, "a buffer is smaller than what is cleared of it");
        // SAFETY: the memory is allocated and, as asserted, large enough.
        unsafe { self.0.machine.clear(self.0.address + before as u64, bytes) }
    }

    /// Copies values from the host to its beginning.
    pub(crate) fn upload<T: Plain>(&self, values: &[T]) -> Result<()> {
        assert!(size_of_val(values) <= self.0.bytes, "a buffer is too small for what is copied to it");
        if values.is_empty() {
            return Ok(());
        }
        // SAFETY: plain data can be read as bytes; the memory is allocated and, as asserted, large enough.
        unsafe {
            let bytes = std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values));
            self.0.machine.upload(bytes, self.0.address)
        }
    }

    /// Copies its beginning to the host, once all that was asked for has run.
    pub(crate) fn download<T: Plain>(&self, to: &mut [T]) -> Result<()> {
        self.download_from(0, to)
    }

    /// So many values of its beginning, on the host.
    pub(crate) fn values<T: Plain + Default>(&self, count: usize) -> Result<Vec<T>> {
        let mut values = vec![T::default(); count];
        self.download(&mut values)?;
        Ok(values)
    }

    /// Copies from the value of an index on.
    pub(crate) fn download_from<T: Plain>(&self, first: usize, to: &mut [T]) -> Result<()> {
        let before = first * size_of::<T>();
        assert!(before + size_of_val(to) <= self.0.bytes, "a buffer is smaller than what is copied from it");
        if to.is_empty() {
            return Ok(());
        }
        // SAFETY: every bit pattern is a value of plain data; the memory is allocated and, as asserted, large enough.
        unsafe {
            let bytes = std::slice::from_raw_parts_mut(to.as_mut_ptr().cast(), size_of_val(to));
            self.0.machine.download(self.0.address + before as u64, bytes)
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: nobody has this memory any more; kernels that use it were asked for before.
        unsafe { self.machine.release(self.address, self.bytes) }
    }
}
