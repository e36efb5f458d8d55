//! Probabilities brought to another grid plane by plane.
use ndarray::{Array3, Zip};

use super::axis::Taps;
use super::places;
use crate::{Error, Geometry, Result};

/// Brings probabilities from one grid to another, as [`probabilities_onto`](super::probabilities_onto) does, but takes
/// them plane by plane, so that neither grid is ever in memory as a whole.
///
/// ```
/// use ndarray::Array3;
/// use tandem_volume::Geometry;
/// use tandem_volume::resample::PlanesOnto;
/// let (coarse, fine) = (Geometry::isotropic(2.0)?, Geometry::isotropic(1.0)?);
/// let mut planes = PlanesOnto::new(&coarse, [2, 1, 1], &fine, [3, 1, 1])?;
/// let plane = |value| Array3::from_elem((1, 1, 1), value);
/// assert_eq!(planes.push(plane(0.0))?, [(0, plane(0.0))]);
/// assert_eq!(planes.push(plane(1.0))?, [(1, plane(0.5)), (2, plane(1.0))]);
/// # Ok::<(), tandem_volume::Error>(())
/// ```
pub struct PlanesOnto {
    along_i: Taps,
    along_j: Taps,
    along_k: Taps,
    /// For each plane of the old grid, those of the new one that need none after it.
    completes: Vec<Vec<usize>>,
    /// How many planes have come, and the last of them.
    taken: usize,
    before: Option<Array3<f32>>,
    /// Sides of a plane of the old grid.
    sides: [usize; 2],
}

impl PlanesOnto {
    /// From the grid `geometry` of `shape` voxels to the grid `target` of `target_shape` voxels.
    ///
    /// # Errors
    /// Where a side of `shape` is 0, or the axes of the two grids run in other directions.
    pub fn new(
        geometry: &Geometry,
        shape: [usize; 3],
        target: &Geometry,
        target_shape: [usize; 3],
    ) -> Result<Self> {
        if shape.contains(&0) {
            return Err(Error::Argument(format!("probabilities of {shape:?} voxels have no voxels")));
        }
        let [i, j, k] = places(geometry, target, target_shape)?;
        let taps = |places: Vec<f64>, old| Taps::at(places.into_iter(), old);
        let along_i = taps(i, shape[0]);
        let mut completes = vec![Vec::new(); shape[0]];
        along_i.runs().enumerate().for_each(|(new, (first, weights))| {
            completes[first + weights.len() - 1].push(new);
        });
        Ok(PlanesOnto {
            along_i,
            along_j: taps(j, shape[1]),
            along_k: taps(k, shape[2]),
            completes,
            taken: 0,
            before: None,
            sides: [shape[1], shape[2]],
        })
    }

    /// Takes the next plane, index 0 along i first, and returns those planes of the new grid that can be computed now, with
    /// their indices along i. Once all planes have come, every plane of the new grid has been returned once.
    ///
    /// # Shapes
    /// (K, j, k) -> (K, target j, target k).
    ///
    /// # Errors
    /// Where the plane has other sides than the grid or another K than the one before, or there are too many.
    pub fn push(&mut self, plane: Array3<f32>) -> Result<Vec<(usize, Array3<f32>)>> {
        let (classes, nj, nk) = plane.dim();
        let fits = self.before.as_ref().is_none_or(|before| before.dim().0 == classes);
        if [nj, nk] != self.sides || !fits || self.taken == self.completes.len() {
            return Err(Error::Argument(format!(
                "a plane of probabilities {:?} came as number {} to a grid of {} planes of {:?} voxels; give it those of one grid, \
                 in order",
                plane.dim(),
                self.taken,
                self.completes.len(),
                self.sides
            )));
        }
        // The first axis first: the others have the longer way to grow.
        let restored = self.completes[self.taken].iter().map(|&new| {
            let (first, weights) = self.along_i.run(new);
            let mut sum = Array3::zeros(plane.dim());
            for (tap, &weight) in weights.iter().enumerate() {
                // A run is the plane at hand, with or without the one before it.
                let values = if first + tap == self.taken { Some(&plane) } else { self.before.as_ref() };
                if let Some(values) = values {
                    Zip::from(&mut sum).and(values).for_each(|sum, &value| *sum += weight * value);
                }
            }
            (new, self.along_k.apply(&self.along_j.apply(&sum, 1), 2))
        });
        let restored = restored.collect();
        self.taken += 1;
        self.before = Some(plane);
        Ok(restored)
    }
}
