//! Preprocessing of whole scans, as the benchmarks define it.

use ndarray::Array3;
use pulp::Arch;
use rayon::prelude::*;
use tandem_random::Draws;
use tandem_volume::{Image, Subject, Volume};

use crate::moments::{BLOCK, Moments};
use crate::{AugmentError, Crop, Result};

mod pancreas;

pub use pancreas::{pancreas_coranet, pancreas_mc_net};

/// The patch that the LA benchmark leaves room for, in voxels.
const LA_PATCH: [usize; 3] = [112, 112, 80];
/// Margins of the LA benchmark around the label, in voxels; the upper end is excluded.
const LA_MARGIN: std::ops::Range<usize> = 10..20;

/// The z-scores of an image: less its mean, divided by its (population) standard deviation, over all voxels.
///
/// # Errors
/// Where all voxels are equal, or one is not finite.
pub fn z_score(image: &Array3<f32>) -> Result<Array3<f32>> {
    let mut scores = image.as_standard_layout().into_owned();
    z_score_in_place(&mut scores)?;
    Ok(scores)
}

/// As [`z_score`], in the memory of the image, which stays as it is where there is an error.
///
/// # Errors
/// As [`z_score`].
pub fn z_score_in_place(image: &mut Array3<f32>) -> Result<()> {
    let moments = match image.as_slice_memory_order() {
        Some(values) => Moments::of(values),
        None => Moments::of(&image.iter().copied().collect::<Vec<_>>()),
    };
    let (mean, deviation) = (moments.mean, moments.deviation());
    if !(deviation.is_finite() && deviation > 0.0) {
        return Err(AugmentError::NoContrast { mean, deviation });
    }
    let scale = 1.0 / deviation;
    let score = |value: &mut f32| *value = ((f64::from(*value) - mean) * scale) as f32;
    let arch = Arch::new();
    match image.as_slice_memory_order_mut() {
        Some(values) => {
            values.par_chunks_mut(BLOCK).for_each(|block| arch.dispatch(|| block.iter_mut().for_each(score)))
        }
        None => image.iter_mut().for_each(score),
    }
    Ok(())
}

/// A raw scan of the 2018 Atrial Segmentation Challenge, preprocessed as the LA benchmark does.
///
/// The image is z-scored over the whole scan; then image and label map are cropped along i and j around the label,
/// with margins of 10 to 19 voxels (more where the label is smaller than the benchmark's patch of 112 x 112 x 80), and
/// keep every slice along k. The label value 255 becomes 1. A scan without a label map keeps its field of view. Of
/// `draws`, four numbers are used: the lower and the upper margin of i, then those of j.
///
/// The benchmark drew its margins without a seed, so its own files cannot be reproduced exactly, and it crops *by the
/// label*, which a new scan does not have: a simplification that its authors confirm.
///
/// # Errors
/// Where the image has no contrast, or the label map has values besides 0, 1 and 255, or no foreground.
///
/// # References
/// `la_heart_processing.py` in the released code of Yu et al., "Uncertainty-aware Self-ensembling Model for
/// Semi-supervised 3D Left Atrium Segmentation", MICCAI 2019.
pub fn la_benchmark(subject: Subject, draws: &mut Draws) -> Result<Subject> {
    let (id, image, label) = subject.into_parts();
    let image = each_channel(&image, z_score)?;
    let Some(label) = label else {
        return Ok(Subject::new(id, image, None)?);
    };
    let (label, geometry) = label.into_parts();
    let label = binary(&id, label)?;
    let margin = || LA_MARGIN.start + draws.below(LA_MARGIN.len());
    let crop =
        crop_in_plane(&label, LA_PATCH, margin).ok_or_else(|| AugmentError::EmptyLabel { id: id.clone() })?;
    crop.of_subject(&Subject::new(id, image, Some(Volume::new(label, geometry)))?)
}

/// The voxels of each channel changed by `change`.
fn each_channel(image: &Image, change: impl Fn(&Array3<f32>) -> Result<Array3<f32>>) -> Result<Image> {
    image.map(|channel| Ok(Volume::new(change(channel.array())?, channel.geometry().clone())))
}

/// The label map with the challenge's 255 as 1.
fn binary(id: &str, label: Array3<u8>) -> Result<Array3<u8>> {
    if let Some(&value) = label.iter().find(|value| !matches!(value, 0 | 1 | 255)) {
        return Err(AugmentError::UnknownLabel { id: id.into(), value });
    }
    Ok(label.mapv_into(|value| value.min(1)))
}

/// A box around a label with a `margin` at each end of i and j, and more where the label is smaller than `patch`; all of k.
/// `None` where there is no foreground.
///
/// As the released codes of UA-MT and MC-Net have it: the extent is one less than the number of voxels, the upper margin
/// counts from the last voxel of the label, and ends of slices are excluded.
fn crop_in_plane(label: &Array3<u8>, patch: [usize; 3], mut margin: impl FnMut() -> usize) -> Option<Crop> {
    let (low, high) = bounding_box(label)?;
    let (i, j, k) = label.dim();
    let (mut start, mut size) = ([0; 3], [i, j, k]);
    for axis in 0..2 {
        let extra = patch[axis].saturating_sub(high[axis] - low[axis]) / 2;
        let from = low[axis].saturating_sub(margin() + extra);
        let to = (high[axis] + margin() + extra).min(size[axis]);
        start[axis] = from as i64;
        size[axis] = to - from;
    }
    Some(Crop { start, size })
}

/// The first and the last voxel of the foreground along each axis.
pub(crate) fn bounding_box(label: &Array3<u8>) -> Option<([usize; 3], [usize; 3])> {
    let mut found: Option<([usize; 3], [usize; 3])> = None;
    for ((i, j, k), _) in label.indexed_iter().filter(|(_, class)| **class != 0) {
        let at = [i, j, k];
        let (low, high) = found.get_or_insert((at, at));
        for axis in 0..3 {
            low[axis] = low[axis].min(at[axis]);
            high[axis] = high[axis].max(at[axis]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_volume::Geometry;

    /// A scan of 300 x 200 x 20 voxels; its label is a box of 150 x 60 x 6.
    fn scan(label_value: u8) -> Subject {
        let geometry = Geometry::isotropic(0.5).unwrap();
        let image = Array3::from_shape_fn((300, 200, 20), |(i, j, k)| (i + 3 * j + 7 * k) as f32);
        let inside = |i, j, k| (100..250).contains(&i) && (60..120).contains(&j) && (5..11).contains(&k);
        let label =
            Array3::from_shape_fn((300, 200, 20), |(i, j, k)| if inside(i, j, k) { label_value } else { 0 });
        let label = Volume::new(label, geometry.clone());
        Subject::new("scan", Volume::new(image, geometry), Some(label)).unwrap()
    }

    #[test]
    fn z_scores_have_mean_0_and_deviation_1() {
        let image = scan(1).image().channels()[0].array().clone();
        let scores = z_score(&image).unwrap();
        let mut turned = image.reversed_axes();
        z_score_in_place(&mut turned).unwrap();
        assert!(turned.t().iter().zip(&scores).all(|(a, b)| (a - b).abs() < 1e-6));
        let count = scores.len() as f64;
        let mean = scores.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = scores.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / count;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6, "{mean} {variance}");
        for flat in
            [Array3::zeros((2, 2, 2)), Array3::from_elem((2, 2, 2), f32::NAN), Array3::zeros((0, 2, 2))]
        {
            assert!(matches!(z_score(&flat), Err(AugmentError::NoContrast { .. })));
        }
    }

    #[test]
    fn the_benchmark_crops_around_the_label_and_normalises_before() {
        let raw = scan(255);
        let scores = z_score(raw.image().channels()[0].array()).unwrap();
        let subject = la_benchmark(raw, &mut Draws::new(1, "la-margins", 0, 0)).unwrap();
        // The published formula with the margins that this stream gives.
        let mut draws = Draws::new(1, "la-margins", 0, 0);
        let margins = [0; 4].map(|_| 10 + draws.below(10));
        // i: extent 149 > 112, no extra. j: extent 59, extra (112 - 59) / 2 = 26.
        let (i, j) = ((100 - margins[0], 249 + margins[1]), (60 - margins[2] - 26, 119 + margins[3] + 26));
        assert_eq!(subject.image().shape(), [i.1 - i.0, j.1 - j.0, 20]);
        assert_eq!(subject.image().channels()[0].array()[[0, 0, 0]], scores[[i.0, j.0, 0]]);
        assert_eq!(subject.image().geometry().origin(), [0.5 * i.0 as f64, 0.5 * j.0 as f64, 0.0]);
        let label = subject.label().unwrap().array();
        assert_eq!(label.iter().map(|&v| usize::from(v)).sum::<usize>(), 150 * 60 * 6);
        assert_eq!(label[[100 - i.0, 60 - j.0, 5]], 1);
    }

    #[test]
    fn a_scan_without_label_keeps_its_field_of_view() {
        let (id, image, _) = scan(1).into_parts();
        let subject = Subject::new(id, image, None).unwrap();
        let subject = la_benchmark(subject, &mut Draws::new(1, "la-margins", 0, 0)).unwrap();
        assert_eq!(subject.image().shape(), [300, 200, 20]);
        assert!(subject.label().is_none());
    }

    #[test]
    fn wrong_labels_are_refused_by_name() {
        let mut draws = Draws::new(1, "la-margins", 0, 0);
        let error = la_benchmark(scan(7), &mut draws).unwrap_err().to_string();
        assert!(error.contains("scan") && error.contains('7'), "{error}");
        let error = la_benchmark(scan(0), &mut draws).unwrap_err().to_string();
        assert!(error.contains("no foreground"), "{error}");
    }
}
