//! Tiny scans written to files.

use ndarray::Array3;
use std::path::Path;
use tandem_volume::{Geometry, Volume, write_image, write_label};

/// Voxels of a tiny scan.
pub(crate) const SHAPE: [usize; 3] = [20, 18, 12];

/// A turned grid with three different spacings: whatever loses an axis, a sign or an offset shows.
pub(crate) fn oblique() -> Geometry {
    let (sin, cos) = 0.3f64.sin_cos();
    let direction = [[-cos, -sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]];
    Geometry::new([3.0, 3.5, 5.0], [31.0, -42.5, 17.25], direction).expect("a sound grid")
}

/// A raw scan: a bright ball in noise-free tissue.
pub(crate) fn image(geometry: Geometry) -> Volume<f32> {
    let value = |at| if in_ball(at) { 400.0 } else { 100.0 + (at.0 % 5) as f32 };
    Volume::new(Array3::from_shape_fn(SHAPE, value), geometry)
}

/// The ball's label map.
pub(crate) fn label(geometry: Geometry) -> Volume<u8> {
    Volume::new(Array3::from_shape_fn(SHAPE, |at| u8::from(in_ball(at))), geometry)
}

fn in_ball((i, j, k): (usize, usize, usize)) -> bool {
    let square = |a: usize, b: f64| (a as f64 - b).powi(2);
    square(i, 9.0) + square(j, 8.0) + square(k, 6.0) < 16.0
}

/// Writes `images/ID.nii.gz` and, where asked, `labels/ID.nii.gz` below `folder`. The voxels are raised by a number that follows
/// from the id, since a scan that is there twice is refused.
pub(crate) fn write_pair(folder: &Path, id: &str, labelled: bool) {
    std::fs::create_dir_all(folder.join("images")).expect("images/");
    std::fs::create_dir_all(folder.join("labels")).expect("labels/");
    let (array, grid) = image(oblique()).into_parts();
    let raised = Volume::new(array + id.bytes().map(f32::from).sum::<f32>(), grid);
    write_image(folder.join(format!("images/{id}.nii.gz")), &raised).expect("an image");
    if labelled {
        write_label(folder.join(format!("labels/{id}.nii.gz")), &label(oblique())).expect("a label map");
    }
}
