//! A picture to look at before the label map is opened: `ID.png`.

use anyhow::Result;
use ndarray::{Array2, ArrayView3};
use tandem_report::{Outline, PREDICTION, Picture, Plane, window};
use tandem_volume::{Orientation, Volume};

/// Pixels of the picture along its longer side.
const SIDE: usize = 1200;

/// Pixels between two slices.
const GAP: usize = 8;

/// The axial, the coronal and the sagittal slice through the centre of the label map, side by side at one scale, with its outlines,
/// as a PNG. Of an empty label map, those through the middle of the scan.
///
/// # Errors
/// Where the picture cannot be packed.
pub(super) fn preview(image: &Volume<f32>, label: &Volume<u8>) -> Result<Vec<u8>> {
    let ((image, spacing), (label, _)) = (image.seen_as(Orientation::RAS), label.seen_as(Orientation::RAS));
    let (centre, shades) = (centre(label), window(image));
    let slices = Plane::ALL.map(|plane| {
        let at = centre[plane.axis()];
        (plane.cut(image, at), plane.cut(label, at), plane.spacing(spacing))
    });
    let extents = slices
        .each_ref()
        .map(|(image, _, spacing)| [image.nrows() as f64 * spacing[0], image.ncols() as f64 * spacing[1]]);
    let (height, width) = extents
        .iter()
        .fold((0.0, 0.0), |(height, width), extent| (f64::max(height, extent[0]), width + extent[1]));
    let pixel = f64::max(height, width) / SIDE as f64;
    let pixels = extents.map(|extent| extent.map(|mm| ((mm / pixel).round() as usize).max(1)));
    let shape = (
        pixels.iter().map(|side| side[0]).max().unwrap_or(1),
        pixels.iter().map(|side| side[1]).sum::<usize>() + 2 * GAP,
    );
    let (mut grey, mut labels) = (Array2::from_elem(shape, shades[0]), Array2::zeros(shape));
    let mut left = 0;
    for ((image, label, spacing), [rows, columns]) in slices.iter().zip(pixels) {
        for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
            // The voxel that the middle of the pixel lies in.
            let voxel = [(y, spacing[0], image.nrows()), (x, spacing[1], image.ncols())]
                .map(|(at, mm, voxels)| (((at as f64 + 0.5) * pixel / mm) as usize).min(voxels - 1));
            grey[(y, left + x)] = image[voxel];
            labels[(y, left + x)] = label[voxel];
        }
        left += columns + GAP;
    }
    let outlines = vec![Outline { labels: labels.view(), colour: PREDICTION }];
    let picture = Picture { image: grey.view(), window: shades, spacing: [1.0; 2], outlines };
    Ok(picture.png(shape.0.max(shape.1))?)
}

/// The voxel nearest to the mean place of the foreground; that in the middle where there is none.
fn centre(label: ArrayView3<'_, u8>) -> [usize; 3] {
    let (mut sums, mut count) = ([0.0; 3], 0.0);
    for ((i, j, k), _) in label.indexed_iter().filter(|(_, class)| **class > 0) {
        sums = [sums[0] + i as f64, sums[1] + j as f64, sums[2] + k as f64];
        count += 1.0;
    }
    if count == 0.0 {
        return [0, 1, 2].map(|axis| label.shape()[axis] / 2);
    }
    sums.map(|sum| (sum / count).round() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use tandem_volume::Geometry;

    #[test]
    fn slices_lie_side_by_side_at_one_scale_whatever_way_the_axes_run() {
        let shape = (20, 10, 30);
        let inside = |(i, j, k): (usize, usize, usize)| i > 12 && j > 6 && k > 21;
        let image = Array3::from_shape_fn(shape, |at| if inside(at) { 9.0 } else { (at.0 % 3) as f32 });
        let label = Array3::from_shape_fn(shape, |at| u8::from(inside(at)));
        let grid = Geometry::with_spacing([1.0, 2.0, 3.0]).unwrap();
        let (image, label) = (Volume::new(image, grid.clone()), Volume::new(label, grid));
        let png = preview(&image, &label).unwrap();
        // 20 mm, 20 mm and 20 mm side by side, the longest 90 mm high: 90 mm are 1200 pixels.
        let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        assert_eq!((side(16), side(20)), (3 * 267 + 16, 1200));
        let to: Orientation = "PSL".parse().unwrap();
        assert_eq!(preview(&image.reoriented(to).unwrap(), &label.reoriented(to).unwrap()).unwrap(), png);
    }

    #[test]
    fn the_centre_is_that_of_the_foreground() {
        let label = Array3::from_shape_fn((9, 9, 9), |(i, j, k)| u8::from((i, j) == (2, 3) && k > 4));
        assert_eq!(centre(label.view()), [2, 3, 7]);
        assert_eq!(centre(Array3::zeros((9, 4, 1)).view()), [4, 2, 0]);
    }
}
