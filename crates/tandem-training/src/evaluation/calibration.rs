//! Whether a probability of 0.8 is right in eight of ten voxels.

use ndarray::{ArrayView2, ArrayView3, Axis};
use serde::{Deserialize, Serialize};
use tandem_volume::Volume;

/// Groups of voxels by how sure the ensemble is.
const BINS: usize = 10;

/// How far around the reference voxels are looked at, in mm. Farther away all is background, and everybody is sure of it and
/// right: a whole scan would look calibrated whatever the networks say of the organ.
const MARGIN_MM: f64 = 10.0;

/// How the ensemble's confidence in its labels compares with how often they are right: voxels in ten groups by the probability of
/// the predicted class, 0 to 1, of all validation cases. Looked at is the box around each reference with 10 mm on every side; a
/// case without foreground is not.
///
/// # References
/// Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; the box as in Mehrtash et al., "Confidence Calibration and
/// Predictive Uncertainty Estimation for Deep Medical Image Segmentation", IEEE TMI 39 (2020).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Voxels of each group.
    pub voxels: Vec<u64>,
    /// The sum of the predicted class's probability over them.
    pub confidence: Vec<f64>,
    /// How many of them are right.
    pub right: Vec<u64>,
}

impl Default for Calibration {
    fn default() -> Self {
        Calibration { voxels: vec![0; BINS], confidence: vec![0.0; BINS], right: vec![0; BINS] }
    }
}

impl Calibration {
    /// Mean confidence and share of right voxels of each group that has voxels.
    pub fn points(&self) -> Vec<[f64; 2]> {
        let groups = self.voxels.iter().zip(&self.confidence).zip(&self.right);
        let point = |((voxels, confidence), right): ((&u64, &f64), &u64)| {
            let n = *voxels as f64;
            (*voxels > 0).then(|| [confidence / n, *right as f64 / n])
        };
        groups.filter_map(point).collect()
    }

    /// The expected calibration error, 0 to 1: the mean over voxels of how far their group's confidence lies from its share of right
    /// ones. None where no voxel was looked at.
    pub fn expected_error(&self) -> Option<f64> {
        let all: u64 = self.voxels.iter().sum();
        let gaps = self.confidence.iter().zip(&self.right).map(|(sum, right)| (sum - *right as f64).abs());
        (all > 0).then(|| gaps.sum::<f64>() / all as f64)
    }

    /// Looks at a plane of constant i: probabilities `(K, j, k)` and labels `(j, k)`, within a box.
    pub(super) fn add(
        &mut self,
        i: usize,
        plane: ArrayView3<'_, f32>,
        labels: ArrayView2<'_, u8>,
        within: &Box3,
    ) {
        let [along, rows, columns] = &within.0;
        if !along.contains(&i) {
            return;
        }
        for j in rows.clone() {
            for k in columns.clone() {
                let classes = plane.index_axis(Axis(1), j);
                let of_voxel = classes.column(k);
                // The lower class on a tie, as in label maps.
                let (class, confidence) = of_voxel
                    .iter()
                    .enumerate()
                    .fold((0, f32::NEG_INFINITY), |best, (c, p)| if *p > best.1 { (c, *p) } else { best });
                let bin = ((confidence * BINS as f32) as usize).min(BINS - 1);
                self.voxels[bin] += 1;
                self.confidence[bin] += f64::from(confidence);
                self.right[bin] += u64::from(class == usize::from(labels[(j, k)]));
            }
        }
    }
}

/// A box of voxels, as their ranges along i, j, k.
pub(super) struct Box3([std::ops::Range<usize>; 3]);

impl Box3 {
    /// That around the foreground of a label map, with the margin; none where there is no foreground.
    pub(super) fn around(label: &Volume<u8>) -> Option<Self> {
        let foreground = label.array().indexed_iter().filter(|(_, class)| **class != 0);
        let ends = foreground.fold(None, |ends: Option<[[usize; 2]; 3]>, ((i, j, k), _)| {
            let at = [i, j, k];
            let ends = ends.unwrap_or(at.map(|at| [at, at]));
            Some([0, 1, 2].map(|axis| [ends[axis][0].min(at[axis]), ends[axis][1].max(at[axis])]))
        })?;
        let (spacing, shape) = (label.geometry().spacing(), label.shape());
        Some(Box3([0, 1, 2].map(|axis| {
            let margin = (MARGIN_MM / spacing[axis]).ceil() as usize;
            ends[axis][0].saturating_sub(margin)..(ends[axis][1] + margin + 1).min(shape[axis])
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Array3, Array4};
    use tandem_volume::Geometry;

    /// A label map of 6 x 5 x 4 voxels of 10 mm with one foreground voxel, and a prediction that gives it so much.
    fn looked_at(confidence: f32) -> Calibration {
        let mut labels = Array3::<u8>::zeros((6, 5, 4));
        labels[(2, 2, 2)] = 1;
        let mut probabilities = Array4::<f32>::zeros((2, 6, 5, 4));
        probabilities.index_axis_mut(Axis(0), 0).fill(1.0);
        probabilities[(0, 2, 2, 2)] = 1.0 - confidence;
        probabilities[(1, 2, 2, 2)] = confidence;
        let label = Volume::new(labels, Geometry::isotropic(10.0).unwrap());
        let within = Box3::around(&label).unwrap();
        let mut found = Calibration::default();
        for (i, plane) in probabilities.axis_iter(Axis(1)).enumerate() {
            found.add(i, plane, label.array().index_axis(Axis(0), i), &within);
        }
        found
    }

    #[test]
    fn the_box_around_the_reference_is_looked_at_and_each_voxel_counted_once() {
        let found = looked_at(0.75);
        // 3 x 3 x 3 voxels: one of them at 0.75, the others at 1.
        assert_eq!(found.voxels, [0, 0, 0, 0, 0, 0, 0, 1, 0, 26]);
        assert_eq!(found.right, [0, 0, 0, 0, 0, 0, 0, 1, 0, 26]);
        assert_eq!(found.points(), [[0.75, 1.0], [1.0, 1.0]]);
        assert!((found.expected_error().unwrap() - 0.25 / 27.0).abs() < 1e-12);
        // Now it is background, wrongly.
        let wrong = looked_at(0.25);
        assert_eq!((wrong.voxels[7], wrong.right[7]), (1, 0));
        assert!((wrong.expected_error().unwrap() - 0.75 / 27.0).abs() < 1e-12);
    }

    #[test]
    fn without_foreground_nothing_is_looked_at() {
        let empty = Volume::new(Array3::<u8>::zeros((2, 2, 2)), Geometry::isotropic(1.0).unwrap());
        assert!(Box3::around(&empty).is_none());
        assert_eq!(Calibration::default().expected_error(), None);
        assert!(Calibration::default().points().is_empty());
        let mut nothing = Calibration::default();
        let outside = Box3([0..1, 0..1, 0..1]);
        nothing.add(1, Array3::zeros((2, 1, 1)).view(), Array2::zeros((1, 1)).view(), &outside);
        assert_eq!(nothing, Calibration::default());
    }
}
