//! Whether a scan's intensities are z-scores already, as in the benchmark's files, or raw.

use anyhow::Result;
use tandem_augment::{normalise, z_score};
use tandem_volume::Volume;
use tandem_volume::prepared::Normalisation;

/// What z-scores of a scan, or of a crop of it, look like: some values below zero, mean and standard deviation small.
/// The benchmark's crops have means around 0.9 and deviations around 0.96.
const MEAN: f64 = 2.0;
const DEVIATION: std::ops::RangeInclusive<f64> = 0.4..=2.5;

/// The scan as z-scores. Where it is none yet, it is normalised over all its voxels, and the note says so.
///
/// # Errors
/// Where a raw scan has no contrast or a voxel is not finite.
pub(crate) fn normalised(image: Volume<f32>) -> Result<(Volume<f32>, Option<String>)> {
    let count = image.array().len() as f64;
    let mean = image.array().iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let deviation =
        (image.array().iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count).sqrt();
    let lowest = image.array().iter().copied().fold(f32::INFINITY, f32::min);
    if lowest < 0.0 && mean.abs() <= MEAN && DEVIATION.contains(&deviation) {
        return Ok((image, None));
    }
    let (scores, note) = z_scored(image)?;
    Ok((scores, note.map(|note| format!("raw intensities (mean {mean:.4}, SD {deviation:.4}), {note}"))))
}

/// The scan as z-scores over all its voxels, whatever it was.
///
/// # Errors
/// As [`normalised`].
pub(crate) fn z_scored(image: Volume<f32>) -> Result<(Volume<f32>, Option<String>)> {
    let scores = z_score(image.array())?;
    Ok((Volume::new(scores, image.geometry().clone()), Some("z-scored over the whole scan".to_owned())))
}

/// Whether the intensities lie in the range that a window is scaled to.
pub(crate) fn are_windowed(image: &Volume<f32>) -> bool {
    image.array().iter().all(|value| (0.0..=1.0).contains(value))
}

/// The scan in the window that a run's training data were brought to.
///
/// # Errors
/// Where a voxel is not finite.
pub(crate) fn windowed(image: Volume<f32>, window: Normalisation) -> Result<(Volume<f32>, Option<String>)> {
    let scaled = normalise(image.array(), window)?;
    Ok((Volume::new(scaled, image.geometry().clone()), Some("cut off at the run's window".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use tandem_volume::Geometry;

    /// A scan whose voxels are `mean` and `deviation` apart from it, half and half.
    fn check(mean: f32, deviation: f32) -> (Volume<f32>, Option<String>) {
        let side = |(i, j, k): (usize, usize, usize)| if (i + j + k) % 2 == 0 { 1.0 } else { -1.0 };
        let array = Array3::from_shape_fn((4, 4, 4), |at| mean + deviation * side(at));
        normalised(Volume::new(array, Geometry::isotropic(1.0).unwrap())).unwrap()
    }

    #[test]
    fn z_scores_stay_as_they_are() {
        let (image, note) = check(0.9, 0.96);
        assert_eq!(note, None);
        assert_eq!(image.array()[[0, 0, 0]], 0.9 + 0.96);
    }

    #[test]
    fn raw_intensities_become_z_scores() {
        for (mean, deviation) in [(300.0, 120.0), (-600.0, 400.0), (0.5, 0.2)] {
            let (image, note) = check(mean, deviation);
            assert!(note.unwrap().contains("z-scored"));
            assert!((image.array()[[0, 0, 0]] - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_scan_without_contrast_is_refused() {
        let flat = Volume::new(Array3::from_elem((2, 2, 2), 7.0), Geometry::isotropic(1.0).unwrap());
        assert!(normalised(flat).is_err());
    }
}
