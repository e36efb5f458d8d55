//! How sure the networks are of a voxel, and how far they agree.

use ndarray::{Array2, Array3};
use rayon::prelude::*;

/// The predictive entropy of each voxel of a plane of probabilities, by the entropy of a voxel of which nothing is known:
/// `-sum_c p_c ln p_c / ln K`, from 0 (one class has all) to 1 (all classes have the same). Times `ln K` it is in nats.
///
/// # Shapes
/// `(K, j, k)` to `(j, k)`.
pub fn entropy(probabilities: &Array3<f32>) -> Array2<f32> {
    // One class leaves nothing open: 0, not 0 / 0.
    let scale = 1.0 / (probabilities.dim().0 as f32).ln().max(f32::MIN_POSITIVE);
    sums_over_classes(&[probabilities], |[p]| if p > 0.0 { -p * p.ln() * scale } else { 0.0 })
}

/// How far the networks disagree about each voxel of a plane: the total variation distance of their probabilities,
/// `1/2 sum_c |p_c - q_c|`, from 0 (they say the same) to 1 (each is sure of another class); of more than two networks, the
/// mean over all pairs. It is the most by which they differ about any set of classes; with two classes, about the
/// foreground. `None` where there is one network or none, and for networks with planes of different shapes.
///
/// # Shapes
/// One `(K, j, k)` a network to `(j, k)`.
pub fn disagreement(networks: &[Array3<f32>]) -> Option<Array2<f32>> {
    let pairs: Vec<_> =
        (0..networks.len()).flat_map(|a| (a + 1..networks.len()).map(move |b| (a, b))).collect();
    let scale = 0.5 / pairs.len() as f32;
    let distances = pairs.into_iter().map(|(a, b)| {
        let (a, b) = (&networks[a], &networks[b]);
        (a.dim() == b.dim()).then(|| sums_over_classes(&[a, b], |[p, q]| (p - q).abs() * scale))
    });
    distances.reduce(|sum, distance| Some(sum? + distance?)).flatten()
}

/// The sum of `term` over the classes of planes of one shape, row by row on all cores.
fn sums_over_classes<const N: usize>(
    planes: &[&Array3<f32>; N],
    term: impl Fn([f32; N]) -> f32 + Sync,
) -> Array2<f32> {
    let (classes, nj, nk) = planes[0].dim();
    let mut sums = vec![0.0; nj * nk];
    sums.par_chunks_mut(nk.max(1)).enumerate().for_each(|(j, sums)| {
        for class in 0..classes {
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum += term(planes.map(|plane| plane[[class, j, k]]));
            }
        }
    });
    Array2::from_shape_fn((nj, nk), |(j, k)| sums[j * nk + k])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plane of one row: the classes of each voxel.
    fn plane<const K: usize>(voxels: &[[f32; K]]) -> Array3<f32> {
        Array3::from_shape_fn((K, 1, voxels.len()), |(class, _, k)| voxels[k][class])
    }

    fn check(found: &Array2<f32>, expected: &[f32]) {
        assert_eq!(found.dim(), (1, expected.len()));
        let far = found.iter().zip(expected).any(|(a, b)| (a - b).abs() > 1e-6);
        assert!(!far, "{found:?} {expected:?}");
    }

    #[test]
    fn entropy_is_0_where_a_class_is_sure_and_1_where_none_is_likelier() {
        // -(0.9 ln 0.9 + 0.1 ln 0.1) / ln 2 = 0.468996.
        check(&entropy(&plane(&[[1.0, 0.0], [0.5, 0.5], [0.9, 0.1]])), &[0.0, 1.0, 0.468_996]);
        let third = 1.0 / 3.0;
        // ln 2 / ln 3 = 0.63093.
        check(&entropy(&plane(&[[third; 3], [0.5, 0.5, 0.0]])), &[1.0, 0.630_930]);
        check(&entropy(&plane(&[[1.0]])), &[0.0]);
    }

    #[test]
    fn disagreement_is_the_mean_distance_of_pairs() {
        let a = plane(&[[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]]);
        let b = plane(&[[0.0, 0.0, 1.0], [0.3, 0.6, 0.1]]);
        check(&disagreement(&[a.clone(), b.clone()]).unwrap(), &[1.0, 0.2]);
        check(&disagreement(&[a.clone(), a.clone()]).unwrap(), &[0.0, 0.0]);
        check(&disagreement(&[a.clone(), a.clone(), b.clone()]).unwrap(), &[2.0 / 3.0, 0.4 / 3.0]);
        assert_eq!(disagreement(std::slice::from_ref(&a)), None);
        assert_eq!(disagreement(&[]), None);
        assert_eq!(disagreement(&[a, plane(&[[1.0, 0.0, 0.0]])]), None);
    }
}
