//! Work space that is kept between calls.
//!
//! A training step asks for the same large buffers again and again; memory fresh from the system costs a page fault
//! every 4 KiB, which can exceed the work done in it.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// Buffers that are kept at the most; the smallest is given back to the system first.
const KEPT: usize = 8;

/// A buffer of f32 with unspecified (but initialised) contents, returned to the pool when dropped.
pub(crate) struct Scratch(Vec<f32>);

impl Scratch {
    /// A buffer of that many values: the smallest kept one that is large enough, else a new one.
    pub(crate) fn take(len: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let fitting = free.iter().enumerate().filter(|(_, b)| b.capacity() >= len);
        let found = fitting.min_by_key(|(_, b)| b.capacity()).map(|(i, _)| i);
        let mut buffer = found.map(|i| free.swap_remove(i)).unwrap_or_default();
        drop(free);
        buffer.resize(len, 0.0);
        Scratch(buffer)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        free.push(std::mem::take(&mut self.0));
        if free.len() > KEPT {
            let smallest = free.iter().enumerate().min_by_key(|(_, b)| b.capacity()).map(|(i, _)| i);
            smallest.map(|i| free.swap_remove(i));
        }
    }
}

impl Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}
