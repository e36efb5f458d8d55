//! Whether a scan's intensities are z-scores already, as in the benchmark's files, or raw.

use anyhow::{Context, Result};
use tandem_augment::z_score;
use tandem_volume::{Image, Volume};

/// What z-scores of a scan, or of a crop of it, look like: some values below zero, mean and standard deviation small.
/// The benchmark's crops have means around 0.9 and deviations around 0.96.
const MEAN: f64 = 2.0;
const DEVIATION: std::ops::RangeInclusive<f64> = 0.4..=2.5;

const Z_SCORED: &str = "z-scored over the whole scan";

/// The scan as z-scores, channel by channel. Where a channel is none yet, it is normalised over all its voxels, and the
/// note says so.
///
/// # Errors
/// Where a raw channel has no contrast or a voxel is not finite.
pub(crate) fn normalised(image: &Image) -> Result<(Image, Option<String>)> {
    each_channel(image, |channel| {
        let count = channel.array().len() as f64;
        let mean = channel.array().iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let squares = channel.array().iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
        let deviation = (squares / count).sqrt();
        let lowest = channel.array().iter().copied().fold(f32::INFINITY, f32::min);
        if lowest < 0.0 && mean.abs() <= MEAN && DEVIATION.contains(&deviation) {
            return Ok((channel.clone(), None));
        }
        let scores = scores(channel)?;
        Ok((scores, Some(format!("raw intensities (mean {mean:.4}, SD {deviation:.4}), {Z_SCORED}"))))
    })
}

/// The scan as z-scores over all voxels of a channel, whatever it was.
///
/// # Errors
/// As [`normalised`].
pub(crate) fn z_scored(image: &Image) -> Result<(Image, Option<String>)> {
    each_channel(image, |channel| Ok((scores(channel)?, Some(Z_SCORED.to_owned()))))
}

fn scores(channel: &Volume<f32>) -> Result<Volume<f32>> {
    Ok(Volume::new(z_score(channel.array())?, channel.geometry().clone()))
}

/// The changed channels, and what was done to each in one note.
fn each_channel(
    image: &Image,
    change: impl Fn(&Volume<f32>) -> Result<(Volume<f32>, Option<String>)>,
) -> Result<(Image, Option<String>)> {
    let mut notes = Vec::new();
    let mut channels = Vec::new();
    for (index, channel) in image.channels().iter().enumerate() {
        let several = image.channels().len() > 1;
        let name = if several { format!("channel {index}: ") } else { String::new() };
        let (changed, note) = change(channel).with_context(|| format!("{name}no z-scores"))?;
        channels.push(changed);
        notes.extend(note.map(|note| format!("{name}{note}")));
    }
    Ok((Image::new(channels)?, (!notes.is_empty()).then(|| notes.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use tandem_volume::Geometry;

    /// A scan whose voxels are `mean` and `deviation` apart from it, half and half.
    fn scan(mean: f32, deviation: f32) -> Volume<f32> {
        let side = |(i, j, k): (usize, usize, usize)| if (i + j + k) % 2 == 0 { 1.0 } else { -1.0 };
        let array = Array3::from_shape_fn((4, 4, 4), |at| mean + deviation * side(at));
        Volume::new(array, Geometry::isotropic(1.0).unwrap())
    }

    fn check(mean: f32, deviation: f32) -> (f32, Option<String>) {
        let (image, note) = normalised(&scan(mean, deviation).into()).unwrap();
        (image.channels()[0].array()[[0, 0, 0]], note)
    }

    #[test]
    fn z_scores_stay_as_they_are() {
        assert_eq!(check(0.9, 0.96), (0.9 + 0.96, None));
    }

    #[test]
    fn raw_intensities_become_z_scores() {
        for (mean, deviation) in [(300.0, 120.0), (-600.0, 400.0), (0.5, 0.2)] {
            let (first, note) = check(mean, deviation);
            assert!(note.unwrap().contains("z-scored"));
            assert!((first - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn each_channel_is_looked_at_alone() {
        let image = Image::new(vec![scan(0.9, 0.96), scan(300.0, 120.0)]).unwrap();
        let (scores, note) = normalised(&image).unwrap();
        assert_eq!(scores.channels()[0], image.channels()[0]);
        assert!((scores.channels()[1].array()[[0, 0, 0]] - 1.0).abs() < 1e-5);
        assert!(note.unwrap().starts_with("channel 1: raw intensities (mean 300"));
        let (scores, note) = z_scored(&image).unwrap();
        assert!((scores.channels()[0].array()[[0, 0, 0]] - 1.0).abs() < 1e-5);
        assert!(note.unwrap().starts_with("channel 0: z-scored"));
    }

    #[test]
    fn a_scan_without_contrast_is_refused() {
        assert!(normalised(&scan(7.0, 0.0).into()).is_err());
        let second = Image::new(vec![scan(0.9, 0.96), scan(7.0, 0.0)]).unwrap();
        assert!(format!("{:#}", normalised(&second).unwrap_err()).starts_with("channel 1"));
    }
}
