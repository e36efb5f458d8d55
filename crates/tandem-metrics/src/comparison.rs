//! One prediction beside its reference, with all that the metrics share.

use crate::{Error, METRICS, Score, SurfaceDistances, Undefined};
use ndarray::{ArrayView3, AxisDescription, Slice};
use std::ops::Range;
use std::sync::OnceLock;

/// A predicted mask beside its reference: counts are taken at once, surface distances when a metric first asks, and
/// both are shared by all metrics.
#[derive(Debug)]
pub struct Comparison<'a> {
    prediction: ArrayView3<'a, bool>,
    reference: ArrayView3<'a, bool>,
    spacing: [f64; 3],
    counts: [usize; 3],
    distances: OnceLock<Result<SurfaceDistances, Undefined>>,
}

impl<'a> Comparison<'a> {
    /// Compares two masks of one grid. `spacing` is the distance between voxel centres along each axis, usually in mm;
    /// with `[1.0; 3]` distances are in voxels.
    ///
    /// # Errors
    /// Where the shapes differ, or a spacing is not a finite number above zero.
    pub fn new(
        prediction: ArrayView3<'a, bool>,
        reference: ArrayView3<'a, bool>,
        spacing: [f64; 3],
    ) -> Result<Self, Error> {
        if prediction.dim() != reference.dim() {
            return Err(Error::Shapes {
                prediction: prediction.dim().into(),
                reference: reference.dim().into(),
            });
        }
        if !spacing.iter().all(|step| step.is_finite() && *step > 0.0) {
            return Err(Error::Spacing(spacing));
        }
        let mut counts = [0; 3];
        for (&predicted, &wanted) in prediction.iter().zip(&reference) {
            counts[0] += usize::from(predicted);
            counts[1] += usize::from(wanted);
            counts[2] += usize::from(predicted && wanted);
        }
        Ok(Comparison { prediction, reference, spacing, counts, distances: OnceLock::new() })
    }

    /// Voxels of the prediction, of the reference, and of both at once.
    pub fn counts(&self) -> [usize; 3] {
        self.counts
    }

    /// The distances between the two surfaces.
    ///
    /// # Errors
    /// Where a mask is empty and hence has no surface.
    pub fn surface_distances(&self) -> Result<&SurfaceDistances, Undefined> {
        self.distances.get_or_init(|| self.measure_distances()).as_ref().map_err(|reason| *reason)
    }

    fn measure_distances(&self) -> Result<SurfaceDistances, Undefined> {
        match self.counts {
            [0, 0, _] => return Err(Undefined::BothEmpty),
            [0, _, _] => return Err(Undefined::EmptyPrediction),
            [_, 0, _] => return Err(Undefined::EmptyReference),
            _ => {}
        }
        // Nothing outside of the box around both masks can matter; scans are mostly background.
        let bounds = bounding_box(self.prediction, self.reference);
        let within = |axis: AxisDescription| Slice::from(bounds[axis.axis.index()].clone());
        let prediction = self.prediction.slice_each_axis(within);
        let reference = self.reference.slice_each_axis(within);
        Ok(SurfaceDistances::between(prediction, reference, self.spacing))
    }
}

/// The score of every metric, in the order of [`METRICS`].
///
/// # Errors
/// As [`Comparison::new`].
pub fn evaluate_pair(
    prediction: ArrayView3<bool>,
    reference: ArrayView3<bool>,
    spacing: [f64; 3],
) -> Result<[Score; METRICS.len()], Error> {
    let comparison = Comparison::new(prediction, reference, spacing)?;
    Ok(METRICS.map(|metric| metric.measure(&comparison)))
}

/// The smallest box that holds every voxel of both masks, of which there is at least one.
fn bounding_box(a: ArrayView3<bool>, b: ArrayView3<bool>) -> [Range<usize>; 3] {
    let (mut first, mut last) = ([usize::MAX; 3], [0; 3]);
    for (((i, j, k), &in_a), &in_b) in a.indexed_iter().zip(&b) {
        if in_a || in_b {
            for (axis, at) in [i, j, k].into_iter().enumerate() {
                first[axis] = first[axis].min(at);
                last[axis] = last[axis].max(at);
            }
        }
    }
    [0, 1, 2].map(|axis| first[axis]..last[axis] + 1)
}
