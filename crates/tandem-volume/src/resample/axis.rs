//! Resampling along one axis: every new voxel is a weighted mean of a run of old ones.
use ndarray::Array3;
use rayon::prelude::*;

use super::spline;

/// New over old spacing. A ratio that is an integer but for rounding becomes one, so that block means are exact.
pub(super) fn ratio(old: f64, new: f64) -> f64 {
    let ratio = new / old;
    if (ratio - ratio.round()).abs() < 1e-5 * ratio { ratio.round() } else { ratio }
}

/// The new number of voxels along an axis of `old` voxels. A thousandth of a voxel too much makes no new one.
pub(super) fn side(old: usize, ratio: f64) -> f64 {
    if old == 0 { 0.0 } else { (old as f64 / ratio - 1e-3).ceil().max(1.0) }
}

/// For each new voxel along an axis, the first old voxel it is made of and the weights from there on; they sum to 1.
pub(super) struct Taps(Vec<(usize, Vec<f32>)>);

impl Taps {
    /// The taps from `old` to `new` voxels that are `ratio` as large.
    pub(super) fn resizing(old: usize, new: usize, ratio: f64) -> Self {
        if ratio > 1.0 {
            Taps((0..new).map(|n| area(n, old, ratio)).collect())
        } else {
            Self::at((0..new).map(|n| (n as f64 + 0.5) * ratio - 0.5), old)
        }
    }

    /// The taps that interpolate linearly at fractional indices on an axis of `old` voxels, clamped at its ends.
    pub(super) fn at(indices: impl Iterator<Item = f64>, old: usize) -> Self {
        Taps(indices.map(|index| linear(index, old)).collect())
    }

    /// The taps that read a spline's coefficients at fractional indices on an axis of `old` voxels, clamped at its ends.
    pub(super) fn spline(indices: impl Iterator<Item = f64>, old: usize) -> Self {
        Taps(indices.map(|index| spline::cubic(index, old)).collect())
    }

    /// The taps that smooth an axis of `old` voxels, so that voxels `ratio` as large can be taken from it.
    pub(super) fn smoothing(old: usize, ratio: f64) -> Self {
        let variance = (ratio * ratio - 1.0) / (8.0 * 2f64.ln());
        Taps((0..old).map(|n| gaussian(n, old, variance)).collect())
    }

    /// For each new voxel, the first old voxel of its run and the weights.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.0.iter().map(|(first, weights)| (*first, weights.as_slice()))
    }

    /// The run of new voxel `n`.
    pub(super) fn run(&self, n: usize) -> (usize, &[f32]) {
        let (first, weights) = &self.0[n];
        (*first, weights)
    }

    /// Resamples `axis` of `array`. Every new voxel is one sum in a fixed order, whatever the number of threads.
    pub(super) fn apply(&self, array: &Array3<f32>, axis: usize) -> Array3<f32> {
        let mut shape = array.shape().to_vec();
        shape[axis] = self.0.len();
        let mut resampled = Array3::zeros((shape[0], shape[1], shape[2]));
        // Seen from the axis, an array in standard layout is (outer, axis, inner).
        let inner: usize = array.shape()[axis + 1..].iter().product();
        let old_block = array.shape()[axis] * inner;
        let array = array.as_standard_layout();
        let (Some(old), Some(new)) = (array.as_slice(), resampled.as_slice_mut()) else {
            unreachable!("both arrays are in standard layout");
        };
        if new.is_empty() {
            return resampled;
        }
        new.par_chunks_mut(inner).with_min_len(1 + 4096 / inner).enumerate().for_each(|(row, sums)| {
            let (outer, n) = (row / self.0.len(), row % self.0.len());
            let (first, weights) = &self.0[n];
            for (tap, &weight) in weights.iter().enumerate() {
                let values = &old[outer * old_block + (first + tap) * inner..][..inner];
                sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += weight * value);
            }
        });
        resampled
    }
}

/// The shares of new voxel `n` that lie in the old voxels it covers, in units of old voxels: n * ratio to (n + 1) * ratio.
fn area(n: usize, old: usize, ratio: f64) -> (usize, Vec<f32>) {
    let start = n as f64 * ratio;
    let end = ((n + 1) as f64 * ratio).min(old as f64);
    let first = (start as usize).min(old - 1);
    let last = (end.ceil() as usize).clamp(first + 1, old);
    let covered = |voxel: usize| (end.min((voxel + 1) as f64) - start.max(voxel as f64)).max(0.0);
    let shares: Vec<f64> = (first..last).map(covered).collect();
    let total: f64 = shares.iter().sum();
    (first, shares.iter().map(|share| (share / total) as f32).collect())
}

/// The two old voxels beside the fractional index `x`.
fn linear(x: f64, old: usize) -> (usize, Vec<f32>) {
    let x = x.clamp(0.0, (old - 1) as f64);
    let below = x as usize;
    let weight = (x - below as f64) as f32;
    if weight == 0.0 { (below, vec![1.0]) } else { (below, vec![1.0 - weight, weight]) }
}

/// The weights of a Gaussian around voxel `n`, cut off at four standard deviations; beyond the ends the border goes on.
fn gaussian(n: usize, old: usize, variance: f64) -> (usize, Vec<f32>) {
    let radius = (4.0 * variance.sqrt() + 0.5) as usize;
    let weight = |distance: usize| (-0.5 * (distance * distance) as f64 / variance).exp();
    let total = 1.0 + 2.0 * (1..=radius).map(weight).sum::<f64>();
    let (first, last) = (n.saturating_sub(radius), (n + radius).min(old - 1));
    let mut run = vec![0.0; last + 1 - first];
    for tap in 0..=2 * radius {
        let voxel = (n + tap).saturating_sub(radius).min(last);
        run[voxel - first] += weight(tap.abs_diff(radius)) / total;
    }
    (first, run.into_iter().map(|weight| weight as f32).collect())
}
