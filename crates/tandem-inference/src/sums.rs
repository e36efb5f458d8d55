//! Softmaxes of windows, added up where the windows lie.

use crate::windows::Grid;
use crate::{Error, Result};
use candle_core::{DType, Device, Storage, Tensor};
use ndarray::{Array4, Slice};
use rayon::prelude::*;
use tandem_ops3d::elementary::exp;

/// The sum of one network's softmaxes over all windows so far.
pub(crate) struct Sums<'a> {
    grid: &'a Grid,
    classes: usize,
    /// `(K, i, j, k)` of the padded image.
    values: Vec<f32>,
}

impl<'a> Sums<'a> {
    pub(crate) fn new(grid: &'a Grid, classes: usize) -> Self {
        let voxels: usize = grid.padded().iter().product();
        Sums { grid, classes, values: vec![0.0; classes * voxels] }
    }

    /// Adds a batch of windows that start there, from their logits `(N, K, i, j, k)`.
    pub(crate) fn add(&mut self, starts: &[[usize; 3]], logits: &Tensor) -> Result<()> {
        let [pi, pj, pk] = self.grid.patch();
        let expected = [starts.len(), self.classes, pi, pj, pk];
        if logits.dims() != expected {
            let shapes = format!("logits of shape {:?} where {expected:?} is due", logits.dims());
            return Err(Error::Networks(format!("a network returned {shapes}")));
        }
        let logits = logits.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
        let (storage, layout) = logits.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else {
            return Err(Error::Networks("a network's logits did not reach the CPU".to_owned()));
        };
        let values = &storage.as_slice::<f32>()?[layout.start_offset()..];
        for (&start, logits) in starts.iter().zip(values.chunks_exact(self.classes * pi * pj * pk)) {
            self.add_window(start, logits);
        }
        Ok(())
    }

    /// Windows overlap, so they are added one after the other; the planes of a window do not.
    fn add_window(&mut self, start: [usize; 3], logits: &[f32]) {
        let ([pi, pj, pk], [ni, nj, nk]) = (self.grid.patch(), self.grid.padded());
        let mut planes: Vec<_> = (0..pi).map(|_| Vec::with_capacity(self.classes)).collect();
        for class in self.values.chunks_mut(ni * nj * nk) {
            let inside = class.chunks_mut(nj * nk).skip(start[0]);
            planes.iter_mut().zip(inside).for_each(|(plane, of_class)| plane.push(of_class));
        }
        planes.into_par_iter().enumerate().for_each(|(i, mut sums)| {
            let mut row = Row::new(self.classes, pk);
            for j in 0..pj {
                let logits = |class: usize| &logits[((class * pi + i) * pj + j) * pk..][..pk];
                row.softmax(logits);
                let first = (start[1] + j) * nk + start[2];
                for (sums, p) in sums.iter_mut().zip(row.p.chunks_exact(pk)) {
                    sums[first..first + pk].iter_mut().zip(p).for_each(|(sum, p)| *sum += p);
                }
            }
        });
    }

    /// The mean over the windows at each voxel, without the padding.
    pub(crate) fn average(mut self, network: usize) -> Result<Array4<f32>> {
        let [ni, nj, nk] = self.grid.padded();
        let [along_i, along_j, along_k] = self.grid.counts();
        let rows = self.values.par_chunks_mut(nk).enumerate();
        let finite = rows.map(|(row, values)| {
            let count = along_i[row / nj % ni] * along_j[row % nj];
            for (value, along_k) in values.iter_mut().zip(&along_k) {
                *value /= (count * along_k) as f32;
            }
            values.iter().all(|value| value.is_finite())
        });
        // Every row is divided, so nothing may stop early.
        if !finite.reduce(|| true, |a, b| a & b) {
            return Err(Error::Diverged(network));
        }
        let padded = (self.classes, ni, nj, nk);
        let mean = Array4::from_shape_vec(padded, self.values).map_err(candle_core::Error::wrap)?;
        let inside = self.grid.inside();
        if inside.iter().zip([ni, nj, nk]).all(|(inside, side)| inside.len() == side) {
            return Ok(mean);
        }
        let cut = mean.slice_each_axis(|axis| match axis.axis.index() {
            0 => Slice::from(..),
            spatial => Slice::from(inside[spatial - 1].clone()),
        });
        Ok(cut.to_owned())
    }
}

/// The softmax of a row of voxels, class after class: plain loops, which become vector code.
struct Row {
    p: Vec<f32>,
    largest: Vec<f32>,
    total: Vec<f32>,
}

impl Row {
    fn new(classes: usize, voxels: usize) -> Self {
        Row { p: vec![0.0; classes * voxels], largest: vec![0.0; voxels], total: vec![0.0; voxels] }
    }

    fn softmax<'a>(&mut self, logits: impl Fn(usize) -> &'a [f32]) {
        let voxels = self.total.len();
        self.largest.fill(f32::NEG_INFINITY);
        self.total.fill(0.0);
        for class in 0..self.p.len() / voxels {
            for (largest, &logit) in self.largest.iter_mut().zip(logits(class)) {
                *largest = if logit > *largest { logit } else { *largest };
            }
        }
        for (class, p) in self.p.chunks_exact_mut(voxels).enumerate() {
            let values = logits(class).iter().zip(&self.largest);
            for ((p, total), (logit, largest)) in p.iter_mut().zip(&mut self.total).zip(values) {
                *p = exp(logit - largest);
                *total += *p;
            }
        }
        for p in self.p.chunks_exact_mut(voxels) {
            p.iter_mut().zip(&self.total).for_each(|(p, total)| *p /= total);
        }
    }
}
