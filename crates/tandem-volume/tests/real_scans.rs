//! The readers on real scans: files of other programs, other scanners and other orientations.
use tandem_reference::{largest_difference, reference};
use tandem_volume::{Geometry, Orientation, Volume, hdf5, read_image, read_label};

/// The world axis that a voxel axis runs along, and its sign.
fn runs_along(grid: &Geometry, axis: usize) -> (usize, f64) {
    let direction = grid.direction();
    let world = (0..3).find(|&row| direction[row][axis].abs() > 0.9).expect("the axes lie along the world's");
    (world, direction[world][axis].signum())
}

#[test]
fn one_head_in_eight_orientations_is_one_head() {
    let Some(shared) = reference("") else { return };
    let read = |name: &str| read_image(shared.join(format!("scans/orientations/{name}.nii.gz"))).unwrap();
    let reference = read("RAS");
    let lowest = reference.array().iter().copied().fold(f32::INFINITY, f32::min);
    assert!(reference.array().iter().any(|&value| value > lowest + 50.0), "a head, not an empty box");
    for name in ["ASL", "IRP", "LAS", "LPS", "PIR", "RPI", "SAL"] {
        let scan = read(name);
        // The name says where each axis runs to.
        for (axis, letter) in name.chars().enumerate() {
            let (world, sign) = "RAS".find(letter).map_or_else(
                || ("LPI".find(letter).expect("one of six letters"), -1.0),
                |world| (world, 1.0),
            );
            assert_eq!(runs_along(scan.geometry(), axis), (world, sign), "{name} axis {axis}");
            assert_eq!(scan.shape()[axis], reference.shape()[world], "{name} axis {axis}");
            let spacing = (scan.geometry().spacing()[axis], reference.geometry().spacing()[world]);
            assert!((spacing.0 - spacing.1).abs() < 1e-5, "{name} axis {axis}: {spacing:?}");
        }
        // Every voxel of the reference has its value in the same place of the patient.
        for ((i, j, k), &value) in reference.array().indexed_iter() {
            let position = reference.geometry().position([i as f64, j as f64, k as f64]);
            let index = scan.geometry().index(position);
            let there = index.map(f64::round);
            assert!((0..3).all(|axis| (index[axis] - there[axis]).abs() < 1e-3), "{name} {index:?}");
            assert_eq!(scan.array()[there.map(|x| x as usize)], value, "{name} {there:?}");
        }
    }
}

#[test]
fn one_head_in_eight_orientations_is_one_volume_in_ras() {
    let Some(shared) = reference("") else { return };
    let read = |name: &str| read_image(shared.join(format!("scans/orientations/{name}.nii.gz"))).unwrap();
    let reference = read("RAS");
    for name in ["ASL", "IRP", "LAS", "LPS", "PIR", "RPI", "SAL"] {
        let scan = read(name);
        assert_eq!(Orientation::of(scan.geometry()).to_string(), name);
        let turned = scan.reoriented(Orientation::RAS).unwrap();
        assert_eq!(turned.array(), reference.array(), "{name}");
        let shift = turned.geometry().corner_shift(reference.geometry(), reference.shape());
        assert!(shift < 0.01, "{name}: {shift} mm");
    }
}

#[test]
fn an_nrrd_brain_has_its_tumour_inside() {
    let Some(shared) = reference("") else { return };
    let image = read_image(shared.join("scans/nrrd/brain1_image.nrrd")).unwrap();
    let label = read_label(shared.join("scans/nrrd/brain1_label.nrrd")).unwrap();
    assert_eq!((image.shape(), label.shape()), ([256, 256, 25], [256, 256, 25]));
    assert!(image.geometry().same_grid(label.geometry(), image.shape()));
    let grid = image.geometry();
    for (found, expected) in grid.spacing().into_iter().zip([0.78125, 0.78125, 6.5]) {
        assert!((found - expected).abs() < 1e-9);
    }
    // The file says LPS with j flipped: i runs to the left, j to the front, k up.
    assert_eq!([0, 1, 2].map(|axis| runs_along(grid, axis)), [(0, -1.0), (1, 1.0), (2, 1.0)]);
    assert!((grid.origin()[0] - 99.609375).abs() < 1e-9 && (grid.origin()[1] + 99.609375).abs() < 1e-9);
    // The tumour enhances: it is brighter than the head as a whole, which is brighter than the scan.
    let mean = |volume: &Volume<f32>, inside: &dyn Fn(u8) -> bool| {
        let voxels = volume.array().iter().zip(label.array()).filter(|&(_, &l)| inside(l));
        let (sum, n) = voxels.fold((0.0, 0u32), |(sum, n), (&value, _)| (sum + f64::from(value), n + 1));
        assert!(n > 0);
        sum / f64::from(n)
    };
    assert!(mean(&image, &|l| l > 0) > 2.0 * mean(&image, &|l| l == 0));
}

#[test]
fn a_ct_with_41_classes_is_read_in_hounsfield_units() {
    let Some(shared) = reference("") else { return };
    let ct = read_image(shared.join("scans/ct/ct.nii.gz")).unwrap();
    let label = read_label(shared.join("scans/ct/segmentation.nii.gz")).unwrap(); // with a long header extension
    assert_eq!((ct.shape(), label.shape()), ([122, 101, 30], [122, 101, 30]));
    assert!(ct.geometry().same_grid(label.geometry(), ct.shape()));
    let lowest = ct.array().iter().copied().fold(f32::INFINITY, f32::min);
    assert!((-1100.0..=-900.0).contains(&lowest), "air has about -1000 HU, not {lowest}");
    let mut present = [false; 256];
    label.array().iter().for_each(|&value| present[usize::from(value)] = true);
    assert!(present.iter().filter(|&&there| there).count() >= 41);
}

#[test]
fn the_benchmarks_hdf5_files_hold_the_same_scans_as_the_nifti_files() {
    let Some(shared) = reference("") else { return };
    for id in ["06SR5RBREL16DQ6M8LWS", "0RZDK210BSMWAA6467LU"] {
        let (image, label) = hdf5::read_subject(shared.join(format!("la-h5/{id}/mri_norm2.h5"))).unwrap();
        let nifti = read_image(shared.join(format!("la/images/{id}.nii.gz"))).unwrap();
        assert_eq!(nifti.geometry().spacing(), [0.625; 3]);
        assert_eq!(image.shape(), nifti.shape());
        let largest = largest_difference(image.as_slice().unwrap(), nifti.array().as_slice().unwrap());
        assert!(largest < 1e-6, "{id}: {largest}");
        let drawn = read_label(shared.join(format!("la/labels/{id}.nii.gz"))).unwrap();
        assert_eq!(label.as_ref(), Some(drawn.array()), "{id}");
    }
}
