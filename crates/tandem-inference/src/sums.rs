//! Softmaxes of windows, added up where the windows lie.

use crate::windows::Grid;
use crate::{Error, Result};
use candle_core::{DType, Device, Storage};
use ndarray::Array3;
use rayon::prelude::*;
use tandem_ops3d::elementary::exp;
use tandem_ops3d::{Deferred, WindowPlace, WindowSums};

/// The sum of one network's softmaxes over all windows so far, for those planes that windows still touch.
pub(crate) struct Sums<'a> {
    grid: &'a Grid,
    classes: usize,
    /// Softmaxes of a window that are added: one for each of its mirror images.
    images: u32,
    /// How many windows hold each index along each axis.
    counts: [Vec<u32>; 3],
    /// `(K, i, j, k)`: as many planes as a window has, of the sides of the padded image. Plane i of that image lies at i
    /// modulo the window's side, in the place of the plane that was finished before it. Nothing before the first window, and where
    /// the network runs on a GPU.
    values: Vec<f32>,
    /// The same where the network runs on a GPU.
    on_gpu: Option<WindowSums>,
}

impl<'a> Sums<'a> {
    pub(crate) fn new(grid: &'a Grid, classes: usize, images: usize) -> Self {
        Sums { grid, classes, images: images as u32, counts: grid.counts(), values: Vec::new(), on_gpu: None }
    }

    /// Adds a batch of windows, in their order, from their logits `(N, K, i, j, k)`.
    pub(crate) fn add(&mut self, batch: &[WindowPlace], logits: &Deferred) -> Result<()> {
        let ([pi, pj, pk], [_, nj, nk]) = (self.grid.patch(), self.grid.padded());
        let (expected, dims) = ([batch.len(), self.classes, pi, pj, pk], logits.dims()?);
        if dims != expected {
            let shapes = format!("logits of shape {dims:?} where {expected:?} is due");
            return Err(Error::Networks(format!("a network returned {shapes}")));
        }
        if logits.add_to_windows(&mut self.on_gpu, [nj, nk], batch)? {
            return Ok(());
        }
        self.values.resize(self.classes * pi * nj * nk, 0.0);
        let logits = logits.get()?.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
        let (storage, layout) = logits.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else {
            return Err(Error::Networks("a network's logits did not reach the CPU".to_owned()));
        };
        let values = &storage.as_slice::<f32>()?[layout.start_offset()..];
        for (&window, logits) in batch.iter().zip(values.chunks_exact(self.classes * pi * pj * pk)) {
            self.add_window(window, logits);
        }
        Ok(())
    }

    /// Windows overlap, so they are added one after the other; the planes of a window do not.
    fn add_window(&mut self, WindowPlace { start, mirrored }: WindowPlace, logits: &[f32]) {
        let ([pi, pj, pk], [_, nj, nk]) = (self.grid.patch(), self.grid.padded());
        let mut planes: Vec<_> = (0..pi).map(|_| Vec::with_capacity(self.classes)).collect();
        for class in self.values.chunks_mut(pi * nj * nk) {
            planes
                .iter_mut()
                .zip(class.chunks_mut(nj * nk))
                .for_each(|(plane, of_class)| plane.push(of_class));
        }
        let turned = |axis: usize, at: usize, side: usize| if mirrored[axis] { side - 1 - at } else { at };
        planes.into_par_iter().enumerate().for_each(|(slot, mut sums)| {
            let i = turned(0, (slot + pi - start[0] % pi) % pi, pi);
            let mut row = Row::new(self.classes, pk);
            for to in 0..pj {
                let j = turned(1, to, pj);
                row.softmax(|class: usize| &logits[((class * pi + i) * pj + j) * pk..][..pk]);
                let first = (start[1] + to) * nk + start[2];
                for (sums, p) in sums.iter_mut().zip(row.p.chunks_exact_mut(pk)) {
                    if mirrored[2] {
                        p.reverse();
                    }
                    sums[first..first + pk].iter_mut().zip(p).for_each(|(sum, p)| *sum += *p);
                }
            }
        });
    }

    /// Plane i of the padded image, once no further window touches it: the mean over the windows at each voxel, `(K, j, k)`,
    /// without the padding. Its memory is that of plane i + the window's side from now on.
    pub(crate) fn finish(&mut self, i: usize, network: usize) -> Result<Array3<f32>> {
        let ([pi, _, _], [_, nj, nk]) = (self.grid.patch(), self.grid.padded());
        let [_, inside_j, inside_k] = self.grid.inside();
        let [along_i, along_j, along_k] = &self.counts;
        let along_k = &along_k[inside_k.clone()];
        let mut mean = Array3::zeros((self.classes, inside_j.len(), inside_k.len()));
        let Some(rows) = mean.as_slice_mut().filter(|values| !values.is_empty()) else { return Ok(mean) };
        let fetched = self.on_gpu.as_mut().map(|sums| sums.take(i % pi)).transpose()?;
        let values = &self.values;
        let sums_of = |class: usize| match &fetched {
            Some(plane) => &plane[class * nj * nk..][..nj * nk],
            None => &values[(class * pi + i % pi) * nj * nk..][..nj * nk],
        };
        let rows = rows.par_chunks_mut(inside_k.len()).with_min_len(1 + 4096 / inside_k.len()).enumerate();
        let finite = rows.map(|(row, means)| {
            let (class, j) = (row / inside_j.len(), inside_j.start + row % inside_j.len());
            let sums = &sums_of(class)[j * nk..][inside_k.clone()];
            let count = along_i[i] * along_j[j] * self.images;
            for ((mean, sum), along_k) in means.iter_mut().zip(sums).zip(along_k) {
                *mean = sum / (count * along_k) as f32;
            }
            means.iter().all(|value| value.is_finite())
        });
        if !finite.reduce(|| true, |a, b| a & b) {
            return Err(Error::Diverged(network));
        }
        for class in self.values.chunks_mut(pi * nj * nk) {
            class[i % pi * nj * nk..][..nj * nk].fill(0.0);
        }
        Ok(mean)
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
