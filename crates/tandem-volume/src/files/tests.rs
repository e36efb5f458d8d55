use ndarray::Array3;

use super::*;
use crate::Geometry;

fn image() -> Volume<f32> {
    let array = Array3::from_shape_fn([6, 5, 4], |(i, j, k)| (i * j * k) as f32 * 0.3 - 1.0);
    Volume::new(array, Geometry::with_spacing([0.5, 0.75, 2.0]).unwrap())
}

#[test]
fn scans_and_label_maps_make_the_round_trip_plain_and_gzipped() {
    let dir = tempfile::tempdir().unwrap();
    let label = Volume::new(image().array().mapv(|value| value as u8), image().geometry().clone());
    for ending in ["nii", "nii.gz", "NII.GZ", "nrrd"] {
        let path = dir.path().join(format!("case.{ending}"));
        write_image(&path, &image()).unwrap();
        assert_eq!(read_image(&path).unwrap(), image());
        write_label(&path, &label).unwrap();
        assert_eq!(read_label(&path).unwrap(), label);
        let packed = std::fs::read(&path).unwrap().starts_with(&[0x1f, 0x8b]);
        assert_eq!(packed, ending.to_lowercase().ends_with("nii.gz"));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "nothing is left aside");
}

#[test]
fn a_scan_is_no_label_map() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scan.nii.gz");
    write_image(&path, &image()).unwrap();
    let message = read_label(&path).unwrap_err().to_string();
    assert!(message.contains("scan.nii.gz: voxel [0, 0, 0] has the value -1"), "{message}");
}

#[test]
fn a_damaged_gzip_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scan.nii.gz");
    write_image(&path, &image()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let message = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        read_image(&path).unwrap_err().to_string()
    };
    for length in [5, 30, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
        let message = message(&whole[..length]);
        assert!(message.contains("scan.nii.gz: the packed file is cut short"), "{length}: {message}");
    }
    let mut flipped = whole.clone();
    *flipped.iter_mut().rev().nth(5).unwrap() ^= 1; // the checksum
    assert!(message(&flipped).contains("the packed file is damaged"));
}

#[test]
fn names_and_missing_files_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let error = |name: &str| read_image(dir.path().join(name)).unwrap_err().to_string();
    assert!(error("scan.png").contains("scan.png: No such file"));
    std::fs::write(dir.path().join("scan.png"), "").unwrap();
    assert!(error("scan.png").contains("ends in none of .nii, .nii.gz, "));
    assert!(error("none.nii").contains("none.nii: No such file"));
    let refused = write_image(dir.path().join("scan.mha"), &image()).unwrap_err().to_string();
    assert!(refused.contains("written as .nii, .nii.gz or .nrrd"), "{refused}");
}

#[test]
fn a_folder_is_a_series_or_says_how_to_read_one() {
    let dir = tempfile::tempdir().unwrap();
    let message = read_image(dir.path()).unwrap_err().to_string();
    let expected = if cfg!(feature = "dicom") {
        "no file in this folder is a DICOM image"
    } else {
        "the feature `dicom`"
    };
    assert!(message.contains(expected), "{message}");
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken.nii");
    std::fs::create_dir(&path).unwrap(); // a folder cannot be replaced by a file
    assert!(write_image(&path, &image()).unwrap_err().to_string().contains("taken.nii"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn nrrd_keeps_the_geometry_to_the_last_bits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("oblique.nrrd");
    let (s, c) = 0.3f64.sin_cos();
    let direction = [[c, 0.0, -s], [s, 0.0, c], [0.0, -1.0, 0.0]];
    let grid = Geometry::new([0.7, 0.1 + 0.2, 1.0 / 3.0], [-91.1, 1e-7, 1234.5678901], direction).unwrap();
    write_image(&path, &Volume::new(image().array().clone(), grid.clone())).unwrap();
    let again = read_image(&path).unwrap();
    for (found, expected) in again.geometry().affine().iter().flatten().zip(grid.affine().iter().flatten()) {
        assert!((found - expected).abs() <= 4.0 * f64::EPSILON * expected.abs(), "{found} {expected}");
    }
    assert_eq!(again.geometry().origin(), grid.origin());
    assert_eq!(again.array(), image().array());
}

#[test]
fn files_are_joined_to_channels_of_one_grid() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["a_0000.nii.gz", "a_0001.nrrd"].map(|name| dir.path().join(name));
    let second = Volume::new(image().array() + 1.0, image().geometry().clone());
    write_image(&paths[0], &image()).unwrap();
    write_image(&paths[1], &second).unwrap();
    assert_eq!(read_channels(&paths).unwrap().channels(), [image(), second.clone()]);
    assert_eq!(read_channels(&paths[..1]).unwrap(), image().into());
    // A file of both channels, and a third one behind it.
    let both = dir.path().join("both.nii");
    std::fs::write(&both, nifti::encode(&[image(), second.clone()], &both).unwrap()).unwrap();
    assert_eq!(read_channels(&[&both, &paths[1]]).unwrap().channels(), [image(), second.clone(), second]);
    assert!(read_image(&both).unwrap_err().to_string().contains("both.nii: the file holds 2 channels"));

    let moved = Volume::new(image().into_parts().0, Geometry::with_spacing([0.5, 0.75, 2.1]).unwrap());
    write_image(&paths[1], &moved).unwrap();
    let apart = read_channels(&paths).unwrap_err().to_string();
    assert!(apart.contains("a_0001.nrrd: channel 1 and the image") && apart.contains("0.300 mm"), "{apart}");
    assert!(read_channels::<&Path>(&[]).is_err());
}
