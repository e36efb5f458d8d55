//! Intensities of raw scans brought to the range that networks learn on.

use ndarray::Array3;
use tandem_volume::prepared::Normalisation;

use crate::{AugmentError, Result, z_score_in_place};

/// The intensities of a whole raw scan, normalised.
///
/// # Errors
/// Where a voxel is not finite, a scan that is to be z-scored has no contrast, or a window has no width.
pub fn normalise(image: &Array3<f32>, normalisation: Normalisation) -> Result<Array3<f32>> {
    let mut normalised = image.as_standard_layout().into_owned();
    normalise_in_place(&mut normalised, normalisation)?;
    Ok(normalised)
}

/// As [`normalise`], in the memory of the scan, which stays as it is where there is an error.
///
/// # Errors
/// As [`normalise`].
pub fn normalise_in_place(image: &mut Array3<f32>, normalisation: Normalisation) -> Result<()> {
    let Normalisation::Window { low, high } = normalisation else { return z_score_in_place(image) };
    let width = high - low;
    if !(width.is_finite() && width > 0.0) {
        return Err(AugmentError::Window { low, high });
    }
    if image.iter().any(|value| !value.is_finite()) {
        return Err(AugmentError::NotFinite);
    }
    image.mapv_inplace(|value| ((f64::from(value).clamp(low, high) - low) / width) as f32);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_cut_off_and_scaled_to_0_to_1() {
        let image = Array3::from_shape_vec((1, 1, 5), vec![-1000.0, -125.0, 75.0, 275.0, 3000.0]).unwrap();
        let window = Normalisation::Window { low: -125.0, high: 275.0 };
        let found: Vec<f32> = normalise(&image, window).unwrap().into_iter().collect();
        assert_eq!(found, [0.0, 0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn what_has_no_range_is_refused() {
        let image = Array3::from_elem((2, 2, 2), f32::NAN);
        let window = |low, high| Normalisation::Window { low, high };
        assert!(matches!(normalise(&image, window(0.0, 1.0)), Err(AugmentError::NotFinite)));
        for (low, high) in [(1.0, 1.0), (2.0, 1.0), (0.0, f64::NAN), (f64::NEG_INFINITY, 0.0)] {
            assert!(matches!(normalise(&image, window(low, high)), Err(AugmentError::Window { .. })));
        }
        assert!(matches!(
            normalise(&image.mapv(|_| 1.0), Normalisation::ZScore),
            Err(AugmentError::NoContrast { .. })
        ));
    }
}
