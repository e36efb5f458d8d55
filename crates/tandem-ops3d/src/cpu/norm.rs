//! Batch normalisation over the voxels of channels-last images, with or without a ReLU behind it.
//!
//! Statistics are taken chunk by chunk in two passes over the chunk (it stays in the cache), and merged in f64 in the
//! order of the chunks (Chan, Golub and LeVeque 1979): accurate where a mean is large against its spread, and
//! independent of the thread count.

use super::element::Element;
use super::rows::{self, Affine, InputGradient, repeat};
use super::simd::on_every_path;
use rayon::prelude::*;

/// Values in a chunk.
const CHUNK: usize = 32 * 1024;
/// Tiles that are summed in f32 between two sums in f64.
const STRETCH: usize = 64;

/// The statistics and form of one normalisation.
#[derive(Clone, Debug)]
pub(crate) struct Normalisation {
    pub(crate) mean: Vec<f64>,
    /// Biased.
    pub(crate) variance: Vec<f64>,
    /// Values per channel that they were taken over; none where they are given.
    pub(crate) of_batch: Option<f64>,
    pub(crate) eps: f64,
    pub(crate) relu: bool,
}

/// What a backward pass finds.
pub(crate) struct Gradients {
    /// Of the scale (gamma) and the shift (beta).
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
    /// How the input's gradient follows from the output's.
    pub(crate) input: InputGradient,
    /// The input's gradient, summed over the voxels: that of a bias before the normalisation. Of batch statistics it is 0 but for
    /// rounding.
    pub(crate) input_sum: Vec<f32>,
}

impl Normalisation {
    fn inverse_sd(&self) -> Vec<f64> {
        self.variance.iter().map(|variance| 1.0 / (variance + self.eps).sqrt()).collect()
    }

    /// The map from input to output.
    pub(crate) fn affine(&self, gamma: &[f32], beta: &[f32]) -> Affine {
        let (channels, inverse_sd) = (gamma.len(), self.inverse_sd());
        Affine {
            mean: repeat(channels, |c| self.mean[c] as f32),
            scale: repeat(channels, |c| (inverse_sd[c] * f64::from(gamma[c])) as f32),
            shift: repeat(channels, |c| beta[c]),
            floor: if self.relu { 0.0 } else { f32::NEG_INFINITY },
        }
    }

    /// From the sums of [`gradient_sums`] over `voxels`.
    pub(crate) fn gradients(&self, gamma: &[f32], sums: &[Vec<f64>; 2], voxels: f64) -> Gradients {
        let (channels, inverse_sd) = (gamma.len(), self.inverse_sd());
        // The batch's statistics depend on the input, given ones do not.
        let own = self.of_batch.map_or(0.0, |count| 1.0 / count);
        let d_gamma = |c: usize| sums[0][c] * inverse_sd[c];
        let a = |c: usize| inverse_sd[c] * f64::from(gamma[c]);
        let b = |c: usize| -a(c) * d_gamma(c) * inverse_sd[c] * own;
        let constant = |c: usize| -a(c) * sums[1][c] * own;
        let all = |f: &dyn Fn(usize) -> f64| (0..channels).map(|c| f(c) as f32).collect();
        Gradients {
            gamma: all(&d_gamma),
            beta: all(&|c| sums[1][c]),
            input: InputGradient {
                a: repeat(channels, |c| a(c) as f32),
                b: repeat(channels, |c| b(c) as f32),
                c: repeat(channels, |c| constant(c) as f32),
            },
            input_sum: all(&|c| a(c) * sums[1][c] + constant(c) * voxels),
        }
    }
}

/// How values are cut up: whole tiles to a chunk.
#[derive(Clone, Copy)]
struct Tiling {
    channels: usize,
    tile: usize,
    chunk: usize,
}

impl Tiling {
    fn new(channels: usize) -> Self {
        let tile = rows::tile(channels);
        Tiling { channels, tile, chunk: (CHUNK / tile).max(1) * tile }
    }

    /// A tile's sums, added up by channel.
    fn fold(&self, sums: &[f32], total: &mut [f64]) {
        sums.iter().enumerate().for_each(|(i, sum)| total[i % self.channels] += f64::from(*sum));
    }
}

/// Mean and biased variance of each channel.
pub(crate) fn moments<S: Element>(x: &[S], channels: usize) -> [Vec<f64>; 2] {
    let tiling = Tiling::new(channels);
    let parts: Vec<[Vec<f64>; 2]> =
        x.par_chunks(tiling.chunk).map(|chunk| chunk_moments(chunk, tiling)).collect();
    let [mut mean, mut variance] = [vec![0.0; channels], vec![0.0; channels]];
    let mut seen = 0.0;
    for (index, [part_mean, part_squares]) in parts.iter().enumerate() {
        let count = (x.len() - index * tiling.chunk).min(tiling.chunk) as f64 / channels as f64;
        for c in 0..channels {
            let delta = part_mean[c] - mean[c];
            mean[c] += delta * count / (seen + count);
            variance[c] += part_squares[c] + delta * delta * seen * count / (seen + count);
        }
        seen += count;
    }
    variance.iter_mut().for_each(|sum| *sum /= seen.max(1.0));
    [mean, variance]
}

/// Mean and sum of squared differences from it, of one chunk.
fn chunk_moments<S: Element>(chunk: &[S], tiling: Tiling) -> [Vec<f64>; 2] {
    let count = chunk.len() as f64 / tiling.channels as f64;
    let mut mean = vec![0.0; tiling.channels];
    let mut sums = vec![0.0; tiling.tile];
    for stretch in chunk.chunks(tiling.tile * STRETCH) {
        sums.fill(0.0);
        add_up(stretch, &mut sums);
        tiling.fold(&sums, &mut mean);
    }
    mean.iter_mut().for_each(|sum| *sum /= count);
    let centre = repeat(tiling.channels, |c| mean[c] as f32);
    let mut squares = vec![0.0; tiling.channels];
    for stretch in chunk.chunks(tiling.tile * STRETCH) {
        sums.fill(0.0);
        add_up_squares(stretch, &centre, &mut sums);
        tiling.fold(&sums, &mut squares);
    }
    // The centre was rounded to f32: take the difference out again.
    for c in 0..tiling.channels {
        let slip = mean[c] - f64::from(centre[c]);
        squares[c] = (squares[c] - count * slip * slip).max(0.0);
    }
    [mean, squares]
}

on_every_path! {
    fn add_up<S>(x: &[S], sums: &mut [f32]) {
        for tile in x.chunks(sums.len()) {
            sums.iter_mut().zip(tile).for_each(|(sum, x)| *sum += x.to_f32());
        }
    }
}

on_every_path! {
    fn add_up_squares<S>(x: &[S], centre: &[f32], sums: &mut [f32]) {
        for tile in x.chunks(sums.len()) {
            sums.iter_mut().zip(tile).zip(centre).for_each(|((sum, x), centre)| {
                let delta = x.to_f32() - centre;
                *sum += delta * delta;
            });
        }
    }
}

/// The sums over voxels of `gradient * (x - mean)` and of the gradient, by channel, where the map was not cut.
pub(crate) fn gradient_sums<S: Element>(
    x: &[S],
    grad: &[S],
    affine: &Affine,
    channels: usize,
) -> [Vec<f64>; 2] {
    let tiling = Tiling::new(channels);
    let chunks = x.par_chunks(tiling.chunk).zip(grad.par_chunks(tiling.chunk));
    let parts: Vec<[Vec<f64>; 2]> = chunks
        .map(|(x, grad)| {
            let mut total = [vec![0.0; channels], vec![0.0; channels]];
            let mut sums = [vec![0.0; tiling.tile], vec![0.0; tiling.tile]];
            let stretch = tiling.tile * STRETCH;
            for (x, grad) in x.chunks(stretch).zip(grad.chunks(stretch)) {
                let [products, gradients] = &mut sums;
                products.fill(0.0);
                gradients.fill(0.0);
                rows::sum_gradients(x, grad, affine, products, gradients);
                total.iter_mut().zip(&sums).for_each(|(total, sums)| tiling.fold(sums, total));
            }
            total
        })
        .collect();
    let total = |which: usize, c: usize| parts.iter().map(|part| part[which][c]).sum::<f64>();
    [0, 1].map(|which| (0..channels).map(|c| total(which, c)).collect())
}

/// Runs `f` on corresponding chunks of whole voxels.
pub(crate) fn for_chunks<S: Element, T: Element>(
    x: &[S],
    y: &mut [T],
    channels: usize,
    f: impl Fn(usize, &[S], &mut [T]) + Sync,
) {
    let chunk = Tiling::new(channels).chunk;
    let chunks = x.par_chunks(chunk).zip(y.par_chunks_mut(chunk)).enumerate();
    chunks.for_each(|(index, (x, y))| f(index * chunk, x, y));
}
