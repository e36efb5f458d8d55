//! Loops over every value.

use super::simd::on_every_path;
use rayon::prelude::*;

const CHUNK: usize = 32 * 1024;

/// `max(a, 0)` into `y`.
pub(crate) fn relu(a: &[f32], y: &mut [f32]) {
    a.par_chunks(CHUNK).zip(y.par_chunks_mut(CHUNK)).for_each(|(a, y)| relu_chunk(a, y));
}

on_every_path! {
    fn relu_chunk(a: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(a).for_each(|(y, a)| *y = if *a < 0.0 { 0.0 } else { *a });
    }
}

/// `max(a + b, 0)` into `y`.
pub(crate) fn add_relu(a: &[f32], b: &[f32], y: &mut [f32]) {
    let operands = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
    operands.zip(y.par_chunks_mut(CHUNK)).for_each(|((a, b), y)| add_relu_chunk(a, b, y));
}

on_every_path! {
    fn add_relu_chunk(a: &[f32], b: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| {
            let sum = a + b;
            *y = if sum < 0.0 { 0.0 } else { sum };
        });
    }
}

/// The gradient where the ReLU's output is positive, else 0.
pub(crate) fn open_gradient(y: &[f32], grad: &[f32], dx: &mut [f32]) {
    let operands = y.par_chunks(CHUNK).zip(grad.par_chunks(CHUNK));
    operands.zip(dx.par_chunks_mut(CHUNK)).for_each(|((y, grad), dx)| open_chunk(y, grad, dx));
}

on_every_path! {
    fn open_chunk(y: &[f32], grad: &[f32], dx: &mut [f32]) {
        dx.iter_mut().zip(y).zip(grad).for_each(|((dx, y), grad)| *dx = if *y > 0.0 { *grad } else { 0.0 });
    }
}

/// Multiplies each channel of each image by its factor; `factors` is `(n, c)`.
pub(crate) fn scale_channels(x: &[f32], factors: &[f32], channels: usize, y: &mut [f32]) {
    if x.is_empty() {
        return;
    }
    let image = x.len() / (factors.len() / channels);
    let repeats = 64usize.div_ceil(channels);
    let chunk = (CHUNK / (repeats * channels)).max(1) * repeats * channels;
    for ((x, y), factors) in x.chunks(image).zip(y.chunks_mut(image)).zip(factors.chunks(channels)) {
        let tile = factors.repeat(repeats);
        x.par_chunks(chunk).zip(y.par_chunks_mut(chunk)).for_each(|(x, y)| scale_chunk(x, &tile, y));
    }
}

on_every_path! {
    fn scale_chunk(x: &[f32], tile: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks(tile.len()).zip(y.chunks_mut(tile.len())) {
            y.iter_mut().zip(x).zip(tile).for_each(|((y, x), factor)| *y = x * factor);
        }
    }
}
