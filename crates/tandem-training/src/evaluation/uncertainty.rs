//! How unsure the ensemble is of each voxel, as a map that is small on the disk.

use ndarray::{Array2, ArrayView3, Axis, Zip};

/// The predictive entropy of each voxel of a plane, of what it could be at most (ln K), in 255 steps: 0 is sure, 255 does not know.
/// Of 8 bits and mostly 0, a map takes a fraction of its scan's bytes; written when a run ends, it spares the report the networks.
///
/// # Shapes
/// `(K, j, k)` to `(j, k)`.
pub(super) fn uncertainty(plane: ArrayView3<'_, f32>) -> Array2<u8> {
    let (classes, rows, columns) = plane.dim();
    let most = (classes.max(2) as f32).ln();
    let mut entropy = Array2::<f32>::zeros((rows, columns));
    for of_class in plane.axis_iter(Axis(0)) {
        // p ln p goes to 0 with p.
        Zip::from(&mut entropy).and(of_class).for_each(|sum, p| {
            if *p > 0.0 {
                *sum -= p * p.ln();
            }
        });
    }
    entropy.mapv(|entropy| (255.0 * entropy / most).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn what_is_sure_is_0_and_what_could_be_anything_255() {
        let plane = array![[[1.0f32, 0.5, 0.9]], [[0.0, 0.5, 0.1]]];
        // -(0.9 ln 0.9 + 0.1 ln 0.1) / ln 2 = 0.4690
        assert_eq!(uncertainty(plane.view()), array![[0u8, 255, 120]]);
        let third = array![[[1.0f32 / 3.0]], [[1.0 / 3.0]], [[1.0 / 3.0]]];
        assert_eq!(uncertainty(third.view()), array![[255u8]]);
        assert_eq!(uncertainty(array![[[1.0f32]]].view()), array![[0u8]]);
    }
}
