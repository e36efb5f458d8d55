//! The voxels of a scan.

use super::shape::Point;
use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayViewMut2, Axis};

/// Voxel centres in the scan's frame, in mm.
pub(super) struct Grid {
    pub(super) spacing: Point,
    pub(super) shape: [usize; 3],
    /// The lower and upper corner of the box that the voxels fill.
    pub(super) bounds: [Point; 2],
}

impl Grid {
    /// The whole voxels that cover the box from `low` to `high` best.
    pub(super) fn covering([low, high]: [Point; 2], spacing: Point) -> Self {
        let shape = [0, 1, 2].map(|a| ((high[a] - low[a]) / spacing[a]).round().max(1.0) as usize);
        let high = [0, 1, 2].map(|a| low[a] + spacing[a] * shape[a] as f32);
        Grid { spacing, shape, bounds: [low, high] }
    }

    /// An image and its label map, whose planes along the first axis `plane` draws on all threads.
    pub(super) fn render(
        &self,
        plane: impl Fn(usize, ArrayViewMut2<f32>, ArrayViewMut2<u8>) + Sync + Send,
    ) -> (Array3<f32>, Array3<u8>) {
        let mut image = Array3::<f32>::zeros(self.shape);
        let mut label = Array3::<u8>::zeros(self.shape);
        let planes = image.axis_iter_mut(Axis(0)).into_par_iter().zip(label.axis_iter_mut(Axis(0)));
        planes.enumerate().for_each(|(i, (image, label))| plane(i, image, label));
        (image, label)
    }

    /// The centre of a voxel.
    pub(super) fn point(&self, index: [usize; 3]) -> Point {
        let at = |a: usize| self.bounds[0][a] + self.spacing[a] * (index[a] as f32 + 0.5);
        [at(0), at(1), at(2)]
    }
}
