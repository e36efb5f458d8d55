//! The program scores files and refuses what it cannot score.

use ndarray::Array3;
use std::path::{Path, PathBuf};
use std::process::Command;
use tandem_volume::{Geometry, Volume, write_label};

/// A label map of 0.5 x 0.5 x 2 mm: a box of class 1 that begins at `start` along k, and one voxel of class 2.
fn label_map(name: &str, start: usize, side: usize) -> PathBuf {
    let voxels = Array3::from_shape_fn((8, 8, side), |(i, j, k)| match (i, j, k) {
        (0, 0, 0) => 2,
        _ => u8::from((2..6).contains(&i) && (2..6).contains(&j) && (start..start + 4).contains(&k)),
    });
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    write_label(&path, &Volume::new(voxels, Geometry::with_spacing([0.5, 0.5, 2.0]).unwrap())).unwrap();
    path
}

fn score(prediction: &Path, reference: &Path) -> (bool, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tandem-downstream")).args([prediction, reference]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn two_files_are_scored_in_millimetres() {
    let (prediction, reference) =
        (label_map("prediction.nii.gz", 3, 10), label_map("reference.nii.gz", 2, 10));
    let (_, csv, error) = score(&prediction, &reference);
    // Of 4 planes 3 are shared, and the boxes' ends lie 2 mm apart.
    assert_eq!(
        csv, "class,metric,value,unit\n1,dice,0.75,\n1,hd95,2,mm\n2,dice,1,\n2,hd95,0,mm\n",
        "{error}"
    );
}

#[test]
fn another_grid_is_refused() {
    let (prediction, reference) = (label_map("short.nii.gz", 2, 9), label_map("long.nii.gz", 2, 10));
    let (success, _, error) = score(&prediction, &reference);
    assert!(!success && error.contains("different grids"), "{error}");
}
