//! The two published ways to prepare NIH Pancreas-CT.
//!
//! Both resample to 1 mm by position, from the centre of the scan's first voxel and without smoothing, keep the soft tissue
//! window of -125 to 275 HU, and crop *by the label*, which a new scan does not have. In all else they differ, so scores
//! of one do not compare with scores of the other.

use ndarray::Array3;
use tandem_volume::prepared::Normalisation;
use tandem_volume::resample::{Interpolation, LabelInterpolation, image_sampled_onto, label_onto};
use tandem_volume::{Error, Geometry, Image, Subject, Volume};

use super::{binary, bounding_box, crop_in_plane, each_channel, z_score};
use crate::{AugmentError, Crop, Result, normalise};

/// Spacing of both, in mm.
const SPACING_MM: f64 = 1.0;
/// The soft tissue window, in HU: level 75, width 400.
const WINDOW_HU: [f64; 2] = [-125.0, 275.0];
/// Margin of both around the label, in voxels.
const MARGIN: usize = 25;
/// The patch that both leave room for, in voxels.
const PATCH: [usize; 3] = [96; 3];

/// A CT in HU whose k axis runs from slice to slice, prepared as MC-Net's notebook does.
///
/// 1. 1 mm along all axes, a last part of a voxel dropped: the image by cubic B-splines, the label map by its nearest voxel.
/// 2. HU from -125 to 275 become 0 to 1; what lies outside is clipped.
/// 3. i and j are cropped around the label with a margin of 25 voxels (24 at the upper ends, which the code excludes), and
///    more where the label is smaller than 96; k is kept whole.
/// 4. The crop becomes z-scores: mean 0, standard deviation 1.
///
/// The label value 255 becomes 1. A scan without a label map keeps its field of view.
///
/// # Errors
/// Where the image has no contrast, a voxel is not finite, or the label map has values besides 0, 1 and 255, or no foreground.
///
/// # References
/// `data/Pancreas/Pre-processing.ipynb` in the released code of Wu et al., "Semi-supervised Left Atrium Segmentation with
/// Mutual Consistency Training", MICCAI 2021.
pub fn pancreas_mc_net(subject: Subject) -> Result<Subject> {
    let scan = Resampled::new(subject, Interpolation::CubicSpline, dropped)?;
    let [low, high] = WINDOW_HU;
    let windowed = |hu: &Array3<f32>| normalise(hu, Normalisation::Window { low, high });
    let box_around = |label: &Array3<u8>| crop_in_plane(label, PATCH, || MARGIN);
    let (id, image, label) = scan.prepared(windowed, box_around)?.into_parts();
    Ok(Subject::new(id, each_channel(&image, z_score)?, label)?)
}

/// A CT in HU, prepared as CoraNet's code does.
///
/// 1. 1 mm along all axes, a last part of a voxel rounded: the image by linear interpolation, the label map by its nearest
///    voxel.
/// 2. HU are clipped to -125 to 275; then the lowest and the highest value of the whole scan become 0 and 1. There is no z-score.
/// 3. All axes are cropped around the label with a margin of 25 voxels (26 at the upper ends, which the code counts twice),
///    and at least 96 voxels are kept where the scan has them; where it has fewer, zeros follow its end.
///
/// The label value 255 becomes 1. A scan without a label map keeps its field of view.
///
/// One fault of that code is not followed: before it resamples, it overwrites the distance of the slices with the spacing
/// in the plane, so its crops are compressed or stretched along k.
///
/// # Errors
/// Where the image has no contrast, a voxel is not a number, or the label map has values besides 0, 1 and 255, or no foreground.
///
/// # References
/// `preprocess/pancreas_preprocess.py` in the released code of Shi et al., "Inconsistency-aware Uncertainty Estimation for
/// Semi-supervised Medical Image Segmentation", IEEE TMI 2022; used by BCP, SDCL and AD-MT.
pub fn pancreas_coranet(subject: Subject) -> Result<Subject> {
    let scan = Resampled::new(subject, Interpolation::Linear, f64::round_ties_even)?;
    let [low, high] = WINDOW_HU.map(|hu| hu as f32);
    scan.prepared(|hu| min_max(hu.mapv(|hu| hu.clamp(low, high))), coranet_crop)
}

/// A scan at 1 mm.
struct Resampled {
    id: String,
    /// In HU.
    image: Image,
    label: Option<Array3<u8>>,
}

impl Resampled {
    /// `whole` makes a whole number of voxels of a side's length in voxels.
    fn new(subject: Subject, interpolation: Interpolation, whole: fn(f64) -> f64) -> Result<Self> {
        let (id, image, label) = subject.into_parts();
        let old = image.geometry();
        let geometry = Geometry::new([SPACING_MM; 3], old.origin(), old.direction())?;
        let side = |axis: usize| whole(image.shape()[axis] as f64 * old.spacing()[axis] / SPACING_MM);
        let shape = [0, 1, 2].map(|axis| side(axis).max(1.0) as usize);
        let label = label
            .map(|label| label_onto(&label, &geometry, shape, LabelInterpolation::Nearest))
            .transpose()?
            .map(|label| binary(&id, label.into_parts().0))
            .transpose()?;
        let image =
            image.map::<Error>(|channel| image_sampled_onto(channel, &geometry, shape, interpolation))?;
        Ok(Resampled { id, image, label })
    }

    /// The scan with the intensities that `normalised` makes of HU, cropped to the box around the label.
    fn prepared(
        self,
        normalised: impl Fn(&Array3<f32>) -> Result<Array3<f32>>,
        box_around: impl Fn(&Array3<u8>) -> Option<Crop>,
    ) -> Result<Subject> {
        let Resampled { id, image, label } = self;
        let image = each_channel(&image, normalised)?;
        let Some(label) = label else { return Ok(Subject::new(id, image, None)?) };
        let crop = box_around(&label).ok_or_else(|| AugmentError::EmptyLabel { id: id.clone() })?;
        let label = Volume::new(label, image.geometry().clone());
        crop.of_subject(&Subject::new(id, image, Some(label))?)
    }
}

/// The whole voxels of a side. What a header's rounding takes from a whole number does not cost one.
fn dropped(side: f64) -> f64 {
    (side + 1e-6).floor()
}

/// The lowest value becomes 0, the highest 1.
fn min_max(image: Array3<f32>) -> Result<Array3<f32>> {
    let (low, high) =
        image.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    if image.iter().any(|v| v.is_nan()) {
        return Err(AugmentError::NotFinite);
    }
    if low >= high {
        return Err(AugmentError::NoContrast { mean: f64::from(low), deviation: 0.0 });
    }
    Ok(image.mapv_into(|v| (v - low) / (high - low)))
}

/// CoraNet's box around a label; `None` where there is no foreground.
fn coranet_crop(label: &Array3<u8>) -> Option<Crop> {
    let (low, high) = bounding_box(label)?;
    let (i, j, k) = label.dim();
    let (mut start, mut size) = ([0; 3], PATCH);
    for (axis, side) in [i, j, k].into_iter().enumerate() {
        let from = low[axis].saturating_sub(MARGIN);
        let to = (high[axis] + 2 + MARGIN).min(side);
        let wanted = PATCH[axis].min(side);
        let missing = wanted.saturating_sub(to - from);
        // Half of what is missing on either side, moved into the scan.
        let from = from.saturating_sub(missing / 2).min(side - wanted);
        let to = to.max(from + wanted).min(side);
        start[axis] = from as i64;
        size[axis] = (to - from).max(PATCH[axis]);
    }
    Some(Crop { start, size })
}

#[cfg(test)]
mod tests;
