//! What happens to values between two convolutions, a row at a time: it is computed while an image is put into its frame, so
//! that no pass over memory is spent on it alone.

#[cfg(test)]
mod tests;

use super::element::Element;
use super::scratch::LINE;
use super::simd::{Lanes, Unit, Work, on_every_path, on_unit};
use rayon::prelude::*;

/// A map per channel, `(x - mean) * scale + shift`, and the floor it is cut at. Coefficients are repeated over a tile of
/// several voxels, so that a loop over a tile is long enough for wide vectors at any channel count.
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    pub(crate) mean: Vec<f32>,
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
    /// 0 for a ReLU, else minus infinity.
    pub(crate) floor: f32,
}

/// The gradient of a normalisation's input, `a * gradient + b * (x - mean) + c` per channel, repeated over a tile.
pub(crate) struct InputGradient {
    pub(crate) a: Vec<f32>,
    pub(crate) b: Vec<f32>,
    pub(crate) c: Vec<f32>,
}

/// Values in a tile of that many channels.
pub(crate) fn tile(channels: usize) -> usize {
    channels * 64usize.div_ceil(channels)
}

/// A coefficient per channel, repeated over a tile.
pub(crate) fn repeat(channels: usize, coefficient: impl Fn(usize) -> f32) -> Vec<f32> {
    (0..tile(channels)).map(|i| coefficient(i % channels)).collect()
}

on_every_path! {
    /// The map of whole voxels.
    fn normalise<S, T>(x: &[S], affine: &Affine, y: &mut [T]) {
        let (tile, floor) = (affine.mean.len(), affine.floor);
        for (x, y) in x.chunks(tile).zip(y.chunks_mut(tile)) {
            let coefficients = affine.mean.iter().zip(&affine.scale).zip(&affine.shift);
            for ((y, x), ((mean, scale), shift)) in y.iter_mut().zip(x).zip(coefficients) {
                let value = (x.to_f32() - mean) * scale + shift;
                // Written so that NaN stays NaN.
                *y = T::from_f32(if value < floor { floor } else { value });
            }
        }
    }
}

on_every_path! {
    /// The gradient of the map's input: where the map was cut, the upstream gradient counts as 0.
    fn normalise_backward<S, T>(x: &[S], grad: &[S], affine: &Affine, gradient: &InputGradient, dx: &mut [T]) {
        let (tile, floor) = (affine.mean.len(), affine.floor);
        for ((x, grad), dx) in x.chunks(tile).zip(grad.chunks(tile)).zip(dx.chunks_mut(tile)) {
            let map = affine.mean.iter().zip(&affine.scale).zip(&affine.shift);
            let coefficients = gradient.a.iter().zip(&gradient.b).zip(&gradient.c);
            let values = dx.iter_mut().zip(x).zip(grad);
            for ((((dx, x), grad), ((mean, scale), shift)), ((a, b), c)) in values.zip(map).zip(coefficients) {
                let centred = x.to_f32() - mean;
                let open = centred * scale + shift > floor;
                let grad = if open { grad.to_f32() } else { 0.0 };
                *dx = T::from_f32(a * grad + b * centred + c);
            }
        }
    }
}

on_every_path! {
    /// Adds the products `gradient * (x - mean)` and the gradients of whole voxels to sums over a tile.
    fn sum_gradients<S>(x: &[S], grad: &[S], affine: &Affine, products: &mut [f32], sums: &mut [f32]) {
        let (tile, floor) = (affine.mean.len(), affine.floor);
        for (x, grad) in x.chunks(tile).zip(grad.chunks(tile)) {
            let map = affine.mean.iter().zip(&affine.scale).zip(&affine.shift);
            let totals = products.iter_mut().zip(sums.iter_mut());
            for (((x, grad), ((mean, scale), shift)), (product, sum)) in x.iter().zip(grad).zip(map).zip(totals) {
                let centred = x.to_f32() - mean;
                let open = centred * scale + shift > floor;
                let grad = if open { grad.to_f32() } else { 0.0 };
                *product += grad * centred;
                *sum += grad;
            }
        }
    }
}

on_every_path! {
    /// A copy in another form.
    fn convert<S, T>(x: &[S], y: &mut [T]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = T::from_f32(x.to_f32()));
    }
}

on_every_path! {
    /// `y + x`.
    fn add<S, T>(x: &[S], y: &mut [T]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = T::from_f32(y.to_f32() + x.to_f32()));
    }
}

on_every_path! {
    /// `y + factor * x`.
    fn add_scaled(x: &[f32], factor: f32, y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
    }
}

on_every_path! {
    /// `max(y + x, 0)`.
    fn add_relu<S, T>(x: &[S], y: &mut [T]) {
        y.iter_mut().zip(x).for_each(|(y, x)| {
            let sum = y.to_f32() + x.to_f32();
            *y = T::from_f32(if sum < 0.0 { 0.0 } else { sum });
        });
    }
}

on_every_path! {
    /// Clears the gradient where the output of a ReLU is not positive.
    fn close<S>(y: &[S], grad: &mut [S]) {
        grad.iter_mut().zip(y).for_each(|(grad, y)| {
            *grad = S::from_f32(if y.to_f32() > 0.0 { grad.to_f32() } else { 0.0 });
        });
    }
}

on_every_path! {
    /// Multiplies whole voxels by a factor per channel, repeated over a tile.
    fn scale<T>(factors: &[f32], y: &mut [T]) {
        for y in y.chunks_mut(factors.len()) {
            y.iter_mut().zip(factors).for_each(|(y, factor)| *y = T::from_f32(y.to_f32() * factor));
        }
    }
}

on_every_path! {
    /// The squares of values, dealt out in turn and added up in sixteen sums: an addition waits for the one before. Squares of f32 fit
    /// f64, which holds sums of any number of them.
    fn sum_squares(x: &[f32], sums: &mut [f64; 16]) {
        let groups = x.chunks_exact(16);
        let rest = groups.remainder();
        let mut own = *sums;
        let mut add = |x: &[f32]| own.iter_mut().zip(x).for_each(|(sum, x)| *sum += f64::from(*x) * f64::from(*x));
        groups.for_each(&mut add);
        add(rest);
        *sums = own;
    }
}

/// A copy past the caches, for an output that no cache would hold until it is read.
pub(crate) fn stream<T: Element>(x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "a copy has another length");
    let lines = size_of_val(x) / LINE;
    let (from, to) = (x.as_ptr().cast(), y.as_mut_ptr().cast());
    // SAFETY: the unit is this process's; both sides have so many lines, and elements are plain data.
    unsafe { on_unit(Unit::for_channels(16), Lines { from, to, lines }) };
    let copied = lines * LINE / size_of::<T>();
    y[copied..].copy_from_slice(&x[copied..]);
}

/// Lines of memory that are copied past the caches.
struct Lines {
    from: *const f32,
    to: *mut f32,
    lines: usize,
}

impl Work for Lines {
    #[inline(always)]
    unsafe fn run<L: Lanes, const R1: usize, const R2: usize>(self) {
        for at in (0..self.lines * LINE / size_of::<f32>()).step_by(L::COUNT) {
            // SAFETY: the caller's; a line is a whole number of vectors.
            unsafe { L::load(self.from.add(at)).stream(self.to.add(at)) };
        }
        // SAFETY: the caller's.
        unsafe { L::finish() };
    }
}

/// [`convert`] on both cores.
pub(crate) fn convert_all<S: Element, T: Element>(x: &[S], y: &mut [T]) {
    const CHUNK: usize = 32 * 1024;
    x.par_chunks(CHUNK).zip(y.par_chunks_mut(CHUNK)).for_each(|(x, y)| convert(x, y));
}

/// Runs `f` on every row, several rows a task.
pub(crate) fn for_rows<T: Element>(values: &mut [T], row: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if row == 0 {
        return;
    }
    let rows = (32 * 1024 / row).max(1);
    values.par_chunks_mut(rows * row).enumerate().for_each(|(chunk, values)| {
        for (index, values) in values.chunks_mut(row).enumerate() {
            f(chunk * rows + index, values);
        }
    });
}
