//! In place of `on_gpu.rs` where this crate is built for no GPU: there is none, so nothing of this is ever called.

use super::backward::Gradients;
use super::op::OtherGradient;
use super::vector::Descent;
use super::{Mode, Precision, Program};
use crate::deferred::Voxels;
use crate::device::Gpu;
use candle_core::{Result, Tensor};
use std::collections::BTreeMap;
use std::ops::Range;

/// What a forward pass makes.
pub(super) struct Forward {
    pub(super) tape: GpuTape,
    pub(super) heads: Vec<(usize, Vec<f32>, [usize; 5])>,
    pub(super) statistics: Vec<f32>,
}

/// What a forward pass keeps.
pub(super) enum GpuTape {}

impl GpuTape {
    pub(super) fn dims(&self, _: usize) -> Result<[usize; 5]> {
        match *self {}
    }

    pub(super) fn planes(&self, _: usize) -> Result<Vec<f32>> {
        match *self {}
    }

    pub(super) fn class_sums(&self, _: usize, _: Voxels, _: &[u8], _: usize) -> Result<Vec<f64>> {
        match *self {}
    }

    pub(super) fn at(&self, _: usize, _: Voxels, _: &[usize]) -> Result<Vec<f32>> {
        match *self {}
    }
}

/// A vector of weights.
pub(super) enum GpuVector {}

impl GpuVector {
    pub(super) fn of(gpu: &Gpu, _: &[f32]) -> Result<Self> {
        match *gpu {}
    }

    pub(super) fn like(&self) -> Result<Self> {
        match *self {}
    }

    pub(super) fn clear(&mut self) -> Result<()> {
        match *self {}
    }

    pub(super) fn len(&self) -> usize {
        match *self {}
    }

    pub(super) fn read(&self, _: Range<usize>) -> Result<Vec<f32>> {
        match *self {}
    }

    pub(super) fn sums_of_squares(&self) -> Result<Vec<f64>> {
        match *self {}
    }

    pub(super) fn scale(&mut self, _: f32) -> Result<()> {
        match *self {}
    }

    pub(super) fn add(&mut self, _: &Self) -> Result<()> {
        match *self {}
    }

    pub(super) fn descend(&mut self, _: &Self, _: &mut Self, _: f64, _: &Descent) -> Result<()> {
        match *self {}
    }

    pub(super) fn follow(&mut self, _: &Self, _: f64) -> Result<()> {
        match *self {}
    }
}

pub(super) fn forward(
    _: &Program,
    _: (&[f32], [usize; 5]),
    weights: &GpuVector,
    _: Vec<f32>,
    _: (Mode, Precision),
) -> Result<Forward> {
    match *weights {}
}

pub(super) fn backward(
    _: &Program,
    tape: GpuTape,
    _: &GpuVector,
    _: BTreeMap<usize, Tensor>,
    _: Vec<OtherGradient>,
    _: bool,
) -> Result<Gradients> {
    match tape {}
}
