//! Which intensities are black and white.

use ndarray::ArrayView3;

/// Shares of the voxels below the black end and below the white end. What is far brighter than the rest is small in most scans.
const SHARES: [f64; 2] = [0.01, 0.995];

/// So many voxels tell the shares well enough.
const ENOUGH: usize = 100_000;

/// The intensities that are shown as black and as white: the percentiles 1 and 99.5 of the voxels that are finite. The second is
/// always above the first.
pub fn window(image: ArrayView3<'_, f32>) -> [f32; 2] {
    let step = image.len().div_ceil(ENOUGH).max(1);
    let mut values: Vec<f32> =
        image.iter().copied().step_by(step).filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f32::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return [0.0, 1.0] };
    let [low, high] = SHARES.map(|share| values[(share * last as f64).round() as usize]);
    if low < high {
        return [low, high];
    }
    // Nearly all of it is one value: all that differs shall be seen.
    let (low, high) = (values[0], values[last]);
    if low < high { [low, high] } else { [low, low + low.abs().max(1.0)] }
}

/// The grey of an intensity, 0 to 255. What is no number is black.
pub(crate) fn grey(value: f32, [low, high]: [f32; 2]) -> u8 {
    // `as` takes what is outside of the range to its ends, and NaN to 0.
    (255.0 * (value - low) / (high - low)).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    #[test]
    fn few_bright_voxels_do_not_darken_the_rest() {
        let mut image = Array3::from_shape_fn((10, 10, 10), |(i, j, k)| (100 * i + 10 * j + k) as f32);
        image[(0, 0, 0)] = 1e9;
        image[(0, 0, 1)] = f32::NAN;
        assert_eq!(window(image.view()), [12.0, 995.0]);
        assert_eq!([f32::NAN, -5.0, 2.0, 1e9].map(|value| grey(value, [0.0, 4.0])), [0, 0, 128, 255]);
    }

    #[test]
    fn images_without_contrast_have_a_window_too() {
        let mut image = Array3::from_elem((10, 10, 10), 3.0f32);
        assert_eq!(window(image.view()), [3.0, 6.0]);
        image[(1, 1, 1)] = 5.0;
        assert_eq!(window(image.view()), [3.0, 5.0]);
        assert_eq!(window(Array3::from_elem((2, 2, 2), f32::NAN).view()), [0.0, 1.0]);
        assert_eq!(window(Array3::zeros((0, 2, 2)).view()), [0.0, 1.0]);
    }
}
