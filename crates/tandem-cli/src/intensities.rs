//! Whether a scan's intensities are normalised already, as in the benchmark's files, or raw.

use anyhow::{Context, Result};
use tandem_augment::normalise_in_place;
use tandem_volume::prepared::Normalisation;
use tandem_volume::{Image, Volume};

/// What z-scores of a scan, or of a crop of it, look like: some values below zero, mean and standard deviation small.
/// The benchmark's crops have means around 0.9 and deviations around 0.96.
const MEAN: f64 = 2.0;
const DEVIATION: std::ops::RangeInclusive<f64> = 0.4..=2.5;

/// The scan normalised channel by channel as `by` says, z-scored where it says nothing. A channel that looks normalised
/// already stays; for the others the note says what was done.
///
/// # Errors
/// Where a raw channel has no contrast or a voxel is not finite.
pub(crate) fn normalised(image: Image, by: &[Normalisation]) -> Result<(Image, Option<String>)> {
    each_channel(image, by, |channel, by| {
        let values = || channel.array().iter().map(|&value| f64::from(value));
        let count = channel.array().len() as f64;
        let mean = values().sum::<f64>() / count;
        let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let stays = match by {
            Normalisation::ZScore => {
                let lowest = values().fold(f64::INFINITY, f64::min);
                lowest < 0.0 && mean.abs() <= MEAN && DEVIATION.contains(&deviation)
            }
            Normalisation::Window { .. } => values().all(|value| (0.0..=1.0).contains(&value)),
        };
        if stays {
            return Ok((channel, None));
        }
        let (changed, done) = applied(channel, by)?;
        Ok((changed, Some(format!("raw intensities (mean {mean:.4}, SD {deviation:.4}), {done}"))))
    })
}

/// The raw scan normalised as `by` says, z-scored where it says nothing, whatever it looks like.
///
/// # Errors
/// As [`normalised`].
pub(crate) fn from_raw(image: Image, by: &[Normalisation]) -> Result<(Image, Option<String>)> {
    each_channel(image, by, |channel, by| applied(channel, by).map(|(changed, done)| (changed, Some(done))))
}

/// In the channel's own memory, since a scan can be large.
fn applied(channel: Volume<f32>, by: Normalisation) -> Result<(Volume<f32>, String)> {
    let done = match by {
        Normalisation::ZScore => "z-scored over the whole scan".to_owned(),
        Normalisation::Window { low, high } => format!("cut off at {low} and {high} and scaled to 0 to 1"),
    };
    let (mut array, geometry) = channel.into_parts();
    normalise_in_place(&mut array, by)?;
    Ok((Volume::new(array, geometry), done))
}

/// The changed channels, and what was done to each in one note.
fn each_channel(
    image: Image,
    by: &[Normalisation],
    change: impl Fn(Volume<f32>, Normalisation) -> Result<(Volume<f32>, Option<String>)>,
) -> Result<(Image, Option<String>)> {
    let mut notes = Vec::new();
    let mut channels = Vec::new();
    let several = image.channels().len() > 1;
    for (index, channel) in image.into_channels().into_iter().enumerate() {
        let name = if several { format!("channel {index}: ") } else { String::new() };
        let by = by.get(index).copied().unwrap_or(Normalisation::ZScore);
        let (changed, note) = change(channel, by).with_context(|| format!("{name}not normalised"))?;
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
        let (image, note) = normalised(scan(mean, deviation).into(), &[]).unwrap();
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
        let (scores, note) = normalised(image.clone(), &[]).unwrap();
        assert_eq!(scores.channels()[0], image.channels()[0]);
        assert!((scores.channels()[1].array()[[0, 0, 0]] - 1.0).abs() < 1e-5);
        assert!(note.unwrap().starts_with("channel 1: raw intensities (mean 300"));
        let (scores, note) = from_raw(image, &[]).unwrap();
        assert!((scores.channels()[0].array()[[0, 0, 0]] - 1.0).abs() < 1e-5);
        assert!(note.unwrap().starts_with("channel 0: z-scored"));
    }

    #[test]
    fn a_scan_without_contrast_is_refused() {
        assert!(normalised(scan(7.0, 0.0).into(), &[]).is_err());
        let second = Image::new(vec![scan(0.9, 0.96), scan(7.0, 0.0)]).unwrap();
        assert!(format!("{:#}", normalised(second, &[]).unwrap_err()).starts_with("channel 1"));
    }

    #[test]
    fn a_window_is_applied_once() {
        let window = [Normalisation::Window { low: 100.0, high: 500.0 }];
        let (scaled, note) = normalised(scan(300.0, 120.0).into(), &window).unwrap();
        assert_eq!(scaled.channels()[0].array()[[0, 0, 0]], 0.8);
        assert!(note.unwrap().ends_with("cut off at 100 and 500 and scaled to 0 to 1"));
        assert_eq!(normalised(scaled.clone(), &window).unwrap(), (scaled, None));
    }
}
