//! The readers on files of other writers: NIfTI by nibabel, NRRD and MetaImage by ITK and pynrrd. What these find in them
//! is in `golden/peers/expected.json`, which `tests/peers/volume_fixtures.py` makes; scans of two channels are made by
//! `tests/peers/channel_fixtures.py`.
use std::path::Path;

use serde_json::Value;
use tandem_volume::{Geometry, inspect, read_channels};

/// Every number in a JSON value, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().expect("a number")],
    }
}

fn check_close(found: &[f64], expected: &Value, what: &str) {
    let expected = numbers(expected);
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        // Both sides read the same numbers; only the arithmetic behind them differs.
        assert!((found - expected).abs() < 1e-12 * expected.abs().max(1.0), "{what}: {found} {expected}");
    }
}

#[test]
fn other_writers_files_hold_what_their_readers_find() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/peers");
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: serde_json::Map<String, Value> = serde_json::from_str(&expected).unwrap();
    assert!(expected.len() >= 13, "{}", expected.len());
    for (name, expected) in expected {
        let found = inspect(folder.join(&name)).unwrap();
        let grid = found.grid.unwrap();
        assert_eq!(Value::from(found.shape.to_vec()), expected["shape"], "{name}");
        assert_eq!(Value::from(grid.orientation.to_string()), expected["orientation"], "{name}");
        check_close(&grid.spacing, &expected["spacing"], &format!("{name}: spacing"));
        check_close(&grid.affine.concat(), &expected["affine"], &format!("{name}: affine"));
        check_close(&[found.voxels.sum], &expected["sum"], &format!("{name}: sum"));
        assert!(found.mended.is_empty(), "{name}: {:?}", found.mended);
    }
}

#[test]
fn channels_of_other_writers_are_told_apart() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/channels");
    let grid = Geometry::with_spacing([0.5, 1.0, 2.0]).unwrap().starting_at([2.0, 2.0, 1.5]).unwrap();
    let names = [
        "nibabel_fourth.nii.gz",
        "itk_fifth.nii.gz",
        "itk_vector.nrrd",
        "itk_vector.mha",
        "pynrrd_list.nrrd",
    ];
    for name in names {
        let image = read_channels(&[folder.join(name)]).unwrap();
        assert_eq!((image.channels().len(), image.shape()), (2, [5, 4, 3]), "{name}");
        // ITK stores what it turned from one world to the other.
        let turned = image.map(|channel| channel.reoriented("RAS".parse()?)).unwrap();
        assert!(turned.geometry().corner_shift(&grid, [5, 4, 3]) < 1e-6, "{name}: {:?}", turned.geometry());
        for (c, channel) in turned.channels().iter().enumerate() {
            for ((i, j, k), &value) in channel.array().indexed_iter() {
                assert_eq!(value, (1000 * c + 100 * k + 10 * j + i) as f32, "{name} channel {c}");
            }
        }
        assert_eq!(inspect(folder.join(name)).unwrap().channels, 2, "{name}");
    }
}
