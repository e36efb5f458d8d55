//! The part of a scan that is not background, as its intensities tell it.

use ndarray::Array3;

use crate::Crop;
use crate::preprocess::bounding_box;

/// The smallest box around every voxel above the lowest intensity, which scanners and skull strippers fill the outside with.
///
/// No label is looked at. An image that is all background, or whose lowest intensity is noise, keeps its full box.
///
/// # References
/// nnU-Net's cropping to nonzero (Isensee et al., Nature Methods 2021), for backgrounds of any value.
pub fn foreground(image: &Array3<f32>) -> Crop {
    let (i, j, k) = image.dim();
    let lowest = image.iter().copied().fold(f32::INFINITY, f32::min);
    let above = image.mapv(|value| u8::from(value > lowest));
    let (low, high) = bounding_box(&above).unwrap_or(([0; 3], [i, j, k].map(|side| side.saturating_sub(1))));
    Crop { start: low.map(|at| at as i64), size: [0, 1, 2].map(|axis| high[axis] + 1 - low[axis]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_holds_all_that_is_not_background() {
        let mut image = Array3::from_elem((10, 9, 8), -1024.0f32);
        image[[2, 3, 4]] = -1023.0;
        image[[7, 5, 4]] = 80.0;
        assert_eq!(foreground(&image), Crop { start: [2, 3, 4], size: [6, 3, 1] });
    }

    #[test]
    fn an_image_without_background_or_foreground_stays_whole() {
        let all = Crop { start: [0; 3], size: [4, 3, 2] };
        assert_eq!(foreground(&Array3::from_elem((4, 3, 2), 5.0)), all);
        let noise =
            Array3::from_shape_fn((4, 3, 2), |(i, j, k)| if (i, j, k) == (1, 1, 1) { 0.0 } else { 1.0 });
        assert_eq!(foreground(&noise), all);
    }
}
