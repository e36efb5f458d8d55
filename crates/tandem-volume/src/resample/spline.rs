//! Cubic B-splines along one axis (Unser 1999, "Splines: a perfect fit for signal and image processing"), mirrored at
//! the first and last voxel.
use ndarray::Array3;
use rayon::prelude::*;

/// The weights of the four voxels around the fractional index `x` on an axis of `old` voxels, clamped at its ends: the
/// first of a run, and the weights from there on.
pub(super) fn cubic(x: f64, old: usize) -> (usize, Vec<f32>) {
    let x = x.clamp(0.0, (old - 1) as f64);
    let below = x as usize;
    let (t, u) = (x - below as f64, 1.0 - (x - below as f64));
    let weights =
        [u * u * u, 4.0 - 6.0 * t * t + 3.0 * t * t * t, 4.0 - 6.0 * u * u + 3.0 * u * u * u, t * t * t];
    let voxels = [0, 1, 2, 3].map(|n| mirrored(below as isize - 1 + n, old));
    let first = *voxels.iter().min().unwrap_or(&0);
    let last = *voxels.iter().max().unwrap_or(&0);
    let mut run = vec![0.0; last + 1 - first];
    voxels.iter().zip(weights).for_each(|(voxel, weight)| run[voxel - first] += (weight / 6.0) as f32);
    (first, run)
}

/// The voxel that a mirror at the centres of the first and last voxel shows at `index`.
fn mirrored(index: isize, old: usize) -> usize {
    let last = old - 1;
    let place = index.rem_euclid((2 * last).max(1) as isize) as usize;
    if place > last { 2 * last - place } else { place }.min(last)
}

/// The coefficients of the spline through the values along `axis`.
pub(super) fn coefficients(mut array: Array3<f32>, axis: usize) -> Array3<f32> {
    let side = array.shape()[axis];
    let inner: usize = array.shape()[axis + 1..].iter().product();
    if side > 1 {
        // Seen from the axis, an array in standard layout is (outer, axis, inner).
        let Some(values) = array.as_slice_mut() else {
            unreachable!("resampled arrays are in standard layout")
        };
        values.par_chunks_mut(side * inner).for_each(|block| filter(block, side, inner));
    }
    array
}

/// One pass forwards and one backwards over the rows of a block (axis, inner).
fn filter(block: &mut [f32], side: usize, inner: usize) {
    let pole = 3f64.sqrt() - 2.0;
    let z = pole as f32;
    let period = 2 * side - 2;
    // The pass forwards begins with what all the mirrored values before would leave.
    let mut start = vec![0.0f32; inner];
    let mut power = 1.0;
    for n in 0..period {
        let row = if n < side { n } else { period - n };
        let weight = (6.0 * power / (1.0 - pole.powi(period as i32))) as f32;
        start.iter_mut().zip(&block[row * inner..]).for_each(|(sum, value)| *sum += weight * value);
        power *= pole;
        if power.abs() < 1e-12 {
            break;
        }
    }
    block[..inner].copy_from_slice(&start);
    for n in 1..side {
        let (before, row) = block.split_at_mut(n * inner);
        let before = &before[(n - 1) * inner..];
        row[..inner].iter_mut().zip(before).for_each(|(value, before)| *value = 6.0 * *value + z * before);
    }
    let (before, last) = block.split_at_mut((side - 1) * inner);
    let scale = (pole / (pole * pole - 1.0)) as f32;
    let before = &before[(side - 2) * inner..];
    last.iter_mut().zip(before).for_each(|(value, before)| *value = scale * (*value + z * before));
    for n in (0..side - 1).rev() {
        let (row, after) = block.split_at_mut((n + 1) * inner);
        row[n * inner..].iter_mut().zip(after).for_each(|(value, after)| *value = z * (*after - *value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spline_goes_through_its_values() {
        for side in [1, 2, 3, 4, 17, 60] {
            let values =
                Array3::from_shape_fn([2, side, 3], |(i, j, k)| ((i * 31 + j * 57 + k * 19) % 23) as f32);
            let spline = coefficients(values.clone(), 1);
            for ((i, j, k), &value) in values.indexed_iter() {
                let (first, weights) = cubic(j as f64, side);
                let found: f32 = weights.iter().enumerate().map(|(n, w)| w * spline[[i, first + n, k]]).sum();
                assert!((found - value).abs() < 2e-5, "{side} {j}: {found} {value}");
            }
        }
    }

    #[test]
    fn the_mirror_stands_in_the_first_and_last_voxel() {
        assert_eq!([-2, -1, 0, 3, 4, 5].map(|index| mirrored(index, 4)), [2, 1, 0, 3, 2, 1]);
        assert_eq!([-1, 0, 1, 2].map(|index| mirrored(index, 1)), [0, 0, 0, 0]);
    }
}
