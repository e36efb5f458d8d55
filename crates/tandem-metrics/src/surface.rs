//! Surfaces of masks and the distances between them.

use crate::distance_transform::distance_transform;
use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayView3};

/// The distances between two surfaces, in the unit of the spacing: one entry per surface voxel, in array order.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfaceDistances {
    /// From each surface voxel of the prediction to the nearest one of the reference.
    pub to_reference: Vec<f64>,
    /// From each surface voxel of the reference to the nearest one of the prediction.
    pub to_prediction: Vec<f64>,
}

impl SurfaceDistances {
    /// Both directed lists of two masks of one shape, neither of them empty.
    pub(crate) fn between(
        prediction: ArrayView3<bool>,
        reference: ArrayView3<bool>,
        spacing: [f64; 3],
    ) -> Self {
        let (prediction, reference) = (surface(prediction), surface(reference));
        SurfaceDistances {
            to_reference: distances_at(&prediction, &reference, spacing),
            to_prediction: distances_at(&reference, &prediction, spacing),
        }
    }
}

/// From each voxel of one surface to the nearest voxel of another.
fn distances_at(from: &Array3<bool>, to: &Array3<bool>, spacing: [f64; 3]) -> Vec<f64> {
    let distances = distance_transform(to.view(), spacing);
    from.indexed_iter().filter(|(_, on_surface)| **on_surface).map(|(at, _)| distances[at]).collect()
}

/// The surface of a mask: its voxels with a background voxel among their six face neighbours (the mask minus its
/// erosion). What lies outside of the array counts as background.
pub fn surface(mask: ArrayView3<bool>) -> Array3<bool> {
    let (ni, nj, nk) = mask.dim();
    let (last_i, last_j, last_k) = (ni.wrapping_sub(1), nj.wrapping_sub(1), nk.wrapping_sub(1));
    let mut surface = mask.to_owned();
    surface.outer_iter_mut().into_par_iter().enumerate().for_each(|(i, mut plane)| {
        for ((j, k), here) in plane.indexed_iter_mut().filter(|(_, here)| **here) {
            let in_the_array = 0 < i && i < last_i && 0 < j && j < last_j && 0 < k && k < last_k;
            let surrounded = in_the_array
                && [(i - 1, j, k), (i + 1, j, k), (i, j - 1, k), (i, j + 1, k), (i, j, k - 1), (i, j, k + 1)]
                    .iter()
                    .all(|&neighbour| mask[neighbour]);
            *here = !surrounded;
        }
    });
    surface
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solid_box_loses_its_inside_only() {
        let mask =
            Array3::from_shape_fn((7, 8, 9), |(i, j, k)| (1..6).contains(&i) && (1..6).contains(&j) && k > 2);
        let surface = surface(mask.view());
        let inside =
            |i: usize, j: usize, k: usize| (2..5).contains(&i) && (2..5).contains(&j) && (4..8).contains(&k);
        for (at, &on_surface) in surface.indexed_iter() {
            // k = 8 is the last plane of the array: its outer neighbour is background.
            assert_eq!(on_surface, mask[at] && !inside(at.0, at.1, at.2), "{at:?}");
        }
    }

    #[test]
    fn thin_masks_are_all_surface() {
        for shape in [(1, 5, 5), (5, 1, 5), (5, 5, 1), (0, 3, 3)] {
            let mask = Array3::from_elem(shape, true);
            assert_eq!(surface(mask.view()), mask);
        }
    }
}
