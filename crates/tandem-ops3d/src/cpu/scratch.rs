//! Work space that is kept between calls.
//!
//! A training step asks for the same large buffers again and again; memory fresh from the system costs a page fault
//! every 4 KiB, which can exceed the work done in it.

use super::element::Element;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// A cache line: buffers begin with one, so that no aligned vector lies across two.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

static FREE: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

/// Buffers that are kept at the most; the smallest is given back to the system first.
const KEPT: usize = 512;

/// A buffer with unspecified (but initialised) contents, returned to the pool when dropped.
pub(crate) struct Scratch<T: Element> {
    lines: Vec<Line>,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Element> Scratch<T> {
    /// A buffer of that many values: the smallest kept one that is large enough, else a new one.
    pub(crate) fn take(len: usize) -> Self {
        let count = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        let mut free = FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let fitting = free.iter().enumerate().filter(|(_, b)| b.len() >= count);
        let found = fitting.min_by_key(|(_, b)| b.len()).map(|(i, _)| i);
        let kept = found.map(|i| free.swap_remove(i));
        drop(free);
        let lines = kept.unwrap_or_else(|| vec![Line([0; 64]); count]);
        Scratch { lines, len, values: PhantomData }
    }
}

impl<T: Element> Drop for Scratch<T> {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        free.push(std::mem::take(&mut self.lines));
        if free.len() > KEPT {
            let smallest = free.iter().enumerate().min_by_key(|(_, b)| b.len()).map(|(i, _)| i);
            smallest.map(|i| free.swap_remove(i));
        }
    }
}

impl<T: Element> Deref for Scratch<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold `len` values at least, are aligned for them and initialised; an element is plain data
        // of which every bit pattern is valid.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Element> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
