//! From the probabilities of several networks to one label map.

use crate::{Error, Result};
use ndarray::{Array, Axis, Dimension, RemoveAxis, Zip};

/// The mean of the class probabilities of several networks: `(K, i, j, k)` of volumes, or `(K, j, k)` of planes.
///
/// # Errors
/// Where there is none, or their shapes differ.
pub fn ensemble<D: Dimension>(probabilities: &[Array<f32, D>]) -> Result<Array<f32, D>> {
    let Some((first, others)) = probabilities.split_first() else {
        return Err(Error::Networks("an ensemble needs at least one network".to_owned()));
    };
    let mut mean = first.clone();
    for other in others {
        if other.shape() != first.shape() {
            let shapes = format!("{:?} and {:?}", first.shape(), other.shape());
            return Err(Error::Networks(format!("an ensemble needs predictions of one shape, not {shapes}")));
        }
        mean += other;
    }
    mean /= probabilities.len() as f32;
    Ok(mean)
}

/// The most probable class of each voxel of `(K, i, j, k)`, or of a plane `(K, j, k)`; the lower class on a tie. Classes
/// above 255 have no place in a label map and are passed over.
pub fn label_map<D: RemoveAxis>(probabilities: &Array<f32, D>) -> Array<u8, D::Smaller> {
    let shape = probabilities.raw_dim().remove_axis(Axis(0));
    let mut labels = Array::zeros(shape.clone());
    let mut best = Array::from_elem(shape, f32::NEG_INFINITY);
    for (class, of_class) in (0..=u8::MAX).zip(probabilities.axis_iter(Axis(0))) {
        Zip::from(&mut labels).and(&mut best).and(of_class).for_each(|label, best, &probability| {
            if probability > *best {
                (*label, *best) = (class, probability);
            }
        });
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    fn two_voxels(values: [f32; 6]) -> Array4<f32> {
        Array4::from_shape_vec((3, 1, 1, 2), values.to_vec()).unwrap()
    }

    #[test]
    fn the_most_probable_class_wins_and_ties_go_to_the_lower() {
        let probabilities = two_voxels([0.2, 0.4, 0.2, 0.4, 0.6, 0.2]);
        assert_eq!(label_map(&probabilities).into_raw_vec_and_offset().0, [2, 0]);
    }

    #[test]
    fn an_ensemble_can_overrule_a_network() {
        let (a, b) = (two_voxels([0.4, 1.0, 0.6, 0.0, 0.0, 0.0]), two_voxels([0.9, 0.0, 0.1, 0.0, 0.0, 1.0]));
        assert_eq!(label_map(&a)[[0, 0, 0]], 1);
        let mean = ensemble(&[a.clone(), b]).unwrap();
        assert_eq!(mean[[0, 0, 0, 0]], 0.65);
        assert_eq!(label_map(&mean)[[0, 0, 0]], 0);
        assert_eq!(ensemble(std::slice::from_ref(&a)).unwrap(), a);
    }

    #[test]
    fn networks_that_do_not_fit_are_refused() {
        assert!(ensemble::<ndarray::Ix4>(&[]).is_err());
        let message =
            ensemble(&[Array4::zeros((2, 3, 3, 3)), Array4::zeros((3, 3, 3, 3))]).unwrap_err().to_string();
        assert!(message.contains("[2, 3, 3, 3] and [3, 3, 3, 3]"), "{message}");
    }
}
