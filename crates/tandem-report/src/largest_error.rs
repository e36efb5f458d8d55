//! Where a prediction is most wrong.

use crate::{Error, Result};
use ndarray::{ArrayView3, Zip};
use tandem_metrics::distance_transform;

/// The voxel that lies deepest in what is wrong: the centre of the largest ball of voxels whose predicted label is not that of the
/// reference. None where all are the same.
///
/// Not the centre of the largest wrong component: most predictions are wrong in a thin shell around the whole organ, whose centre
/// is somewhere in the middle of what is right.
///
/// # Units
/// `spacing` in mm along i, j, k.
///
/// # Errors
/// Where the shapes differ.
pub fn largest_error(
    prediction: ArrayView3<'_, u8>,
    reference: ArrayView3<'_, u8>,
    spacing: [f64; 3],
) -> Result<Option<[usize; 3]>> {
    if prediction.dim() != reference.dim() {
        let [found, expected] = [&prediction, &reference].map(|array| array.shape().to_vec());
        return Err(Error::Shape { what: "the prediction".to_owned(), found, expected });
    }
    let right = Zip::from(&prediction).and(&reference).map_collect(|a, b| a == b);
    let depth = distance_transform(right.view(), spacing);
    // Where nothing is right, every depth is infinite.
    let most = depth.iter().copied().fold(0.0, f64::max);
    let deepest = || {
        depth
            .indexed_iter()
            .filter(|(_, depth)| most > 0.0 && **depth == most)
            .map(|(at, _)| [at.0, at.1, at.2])
    };
    // Of several that are as deep, the one in their middle.
    let (sum, n) =
        deepest().fold(([0; 3], 0), |(sum, n), at| ([0, 1, 2].map(|axis| sum[axis] + at[axis]), n + 1));
    let from_middle = |at: &[usize; 3]| {
        (0..3).map(|axis| (spacing[axis] * ((n * at[axis]) as f64 - sum[axis] as f64)).powi(2)).sum::<f64>()
    };
    Ok(deepest().min_by(|a, b| from_middle(a).total_cmp(&from_middle(b))))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ndarray::{Array3, Slice};
    use std::ops::Range;

    /// Gives a box of voxels a label.
    pub(crate) fn fill(volume: &mut Array3<u8>, within: [Range<usize>; 3], label: u8) {
        volume.slice_each_axis_mut(|axis| Slice::from(within[axis.axis.index()].clone())).fill(label);
    }

    #[test]
    fn a_solid_piece_counts_more_than_a_shell_of_more_voxels() {
        let mut reference = Array3::<u8>::zeros((24, 24, 24));
        fill(&mut reference, [4..20, 4..20, 4..20], 1);
        // One voxel too small all around, and a piece of 3 x 3 x 3 where nothing is.
        let mut prediction = Array3::<u8>::zeros((24, 24, 24));
        fill(&mut prediction, [5..19, 5..19, 5..19], 1);
        fill(&mut prediction, [0..3, 0..3, 21..24], 1);
        let found = largest_error(prediction.view(), reference.view(), [1.0; 3]).unwrap();
        // The corner of the volume: nothing beyond it is right.
        assert_eq!(found, Some([0, 0, 23]));
        fill(&mut prediction, [0..3, 0..3, 21..24], 0);
        fill(&mut prediction, [9..14, 9..14, 9..14], 2);
        assert_eq!(largest_error(prediction.view(), reference.view(), [1.0; 3]).unwrap(), Some([11, 11, 11]));
    }

    #[test]
    fn the_spacing_decides_which_piece_is_the_larger() {
        let reference = Array3::<u8>::zeros((20, 20, 8));
        let mut prediction = reference.clone();
        // 5 x 5 x 3 voxels, and 3 x 3 x 5.
        fill(&mut prediction, [2..7, 2..7, 2..5], 1);
        fill(&mut prediction, [12..15, 12..15, 1..6], 1);
        let at = |spacing| largest_error(prediction.view(), reference.view(), spacing).unwrap();
        assert_eq!(at([1.0, 1.0, 4.0]), Some([4, 4, 3]));
        assert_eq!(at([4.0, 4.0, 1.0]), Some([13, 13, 3]));
    }

    #[test]
    fn without_an_error_there_is_no_place_and_without_a_right_voxel_there_is_one() {
        let (none, all) = (Array3::<u8>::zeros((3, 3, 3)), Array3::<u8>::ones((3, 3, 3)));
        assert_eq!(largest_error(none.view(), none.view(), [1.0; 3]).unwrap(), None);
        assert_eq!(largest_error(none.view(), all.view(), [1.0; 3]).unwrap(), Some([1, 1, 1]));
        let other = Array3::<u8>::zeros((3, 3, 4));
        let message = largest_error(none.view(), other.view(), [1.0; 3]).unwrap_err().to_string();
        assert!(message.contains("[3, 3, 3]") && message.contains("[3, 3, 4]"), "{message}");
    }
}
