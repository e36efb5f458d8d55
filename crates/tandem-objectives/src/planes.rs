//! A batch as planes: patch after patch, class after class, the voxels of one class of one patch side by side, as in a
//! contiguous `(N, K, D, H, W)` tensor.
//!
//! Losses go through it a span of voxels at a time, class by class: loops over plain slices, which are vector code for any
//! number of classes and stay in the fastest cache.

use candle_core::{Result, Storage, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

/// Voxels of a span at the most. A constant, so that the order of every sum follows from the shape alone, never from the
/// number of threads.
pub(crate) const SPAN: usize = 2048;

/// Neighbouring voxels of one patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    patch: usize,
    first: usize,
    pub(crate) len: usize,
    /// Voxels of a whole patch.
    voxels: usize,
}

impl Span {
    /// Its place among the voxels of all patches.
    pub(crate) fn voxels(self) -> Range<usize> {
        let start = self.patch * self.voxels + self.first;
        start..start + self.len
    }

    /// Its place in the plane of a class.
    pub(crate) fn of_class(self, class: usize, classes: usize) -> Range<usize> {
        let start = (self.patch * classes + class) * self.voxels + self.first;
        start..start + self.len
    }
}

/// The spans of some patches of so many voxels.
pub(crate) fn spans(patches: usize, voxels: usize) -> Vec<Span> {
    let of_patch = |patch| {
        let firsts = (0..voxels).step_by(SPAN);
        firsts.map(move |first| Span { patch, first, len: SPAN.min(voxels - first), voxels })
    };
    (0..patches).flat_map(of_patch).collect()
}

/// The planes of each span, one slice a class.
pub(crate) fn spans_mut(planes: &mut [f32], classes: usize, voxels: usize) -> Vec<(Span, Vec<&mut [f32]>)> {
    if voxels == 0 {
        return Vec::new();
    }
    let patches = planes.len() / (classes * voxels);
    let mut spans: Vec<_> =
        spans(patches, voxels).into_iter().map(|span| (span, Vec::with_capacity(classes))).collect();
    let in_patch = voxels.div_ceil(SPAN);
    for (plane, values) in planes.chunks_mut(voxels).enumerate() {
        for (index, values) in values.chunks_mut(SPAN).enumerate() {
            spans[plane / classes * in_patch + index].1.push(values);
        }
    }
    spans
}

/// A number for each voxel of some patches, found span by span in parallel.
pub(crate) fn per_voxel<T: Copy + Default + Send>(
    (patches, voxels): (usize, usize),
    fill: impl Fn(Span, &mut [T]) + Sync,
) -> Vec<T> {
    let mut all = vec![T::default(); patches * voxels];
    spans_mut_of_voxels(&mut all, voxels).into_par_iter().for_each(|(span, values)| fill(span, values));
    all
}

fn spans_mut_of_voxels<T>(all: &mut [T], voxels: usize) -> Vec<(Span, &mut [T])> {
    let patches = all.len().checked_div(voxels).unwrap_or(0);
    let values = all.chunks_mut(voxels.max(1)).flat_map(|patch| patch.chunks_mut(SPAN));
    spans(patches, voxels).into_iter().zip(values).collect()
}

/// Several sums over all spans, in order whatever the number of threads.
pub(crate) fn add_up<const N: usize>(parts: impl ParallelIterator<Item = [f64; N]>) -> [f64; N] {
    // Collected first: a parallel sum would add in an order of its own.
    let parts: Vec<[f64; N]> = parts.collect();
    let mut total = [0.0; N];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    total
}

/// The sum of f32 values in f64, in eight partial sums: a fixed order that vector units follow.
pub(crate) fn sum(values: &[f32]) -> f64 {
    let mut sums = [0.0f64; 8];
    let blocks = values.chunks_exact(8);
    let rest: f64 = blocks.remainder().iter().map(|value| f64::from(*value)).sum();
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sums.iter().sum::<f64>() + rest
}

/// The values of a contiguous f32 tensor on the CPU.
pub(crate) fn with_slice<R>(tensor: &Tensor, use_slice: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        bail!("the losses are computed on the CPU so far; this tensor is on {:?}", tensor.device().location())
    };
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(use_slice(&values[start..end])),
        None => bail!("a contiguous tensor is needed, this one has strides {:?}", layout.stride()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_every_plane_once() {
        let (patches, classes, voxels) = (2, 3, SPAN + 5);
        let mut planes: Vec<f32> = (0..patches * classes * voxels).map(|i| i as f32).collect();
        let copy = planes.clone();
        let mut seen = 0;
        for (span, slices) in spans_mut(&mut planes, classes, voxels) {
            assert_eq!(slices.len(), classes);
            for (class, slice) in slices.iter().enumerate() {
                assert_eq!(**slice, copy[span.of_class(class, classes)]);
                seen += slice.len();
            }
        }
        assert_eq!(seen, copy.len());
        let numbers = per_voxel((patches, voxels), |span, to: &mut [usize]| {
            to.iter_mut().zip(span.voxels()).for_each(|(to, voxel)| *to = voxel);
        });
        assert!(numbers.into_iter().eq(0..patches * voxels));
        assert!(spans_mut(&mut [], classes, 0).is_empty());
    }

    #[test]
    fn sums_do_not_depend_on_threads() {
        let values: Vec<f32> = (0..50 * SPAN + 17).map(|v| (v as f32).sin()).collect();
        let total = || add_up(values.par_chunks(SPAN).map(|values| [sum(values)]))[0];
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let many = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(one.install(total).to_bits(), many.install(total).to_bits());
        let plain: f64 = values.iter().map(|value| f64::from(*value)).sum();
        assert!((total() - plain).abs() < 1e-9 * values.len() as f64);
    }
}
