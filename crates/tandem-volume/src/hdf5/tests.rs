use std::path::PathBuf;

use super::*;

/// A file that `tests/golden/hdf5.py` made.
fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn expected_image() -> Array3<f32> {
    Array3::from_shape_fn([5, 4, 3], |(i, j, k)| (i + 10 * j + 100 * k) as f32 / 8.0)
}

#[test]
fn image_and_label_are_read_in_the_files_order() {
    let (image, label) = read_subject(golden("la.h5")).unwrap();
    assert_eq!(image, expected_image());
    assert_eq!(label.unwrap(), Array3::from_shape_fn([5, 4, 3], |(i, j, k)| ((i + j + k) % 2) as u8));
}

#[test]
fn a_missing_label_is_an_unlabelled_subject() {
    let (image, label) = read_subject(golden("unlabelled.h5")).unwrap(); // big-endian i16
    assert_eq!(image, expected_image() * 8.0);
    assert!(label.is_none());
}

#[test]
fn every_layout_of_h5py_holds_the_same_voxels() {
    for name in ["contiguous.h5", "shuffled.h5"] {
        assert_eq!(read_subject(golden(name)).unwrap(), read_subject(golden("la.h5")).unwrap(), "{name}");
    }
}

#[test]
fn the_product_of_the_sides_is_checked_before_memory_is_taken() {
    let message = read_subject(golden("inflated.h5")).unwrap_err().to_string();
    assert!(message.contains("more memory than the limit"), "{message}");
    let message = read_subject(golden("empty_chunks.h5")).unwrap_err().to_string();
    assert!(message.contains("more than the file can hold"), "{message}");
    // 60 voxels, each 8 bytes in f64 and 4 in f32.
    assert!(read(&golden("shuffled.h5"), Budget(60 * 12)).is_err(), "the file is larger than that");
    let bytes = std::fs::read(golden("shuffled.h5")).unwrap();
    assert!(parse(bytes.clone(), Path::new("x.h5"), Budget(60 * 12)).is_ok());
    assert!(parse(bytes, Path::new("x.h5"), Budget(60 * 12 - 1)).is_err());
}

#[test]
fn what_is_no_subject_is_explained() {
    for (name, expected) in [
        ("wrong_label.h5", "voxel [0, 0, 1] has the value 0.5"),
        ("other_shape.h5", "`image` has shape [5, 4, 3], but `label` has [4, 4, 3]"),
        ("flat.h5", "the dataset `image` has shape [4, 3]"),
        ("no_image.h5", "the dataset `image` is missing; the file has [\"scan\"]"),
        ("hdf5.py", "the HDF5 file cannot be read"),
        ("none.h5", "none.h5: No such file"),
    ] {
        let message = read_subject(golden(name)).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(expected), "{message} lacks {expected:?}");
    }
}

/// Both grids as values.
fn voxels(bytes: Vec<u8>) -> Result<(Array3<f64>, Option<Array3<f64>>)> {
    let (image, label) = parse(bytes, Path::new("damaged.h5"), Budget::default())?;
    Ok((image.values, label.map(|label| label.values)))
}

#[test]
fn no_damaged_byte_ends_the_program() {
    let whole = std::fs::read(golden("la.h5")).unwrap();
    let sound = voxels(whole.clone()).unwrap();
    let mut refused = 0;
    for position in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[position] = !damaged[position];
        refused += u32::from(voxels(damaged).is_err());
    }
    assert!(refused > 100, "{refused}");
    for length in (0..whole.len()).step_by(97) {
        // The file ends in space that nothing uses.
        assert!(voxels(whole[..length].to_vec()).map_or(true, |found| found == sound), "{length}");
    }
}
