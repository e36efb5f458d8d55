//! Memory that networks and whoever works between their passes take turns with.

use crate::cpu::scratch::{self, Scratch};
use std::ops::{Deref, DerefMut};

/// Values with unspecified contents, in memory that networks use as well. It goes back to them when it is dropped.
///
/// What is needed between a forward and a backward pass fits where the forward pass worked: nothing is asked of the system
/// for it, which would cost a page fault every 4 KiB, in each step.
pub struct Workspace(Scratch<f32>);

impl Workspace {
    /// Room for that many values.
    pub fn take(len: usize) -> Self {
        Workspace(Scratch::take(len))
    }

    /// Gives the memory that nobody uses back to the system: for a program that has done with its networks for a while and needs
    /// memory for something else.
    pub fn release_idle() {
        scratch::release();
    }
}

impl Deref for Workspace {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Workspace {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}
