//! The part of a scan that is not background, as its intensities tell it.

use tandem_volume::Image;

use crate::Crop;
use crate::preprocess::bounding_box;

/// The smallest box around every voxel that is above the lowest intensity of its channel, which scanners and skull strippers
/// fill the outside with, in any channel.
///
/// No label is looked at. An image that is all background, or whose lowest intensity is noise, keeps its full box.
///
/// # References
/// nnU-Net's cropping to nonzero (Isensee et al., Nature Methods 2021), for backgrounds of any value.
pub fn foreground(image: &Image) -> Crop {
    let boxes = image.channels().iter().filter_map(|channel| {
        let lowest = channel.array().iter().copied().fold(f32::INFINITY, f32::min);
        bounding_box(&channel.array().mapv(|value| u8::from(value > lowest)))
    });
    let joined = boxes.reduce(|(low, high), (other_low, other_high)| {
        let axes = [0, 1, 2];
        (axes.map(|axis| low[axis].min(other_low[axis])), axes.map(|axis| high[axis].max(other_high[axis])))
    });
    let (low, high) = joined.unwrap_or(([0; 3], image.shape().map(|side| side.saturating_sub(1))));
    Crop { start: low.map(|at| at as i64), size: [0, 1, 2].map(|axis| high[axis] + 1 - low[axis]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use tandem_volume::{Geometry, Volume};

    fn image<const N: usize>(channels: [Array3<f32>; N]) -> Image {
        let grid = Geometry::isotropic(1.0).unwrap();
        Image::new(channels.map(|array| Volume::new(array, grid.clone())).into()).unwrap()
    }

    #[test]
    fn the_box_holds_all_that_is_not_background() {
        let mut first = Array3::from_elem((10, 9, 8), -1024.0f32);
        first[[2, 3, 4]] = -1023.0;
        first[[7, 5, 4]] = 80.0;
        assert_eq!(foreground(&image([first.clone()])), Crop { start: [2, 3, 4], size: [6, 3, 1] });
        let mut second = Array3::zeros((10, 9, 8));
        second[[3, 8, 1]] = 1.0;
        assert_eq!(foreground(&image([first, second])), Crop { start: [2, 3, 1], size: [6, 6, 4] });
    }

    #[test]
    fn an_image_without_background_or_foreground_stays_whole() {
        let all = Crop { start: [0; 3], size: [4, 3, 2] };
        assert_eq!(foreground(&image([Array3::from_elem((4, 3, 2), 5.0)])), all);
        let noise = Array3::from_shape_fn((4, 3, 2), |at| if at == (1, 1, 1) { 0.0 } else { 1.0 });
        assert_eq!(foreground(&image([noise])), all);
    }
}
