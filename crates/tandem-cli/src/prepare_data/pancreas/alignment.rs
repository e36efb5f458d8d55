//! Bringing a label map onto the grid of its CT: the download stores both in different orders of their axes.

use anyhow::{Result, bail};
use std::path::Path;
use tandem_volume::{Orientation, Volume, inspect};

/// Soft tissue in HU, and the least share of it that a label map of the pancreas should have.
const SOFT_TISSUE_HU: std::ops::RangeInclusive<f32> = 0.0..=200.0;
const LEAST_SOFT_TISSUE: f64 = 0.5;

/// Whether the header of a NIfTI file says how its axes lie in the patient.
pub(super) fn is_placed(path: &Path) -> Result<bool> {
    let claims = inspect(path)?.claims;
    Ok(claims
        .iter()
        .any(|(field, code)| ["qform_code", "sform_code"].contains(&field.as_str()) && code != "0"))
}

/// The label map on the grid of `image`, and what had to be assumed for it.
///
/// Its axes are turned as its own header and the image's say; where the header says nothing (`is_placed`), its voxel
/// (i, j, k) is taken for column i, row j of slice k from the feet up. After that, both have one voxel for each other, and
/// the image's header decides where they are.
pub(super) fn onto_image(
    image: &Volume<f32>,
    label: Volume<u8>,
    is_placed: bool,
) -> Result<(Volume<u8>, Option<String>)> {
    let (grid, shape) = (image.geometry(), image.shape());
    let own = Orientation::of(label.geometry());
    let label = if is_placed { label.reoriented(Orientation::of(grid))? } else { label };
    if label.shape() != shape {
        bail!(
            "the label map has {:?} voxels, but its scan has {shape:?}; it belongs to another scan or series",
            label.shape()
        );
    }
    let note = match is_placed {
        true if grid.same_grid(label.geometry(), shape) => None,
        true => Some(format!(
            "the label map's header ({own}, {:?} mm) places it up to {:.2} mm beside its scan: only the directions of \
             its axes are used, and its voxels are taken for the scan's one by one",
            label.geometry().spacing().map(|mm| (mm * 1e4).round() / 1e4),
            grid.corner_shift(label.geometry(), shape)
        )),
        false => Some(
            "the label map's header does not say how it lies: its voxel (i, j, k) is taken for column i, row j of slice k \
             from the feet up"
                .to_owned(),
        ),
    };
    Ok((Volume::new(label.into_parts().0, grid.clone()), note))
}

/// A doubt that the label map belongs where it is: a pancreas is soft tissue. A wrong turn of its axes often shows so.
pub(super) fn doubt(image: &Volume<f32>, label: &Volume<u8>) -> Option<String> {
    let marked = || image.array().iter().zip(label.array()).filter(|(_, class)| **class > 0);
    let soft = marked().filter(|(hu, _)| SOFT_TISSUE_HU.contains(hu)).count();
    let share = soft as f64 / marked().count() as f64;
    // A label map without foreground has no share, and is refused elsewhere.
    (share < LEAST_SOFT_TISSUE).then(|| {
        format!(
            "only {:.0} % of the label map's voxels are soft tissue ({} to {} HU): check whether it is turned or of \
             another scan",
            100.0 * share,
            SOFT_TISSUE_HU.start(),
            SOFT_TISSUE_HU.end()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;
    use tandem_volume::{Geometry, write_label};

    const SHAPE: [usize; 3] = [6, 5, 4];

    /// A CT as the archive has it: LPS. Its voxels say their place.
    fn image() -> Volume<f32> {
        let direction = [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]];
        let grid = Geometry::new([0.7, 0.8, 1.0], [180.0, 170.0, -400.0], direction).unwrap();
        Volume::new(Array3::from_shape_fn(SHAPE, |(i, j, k)| (100 * i + 10 * j + k) as f32), grid)
    }

    /// The label map of [`image`], each voxel with a class of its own.
    fn label() -> Volume<u8> {
        let (_, grid) = image().into_parts();
        Volume::new(Array3::from_shape_fn(SHAPE, |(i, j, k)| (20 * i + 4 * j + k) as u8), grid)
    }

    fn moved(label: Volume<u8>, by: f64) -> Volume<u8> {
        let (array, grid) = label.into_parts();
        let [x, y, z] = grid.origin();
        Volume::new(array, Geometry::new(grid.spacing(), [x + by, y, z], grid.direction()).unwrap())
    }

    #[test]
    fn a_label_map_in_another_order_of_axes_comes_onto_its_scan() {
        for code in ["LPS", "RAS", "LAS", "SAL", "PIR"] {
            let turned = label().reoriented(code.parse().unwrap()).unwrap();
            let (found, note) = onto_image(&image(), turned, true).unwrap();
            assert_eq!((found, note), (label(), None), "{code}");
        }
    }

    #[test]
    fn a_label_map_with_another_origin_keeps_its_directions_only() {
        let turned = moved(label().reoriented("RAS".parse().unwrap()).unwrap(), -180.0);
        let (found, note) = onto_image(&image(), turned, true).unwrap();
        assert_eq!(found, label());
        let note = note.unwrap();
        assert!(note.contains("RAS") && note.contains("180.00 mm beside"), "{note}");
        // What 32 bits lose is nothing.
        assert_eq!(onto_image(&image(), moved(label(), 0.009), true).unwrap(), (label(), None));
    }

    #[test]
    fn a_header_that_says_nothing_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("label.nii");
        write_label(&path, &label()).unwrap();
        assert!(is_placed(&path).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[252..256].fill(0); // qform_code and sform_code
        std::fs::write(&path, bytes).unwrap();
        assert!(!is_placed(&path).unwrap());
        let (found, note) = onto_image(&image(), tandem_volume::read_label(&path).unwrap(), false).unwrap();
        assert_eq!(found, label());
        assert!(note.unwrap().contains("slice k from the feet up"));
    }

    #[test]
    fn a_label_map_of_another_shape_is_refused() {
        let (_, grid) = image().into_parts();
        let other = Volume::new(Array3::<u8>::zeros([6, 5, 3]), grid);
        for is_placed in [true, false] {
            let error = onto_image(&image(), other.clone(), is_placed).unwrap_err().to_string();
            assert!(error.contains("[6, 5, 3]") && error.contains("[6, 5, 4]"), "{error}");
        }
    }

    #[test]
    fn a_label_map_on_anything_but_soft_tissue_is_doubted() {
        let (_, grid) = image().into_parts();
        let upper = |from: usize| {
            let label = Array3::from_shape_fn(SHAPE, |(i, ..)| u8::from(i >= from));
            Volume::new(label, grid.clone())
        };
        // Six planes of 0, 100, 200, 300, 400, 500 HU and a little more.
        let doubted = doubt(&image(), &upper(1)).unwrap();
        assert!(doubted.contains("only 21 %"), "{doubted}");
        let (darker, grid) = (image().into_parts().0.mapv(|hu| 0.3 * hu), grid.clone());
        assert_eq!(doubt(&Volume::new(darker, grid), &upper(0)), None);
    }
}
