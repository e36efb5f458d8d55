//! Copies to the GPU that the host does not wait for.

use super::super::halves::{Halves, Place};
use cudarc::driver::{CudaStream, DriverError, result, sys};
use std::sync::Arc;

/// Bytes of a half: the host waits once as many were copied since the GPU was last known to have read the other one.
const HALF: usize = 16 << 20;

/// Bytes that are copied at once: the GPU reads them while the host writes the next ones.
const PIECE: usize = 4 << 20;

/// Memory of the host that stays where it is, which the GPU reads by itself while the host goes on.
pub(super) struct Staging {
    stream: Arc<CudaStream>,
    memory: *mut u8,
    halves: Halves,
    /// What the stream comes by once all copies from a half have run.
    read: [sys::CUevent; 2],
}

// SAFETY: nobody else has the memory or the events; the driver takes calls from any thread that has the context.
unsafe impl Send for Staging {}

impl Staging {
    /// The context of the stream is that of this thread.
    pub(super) fn new(stream: &Arc<CudaStream>) -> Result<Self, DriverError> {
        let halves = Halves::new(HALF);
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
        let read = [result::event::create(flags)?, result::event::create(flags)?];
        // SAFETY: it is written before it is read, and freed when this is dropped.
        let memory = unsafe { result::malloc_host(halves.bytes(), 0)? }.cast();
        Ok(Staging { stream: stream.clone(), memory, halves, read })
    }

    /// Copies bytes to an address of the GPU, in the order of the stream. They may go as soon as this returns.
    ///
    /// # Safety
    /// As many bytes are allocated at `address`. The context of the stream is that of this thread.
    pub(super) unsafe fn copy(&mut self, from: &[u8], address: u64) -> Result<(), DriverError> {
        let (stream, mut done) = (self.stream.cu_stream(), 0);
        while done < from.len() {
            let Place { first, len, left } = self.halves.take(PIECE.min(from.len() - done));
            if let Some(left) = left {
                // SAFETY: the events are alive. An event that was never recorded is not waited for.
                unsafe {
                    result::event::record(self.read[left], stream)?;
                    result::event::synchronize(self.read[1 - left])?;
                }
            }
            // SAFETY: the place lies within the memory, and the copies that read it have run: the event of its half was waited for
            // when the half was begun. As many bytes as are copied are allocated, the caller says.
            unsafe {
                let place = std::slice::from_raw_parts_mut(self.memory.add(first), len);
                place.copy_from_slice(&from[done..done + len]);
                result::memcpy_htod_async(address + done as u64, place, stream)?;
            }
            done += len;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Where the GPU has failed, what it failed with was said before.
        if self.stream.context().bind_to_thread().is_ok() && self.stream.synchronize().is_ok() {
            // SAFETY: nothing reads the memory any more, and nobody has the events.
            let _ = unsafe { result::free_host(self.memory.cast()) };
            for event in self.read {
                // SAFETY: as above.
                let _ = unsafe { result::event::destroy(event) };
            }
        }
    }
}
