//! One prediction beside its reference, with all that the metrics share.

use crate::bits::Bits;
use crate::{Error, SurfaceDistances, Undefined};
use ndarray::ArrayView3;
use std::sync::{Arc, OnceLock};

/// A predicted mask beside its reference. Counts are taken at once, surfaces and the distances between them when a metric
/// first asks; all metrics share them.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The masks in the box around both, since nothing outside of it can matter: scans are mostly background.
    masks: Arc<[Bits; 2]>,
    counts: [usize; 3],
    spacing: [f64; 3],
    surfaces: Arc<OnceLock<[Bits; 2]>>,
    /// Where the spacing along i is 1: what has voxels of one shape shares them.
    distances: Arc<OnceLock<SurfaceDistances>>,
}

impl Comparison {
    /// Compares two masks of one grid. `spacing` is the distance between voxel centres along each axis, in mm.
    ///
    /// # Errors
    /// Where the shapes differ, or a spacing is not a finite number above zero.
    pub fn new(
        prediction: ArrayView3<bool>,
        reference: ArrayView3<bool>,
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
        let (prediction, reference) = rayon::join(|| Bits::of(prediction), || Bits::of(reference));
        let counts = [prediction.count(), reference.count(), prediction.shared(&reference)];
        let bounds = prediction.bounds(&reference);
        let masks = Arc::new([prediction.within(&bounds), reference.within(&bounds)]);
        Ok(Comparison { masks, counts, spacing, surfaces: Arc::default(), distances: Arc::default() })
    }

    /// The same pair with a spacing of one voxel, so that distances are in voxels. What is known of it already is shared.
    pub fn in_voxels(&self) -> Self {
        let isotropic = self.spacing.iter().all(|step| *step == self.spacing[0]);
        let distances = if isotropic { self.distances.clone() } else { Arc::default() };
        Comparison { spacing: [1.0; 3], distances, ..self.clone() }
    }

    /// Voxels of the prediction, of the reference, and of both at once.
    pub fn counts(&self) -> [usize; 3] {
        self.counts
    }

    /// Distance between voxel centres along each axis, in mm; 1 in [`Self::in_voxels`].
    pub fn spacing(&self) -> [f64; 3] {
        self.spacing
    }

    /// Which of the masks have no voxel; none where both have one.
    pub fn emptiness(&self) -> Option<Undefined> {
        match self.counts {
            [0, 0, _] => Some(Undefined::BothEmpty),
            [0, ..] => Some(Undefined::EmptyPrediction),
            [_, 0, _] => Some(Undefined::EmptyReference),
            _ => None,
        }
    }

    /// Prediction and reference, in the box around both.
    pub(crate) fn masks(&self) -> &[Bits; 2] {
        &self.masks
    }

    /// The distances between the two surfaces, in units of the spacing along i.
    ///
    /// # Errors
    /// Where a mask is empty and hence has no surface.
    pub(crate) fn surface_distances(&self) -> Result<&SurfaceDistances, Undefined> {
        if let Some(reason) = self.emptiness() {
            return Err(reason);
        }
        let surfaces = self.surfaces.get_or_init(|| self.masks.each_ref().map(Bits::surface));
        let relative = self.spacing.map(|step| step / self.spacing[0]);
        Ok(self.distances.get_or_init(|| SurfaceDistances::between(surfaces, relative)))
    }
}
