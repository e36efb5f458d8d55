//! Batch normalisation over the voxels of channels-last images, with or without a ReLU behind it.
//!
//! Statistics are taken chunk by chunk in two passes over the chunk (it stays in the cache), and merged in f64 in the
//! order of the chunks (Chan, Golub and LeVeque 1979): accurate where a mean is large against its spread, and
//! independent of the thread count.

use super::simd::on_every_path;
use rayon::prelude::*;

/// Values in a chunk: 128 KiB.
const CHUNK: usize = 32 * 1024;

/// Per-channel mean and biased variance.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) mean: Vec<f64>,
    pub(crate) variance: Vec<f64>,
}

/// How values are cut up: whole voxels to a chunk; coefficients repeated over a tile of several voxels, so that a loop
/// over a tile is long enough for wide vectors at any channel count.
#[derive(Clone, Copy)]
struct Tiling {
    channels: usize,
    tile: usize,
    chunk: usize,
}

impl Tiling {
    fn new(channels: usize) -> Self {
        let tile = channels * 64usize.div_ceil(channels);
        Tiling { channels, tile, chunk: (CHUNK / tile).max(1) * tile }
    }

    /// A coefficient per channel, repeated over a tile.
    fn repeat(&self, coefficient: impl Fn(usize) -> f32) -> Vec<f32> {
        (0..self.tile).map(|i| coefficient(i % self.channels)).collect()
    }

    /// A tile's sums, added up by channel.
    fn fold(&self, sums: &[f32], total: &mut [f64]) {
        sums.iter().enumerate().for_each(|(i, sum)| total[i % self.channels] += f64::from(*sum));
    }
}

/// Mean and variance of each channel.
pub(crate) fn moments(x: &[f32], channels: usize) -> Moments {
    let tiling = Tiling::new(channels);
    let parts: Vec<Moments> = x.par_chunks(tiling.chunk).map(|chunk| chunk_moments(chunk, tiling)).collect();
    let mut total = Moments { mean: vec![0.0; channels], variance: vec![0.0; channels] };
    let mut seen = 0.0;
    for (index, part) in parts.iter().enumerate() {
        let count = (x.len() - index * tiling.chunk).min(tiling.chunk) as f64 / channels as f64;
        for c in 0..channels {
            let delta = part.mean[c] - total.mean[c];
            total.mean[c] += delta * count / (seen + count);
            total.variance[c] += part.variance[c] + delta * delta * seen * count / (seen + count);
        }
        seen += count;
    }
    total.variance.iter_mut().for_each(|sum| *sum /= seen.max(1.0));
    total
}

/// Mean and sum of squared differences from it, of one chunk.
fn chunk_moments(chunk: &[f32], tiling: Tiling) -> Moments {
    let count = chunk.len() as f64 / tiling.channels as f64;
    let mut mean = vec![0.0; tiling.channels];
    let mut sums = vec![0.0; tiling.tile];
    // Short stretches of f32 sums between f64 ones.
    for stretch in chunk.chunks(tiling.tile * 64) {
        sums.fill(0.0);
        add_up(stretch, &mut sums);
        tiling.fold(&sums, &mut mean);
    }
    mean.iter_mut().for_each(|sum| *sum /= count);
    let centre = tiling.repeat(|c| mean[c] as f32);
    let mut squares = vec![0.0; tiling.channels];
    for stretch in chunk.chunks(tiling.tile * 64) {
        sums.fill(0.0);
        add_up_squares(stretch, &centre, &mut sums);
        tiling.fold(&sums, &mut squares);
    }
    // The centre was rounded to f32: take the difference out again.
    for c in 0..tiling.channels {
        let slip = mean[c] - f64::from(centre[c]);
        squares[c] = (squares[c] - count * slip * slip).max(0.0);
    }
    Moments { mean, variance: squares }
}

on_every_path! {
    fn add_up(x: &[f32], sums: &mut [f32]) {
        for tile in x.chunks(sums.len()) {
            sums.iter_mut().zip(tile).for_each(|(sum, x)| *sum += x);
        }
    }
}

on_every_path! {
    fn add_up_squares(x: &[f32], centre: &[f32], sums: &mut [f32]) {
        for tile in x.chunks(sums.len()) {
            sums.iter_mut().zip(tile).zip(centre).for_each(|((sum, x), centre)| {
                let delta = x - centre;
                *sum += delta * delta;
            });
        }
    }
}

/// `y = (x - mean) * scale + shift`, then a ReLU where asked.
pub(crate) struct Affine<'a> {
    pub(crate) mean: &'a [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) relu: bool,
}

/// Applies an affine map per channel.
pub(crate) fn normalise(x: &[f32], affine: &Affine, y: &mut [f32]) {
    let tiling = Tiling::new(affine.mean.len());
    let mean = tiling.repeat(|c| affine.mean[c]);
    let scale = tiling.repeat(|c| affine.scale[c]);
    let shift = tiling.repeat(|c| affine.shift[c]);
    let floor = if affine.relu { 0.0 } else { f32::NEG_INFINITY };
    x.par_chunks(tiling.chunk).zip(y.par_chunks_mut(tiling.chunk)).for_each(|(x, y)| {
        apply(x, y, &mean, &scale, &shift, floor);
    });
}

on_every_path! {
    fn apply(x: &[f32], y: &mut [f32], mean: &[f32], scale: &[f32], shift: &[f32], floor: f32) {
        let tile = mean.len();
        for (x, y) in x.chunks(tile).zip(y.chunks_mut(tile)) {
            for ((((y, x), mean), scale), shift) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(shift) {
                let value = (x - mean) * scale + shift;
                // Written so that NaN stays NaN.
                *y = if value < floor { floor } else { value };
            }
        }
    }
}

/// What the backward pass needs from the forward one.
pub(crate) struct Backward<'a> {
    pub(crate) x: &'a [f32],
    /// The output, whose zeros mark where the ReLU was closed; `None` without a ReLU.
    pub(crate) y: Option<&'a [f32]>,
    pub(crate) grad: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) inverse_sd: &'a [f32],
}

/// Gradients of scale (gamma) and shift (beta).
pub(crate) fn affine_gradients(pass: &Backward) -> (Vec<f64>, Vec<f64>) {
    let channels = pass.mean.len();
    let tiling = Tiling::new(channels);
    let mean = tiling.repeat(|c| pass.mean[c]);
    let parts: Vec<[Vec<f64>; 2]> = (0..pass.x.len().div_ceil(tiling.chunk))
        .into_par_iter()
        .map(|index| {
            let range = index * tiling.chunk..pass.x.len().min((index + 1) * tiling.chunk);
            let (mut gamma, mut beta) = (vec![0.0; channels], vec![0.0; channels]);
            let (mut products, mut sums) = (vec![0.0; tiling.tile], vec![0.0; tiling.tile]);
            for start in range.clone().step_by(tiling.tile * 64) {
                let stretch = start..range.end.min(start + tiling.tile * 64);
                let y = pass.y.map(|y| &y[stretch.clone()]);
                products.fill(0.0);
                sums.fill(0.0);
                add_up_gradients(
                    &pass.x[stretch.clone()],
                    y,
                    &pass.grad[stretch],
                    &mean,
                    &mut products,
                    &mut sums,
                );
                tiling.fold(&products, &mut gamma);
                tiling.fold(&sums, &mut beta);
            }
            [gamma, beta]
        })
        .collect();
    let total = |which: usize, c: usize| parts.iter().map(|part| part[which][c]).sum::<f64>();
    let gamma = (0..channels).map(|c| total(0, c) * f64::from(pass.inverse_sd[c])).collect();
    (gamma, (0..channels).map(|c| total(1, c)).collect())
}

on_every_path! {
    fn add_up_gradients(x: &[f32], y: Option<&[f32]>, grad: &[f32], mean: &[f32], products: &mut [f32], sums: &mut [f32]) {
        let tile = mean.len();
        match y {
            Some(y) => for ((x, y), grad) in x.chunks(tile).zip(y.chunks(tile)).zip(grad.chunks(tile)) {
                for (((((x, y), grad), mean), product), sum) in
                    x.iter().zip(y).zip(grad).zip(mean).zip(products.iter_mut()).zip(sums.iter_mut())
                {
                    let grad = if *y > 0.0 { *grad } else { 0.0 };
                    *product += grad * (x - mean);
                    *sum += grad;
                }
            },
            None => for (x, grad) in x.chunks(tile).zip(grad.chunks(tile)) {
                for ((((x, grad), mean), product), sum) in
                    x.iter().zip(grad).zip(mean).zip(products.iter_mut()).zip(sums.iter_mut())
                {
                    *product += grad * (x - mean);
                    *sum += grad;
                }
            },
        }
    }
}

/// `dx = a * grad + b * (x - mean) + c` per channel, with the gradient cut where the ReLU was closed.
pub(crate) struct InputGradient<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) b: &'a [f32],
    pub(crate) c: &'a [f32],
}

/// The gradient of the input.
pub(crate) fn input_gradient(pass: &Backward, coefficients: &InputGradient, dx: &mut [f32]) {
    let tiling = Tiling::new(pass.mean.len());
    let mean = tiling.repeat(|c| pass.mean[c]);
    let [a, b, c] =
        [coefficients.a, coefficients.b, coefficients.c].map(|values| tiling.repeat(|c| values[c]));
    dx.par_chunks_mut(tiling.chunk).enumerate().for_each(|(index, dx)| {
        let range = index * tiling.chunk..index * tiling.chunk + dx.len();
        let y = pass.y.map(|y| &y[range.clone()]);
        combine(&pass.x[range.clone()], y, &pass.grad[range], &mean, &a, &b, &c, dx);
    });
}

on_every_path! {
    fn combine(
        x: &[f32], y: Option<&[f32]>, grad: &[f32], mean: &[f32], a: &[f32], b: &[f32], c: &[f32], dx: &mut [f32],
    ) {
        let tile = mean.len();
        for (index, dx) in dx.chunks_mut(tile).enumerate() {
            let range = index * tile..index * tile + dx.len();
            let (x, grad) = (&x[range.clone()], &grad[range.clone()]);
            let coefficients = mean.iter().zip(a).zip(b).zip(c);
            match y {
                Some(y) => {
                    let values = dx.iter_mut().zip(x).zip(&y[range]).zip(grad);
                    for ((((dx, x), y), grad), (((mean, a), b), c)) in values.zip(coefficients) {
                        let grad = if *y > 0.0 { *grad } else { 0.0 };
                        *dx = a * grad + b * (x - mean) + c;
                    }
                }
                None => {
                    for (((dx, x), grad), (((mean, a), b), c)) in dx.iter_mut().zip(x).zip(grad).zip(coefficients) {
                        *dx = a * grad + b * (x - mean) + c;
                    }
                }
            }
        }
    }
}
