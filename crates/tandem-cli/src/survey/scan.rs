//! One scan: its images, its label map, and whether they fit.

use super::{Finding, Kind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use tandem_volume::layout::{Layout, ScanFiles, ScanFolder};
use tandem_volume::prepared::Split;
use tandem_volume::{Error, Image, Orientation, Volume};

/// Voxels that stand for all of an image in its percentiles, and for its labelled part.
const SAMPLES: usize = 10_000;

/// What is in a scan whose files could be read.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Surveyed {
    pub(crate) id: String,
    pub(crate) split: Split,
    /// Voxels along i, j, k.
    pub(crate) shape: [usize; 3],
    /// In mm along i, j, k.
    pub(crate) spacing: [f64; 3],
    pub(crate) orientation: Orientation,
    /// Of each channel.
    pub(crate) intensities: Vec<Intensities>,
    /// Voxels of each label; `None` for an unlabelled scan.
    pub(crate) label_voxels: Option<BTreeMap<u8, u64>>,
    /// Of each channel, some intensities of voxels with a label above 0.
    #[serde(skip)]
    pub(crate) foreground: Vec<Vec<f32>>,
    /// The same voxels have the same digest.
    #[serde(skip)]
    pub(super) digest: u64,
}

/// The finite intensities of an image, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Intensities {
    pub(crate) min: f64,
    /// The 0.5th percentile, as the two below of an even sample of the voxels.
    pub(crate) percentile_0_5: f64,
    pub(crate) median: f64,
    /// The 99.5th percentile.
    pub(crate) percentile_99_5: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
    /// Standard deviation (divided by n).
    pub(crate) sd: f64,
}

/// Reads the files of a scan. What cannot be read leaves a finding, and no `Surveyed`.
pub(super) fn survey(folder: &ScanFolder, files: &ScanFiles) -> (Option<Surveyed>, Vec<Finding>) {
    let mut findings = Vec::new();
    // Readers name the whole path.
    let told = |error: &Error| error.to_string().replace(&format!("{}/", folder.path().display()), "");
    let mut look =
        |kind, file: &str, message| findings.push(Finding::new(kind, &files.id, Some(file), message));
    let label = folder.read_label(files).unwrap_or_else(|error| {
        let kind = if matches!(error, Error::Label { .. }) { Kind::LabelValue } else { Kind::Unreadable };
        look(kind, files.label.as_deref().unwrap_or_default(), told(&error));
        None
    });
    let image = match folder.read_image(files) {
        Ok(image) => image,
        Err(error) => {
            let kind = if matches!(error, Error::Grid(_)) { Kind::Channels } else { Kind::Unreadable };
            look(kind, &files.images[0], told(&error));
            return (None, findings);
        }
    };
    let (found, wanted) = (image.channels().len(), folder.channels().len());
    // Where files of channels are missing, the folder's faults say so.
    if wanted > 0 && found != wanted && (files.images.len() == wanted || files.images.len() == 1) {
        let file = &files.images[0];
        look(
            Kind::Channels,
            file,
            format!("{file}: the scan has {found} channels, but dataset.json names {wanted}"),
        );
    }
    for (index, channel) in image.channels().iter().enumerate() {
        if let Some((kind, problem)) = voxel_problem(channel) {
            let (file, name) = match files.images.get(index) {
                Some(file) if found == files.images.len() => (file, file.clone()),
                _ => (&files.images[0], format!("{}, channel {index}", files.images[0])),
            };
            look(kind, file, format!("{name}: {problem}"));
        }
    }
    // Their headers do not say where they lie, so that only the shape can be compared.
    let unplaced = folder.layout() == Layout::PancreasCt;
    let label = label.map(|label| if unplaced { placed_as(&image, label) } else { label });
    let voxels = label.as_ref().map(label_voxels);
    if let (Some(label), Some(voxels), Some(file)) = (&label, &voxels, &files.label) {
        if let Some(problem) = grid_problem(&image, label) {
            look(Kind::Grid, file, format!("{file}: {problem} of its image; resample the label map to it"));
        }
        if voxels.keys().all(|value| *value == 0) {
            let problem = "has no voxel above 0: the scores of this scan are undefined";
            look(Kind::EmptyLabel, file, format!("{file} {problem}; draw it, or remove the file"));
        }
        let known = folder.labels();
        let unknown = voxels.iter().filter(|(value, _)| !known.is_empty() && !known.contains_key(value));
        for (value, count) in unknown {
            let known =
                known.iter().map(|(value, name)| format!("{value} {name}")).collect::<Vec<_>>().join(", ");
            look(
                Kind::UnknownLabel,
                file,
                format!("{file}: {count} voxels have the label {value}, but known are {known}"),
            );
        }
    } else if files.label.is_none() && files.split == Split::Train {
        let message = "without a label map: an unlabelled scan".to_owned();
        look(Kind::Unlabelled, &files.images[0], message);
    }
    let intensities: Option<Vec<Intensities>> = image.channels().iter().map(Intensities::of).collect();
    let surveyed = intensities.map(|intensities| Surveyed {
        id: files.id.clone(),
        split: files.split,
        shape: image.shape(),
        spacing: image.geometry().spacing(),
        orientation: Orientation::of(image.geometry()),
        intensities,
        label_voxels: voxels,
        foreground: image.channels().iter().map(|channel| foreground(channel, label.as_ref())).collect(),
        digest: digest(&image),
    });
    (surveyed, findings)
}

/// What is wrong with the voxels of an image.
fn voxel_problem(image: &Volume<f32>) -> Option<(Kind, String)> {
    let mut broken = image.array().indexed_iter().filter(|(_, value)| !value.is_finite());
    if let Some((at, value)) = broken.next() {
        let problem = format!("{} voxels are not finite, the first {at:?} ({value})", 1 + broken.count());
        return Some((Kind::NotFinite, format!("{problem}; replace them")));
    }
    let first = image.array().first()?;
    image.array().iter().all(|value| value == first).then(|| {
        (
            Kind::Constant,
            format!("all voxels are {first}; a scan without contrast cannot be normalised, remove it"),
        )
    })
}

/// The voxels of a label map on the grid of the image, where its shape allows that: turned as its header says, or as they
/// are.
fn placed_as(image: &Image, label: Volume<u8>) -> Volume<u8> {
    let turned = label.reoriented(Orientation::of(image.geometry())).ok();
    let fitting = turned.into_iter().chain([label.clone()]).find(|label| label.shape() == image.shape());
    match fitting {
        Some(fitting) => Volume::new(fitting.into_parts().0, image.geometry().clone()),
        None => label,
    }
}

/// How the grid of a label map differs from that of the image, as the beginning of a sentence.
fn grid_problem(image: &Image, other: &Volume<u8>) -> Option<String> {
    if other.shape() != image.shape() {
        return Some(format!("the shape {:?} is not the shape {:?}", other.shape(), image.shape()));
    }
    let (own, other) = (image.geometry(), other.geometry());
    (!own.same_grid(other, image.shape()))
        .then(|| format!("the corners lie up to {:.3} mm from those", own.corner_shift(other, image.shape())))
}

fn label_voxels(label: &Volume<u8>) -> BTreeMap<u8, u64> {
    let mut counts = [0u64; 256];
    label.array().iter().for_each(|&value| counts[usize::from(value)] += 1);
    (0..=255u8).zip(counts).filter(|(_, count)| *count > 0).collect()
}

/// An even sample of the intensities where the label is above 0.
fn foreground(image: &Volume<f32>, label: Option<&Volume<u8>>) -> Vec<f32> {
    let Some(label) = label.filter(|label| label.shape() == image.shape()) else { return Vec::new() };
    let inside = || image.array().iter().zip(label.array()).filter(|(_, label)| **label > 0);
    let step = inside().count().div_ceil(SAMPLES).max(1);
    inside().map(|(value, _)| *value).step_by(step).collect()
}

fn digest(image: &Image) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.shape().iter().for_each(|&side| hasher.write_usize(side));
    for channel in image.channels() {
        channel.array().iter().for_each(|value| hasher.write_u32(value.to_bits()));
    }
    hasher.finish()
}

impl Intensities {
    /// `None` where no voxel is finite.
    fn of(image: &Volume<f32>) -> Option<Self> {
        let finite = || image.array().iter().copied().filter(|value| value.is_finite());
        let n = finite().count();
        let mean = finite().map(f64::from).sum::<f64>() / n as f64;
        let variance = finite().map(|value| (f64::from(value) - mean).powi(2)).sum::<f64>() / n as f64;
        let mut sample: Vec<f32> = finite().step_by(n.div_ceil(SAMPLES).max(1)).collect();
        sample.sort_by(f32::total_cmp);
        Some(Intensities {
            min: finite().reduce(f32::min)?.into(),
            percentile_0_5: percentile(&sample, 0.5)?,
            median: percentile(&sample, 50.0)?,
            percentile_99_5: percentile(&sample, 99.5)?,
            max: finite().reduce(f32::max)?.into(),
            mean,
            sd: variance.sqrt(),
        })
    }
}

/// A percentile of sorted values, interpolated linearly; `None` where there are none.
pub(crate) fn percentile(sorted: &[f32], percent: f64) -> Option<f64> {
    let place = percent / 100.0 * sorted.len().checked_sub(1)? as f64;
    let (below, share) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    Some(f64::from(sorted[below]) * (1.0 - share) + f64::from(sorted[above]) * share)
}

#[cfg(test)]
impl Surveyed {
    /// A scan for training of one channel, 0 to 100, whose label map has one voxel of each of `labels`, on which the image
    /// is 0, 1, 2 ... 100.
    pub(crate) fn sample(id: &str, spacing: [f64; 3], labels: &[u8]) -> Self {
        let geometry = tandem_volume::Geometry::with_spacing(spacing).expect("a sound grid");
        let [min, percentile_0_5, median, percentile_99_5, max] = [0.0, 0.5, 50.0, 99.5, 100.0];
        Surveyed {
            id: id.to_owned(),
            split: Split::Train,
            shape: [100, 90, 80],
            spacing,
            orientation: Orientation::of(&geometry),
            intensities: vec![Intensities {
                min,
                percentile_0_5,
                median,
                percentile_99_5,
                max,
                mean: 50.0,
                sd: 20.0,
            }],
            label_voxels: (!labels.is_empty()).then(|| labels.iter().map(|value| (*value, 1)).collect()),
            foreground: vec![if labels.is_empty() {
                Vec::new()
            } else {
                (0..=100).map(|n| n as f32).collect()
            }],
            digest: id.bytes().map(u64::from).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use tandem_volume::Geometry;

    fn volume<T: Clone>(array: Array3<T>) -> Volume<T> {
        Volume::new(array, Geometry::isotropic(1.0).unwrap())
    }

    #[test]
    fn percentiles_are_linear_between_values() {
        assert_eq!(percentile(&[], 50.0), None);
        assert_eq!(percentile(&[7.0], 99.5), Some(7.0));
        let values = [0.0, 10.0, 20.0, 30.0];
        assert_eq!([0.0, 25.0, 50.0, 100.0].map(|p| percentile(&values, p).unwrap()), [0.0, 7.5, 15.0, 30.0]);
    }

    #[test]
    fn intensities_leave_out_what_is_not_finite() {
        let mut array = Array3::from_shape_fn((4, 5, 5), |(i, j, k)| (25 * i + 5 * j + k) as f32);
        array[[0, 0, 0]] = f32::NAN;
        let found = Intensities::of(&volume(array)).unwrap();
        assert_eq!((found.min, found.median, found.max, found.mean), (1.0, 50.0, 99.0, 50.0));
        assert_eq!(Intensities::of(&volume(Array3::from_elem((2, 2, 2), f32::INFINITY))), None);
    }

    #[test]
    fn voxels_without_contrast_or_number_are_told() {
        let flat = volume(Array3::from_elem((2, 2, 2), 3.0));
        assert!(
            matches!(voxel_problem(&flat), Some((Kind::Constant, text)) if text.contains("all voxels are 3"))
        );
        let mut broken = Array3::zeros((2, 2, 2));
        broken[[0, 1, 0]] = f32::INFINITY;
        broken[[1, 1, 1]] = f32::NAN;
        let (kind, text) = voxel_problem(&volume(broken)).unwrap();
        assert!(
            kind == Kind::NotFinite && text.starts_with("2 voxels are not finite, the first (0, 1, 0)"),
            "{text}"
        );
        assert!(voxel_problem(&volume(Array3::from_shape_fn((2, 2, 2), |(i, ..)| i as f32))).is_none());
    }

    #[test]
    fn shifts_below_a_hundredth_of_a_millimetre_pass() {
        let image = Image::from(volume(Array3::zeros((4, 4, 4))));
        let shifted = |mm: f64| {
            let grid = image.geometry().starting_at([mm, 0.0, 0.0]).unwrap();
            grid_problem(&image, &Volume::new(Array3::<u8>::zeros((4, 4, 4)), grid))
        };
        assert_eq!(shifted(0.009), None);
        assert_eq!(shifted(0.02).unwrap(), "the corners lie up to 0.020 mm from those");
        let other = volume(Array3::<u8>::zeros((4, 4, 5)));
        assert!(grid_problem(&image, &other).unwrap().contains("[4, 4, 5] is not the shape [4, 4, 4]"));
    }

    #[test]
    fn the_foreground_is_sampled_evenly() {
        let image = volume(Array3::from_shape_fn((50, 50, 20), |(i, ..)| i as f32));
        let label = volume(Array3::from_shape_fn((50, 50, 20), |(i, ..)| u8::from(i >= 10)));
        let sample = foreground(&image, Some(&label));
        assert_eq!(sample.len(), 10_000);
        assert!(sample.iter().all(|value| *value >= 10.0) && sample.contains(&49.0));
        assert!(foreground(&image, None).is_empty());
    }
}
