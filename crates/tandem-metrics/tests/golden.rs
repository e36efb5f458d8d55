//! Every metric beside medpy's value.

use ndarray::{Array3, ArrayView3};
use safetensors::SafeTensors;
use std::path::Path;
use tandem_metrics::{METRICS, Score, evaluate_pair};
use tandem_reference::reference;

/// Both sides are computed in f64.
const TOLERANCE: f64 = 1e-6;
const SPACINGS: [(&str, [f64; 3]); 3] =
    [("iso1", [1.0; 3]), ("iso0.625", [0.625; 3]), ("aniso", [0.8, 0.8, 2.5])];

#[test]
fn committed_cases_equal_medpy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics.safetensors");
    assert_eq!(check_file(&path), 3);
}

#[test]
fn all_reference_cases_equal_medpy() {
    let Some(file) = reference("golden/metrics.safetensors") else { return };
    assert_eq!(check_file(&file), 8);
}

/// Compares all metrics of all cases of a file; returns the number of cases.
fn check_file(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases: Vec<String> =
        file.names().iter().filter_map(|name| name.strip_suffix("/pred")).map(String::from).collect();
    for case in &cases {
        let (prediction, reference) =
            (mask(&file, &format!("{case}/pred")), mask(&file, &format!("{case}/gt")));
        for (tag, spacing) in SPACINGS {
            let scores = evaluate_pair(prediction.view(), reference.view(), spacing).unwrap();
            for (metric, score) in METRICS.iter().zip(scores) {
                let name = match metric.unit() {
                    "" => format!("{case}/{}", metric.name()),
                    _ => format!("{case}/{tag}/{}", metric.name()),
                };
                assert_close(score, scalar(&file, &name), &name);
            }
            let swapped = average_distance(reference.view(), prediction.view(), spacing);
            let name = format!("{case}/{tag}/asd_gt_to_pred");
            assert_close(swapped, scalar(&file, &name), &name);
        }
    }
    cases.len()
}

fn average_distance(from: ArrayView3<bool>, to: ArrayView3<bool>, spacing: [f64; 3]) -> Score {
    let index = METRICS.iter().position(|metric| metric.name() == "asd").unwrap();
    evaluate_pair(from, to, spacing).unwrap()[index]
}

fn mask(file: &SafeTensors, name: &str) -> Array3<bool> {
    let tensor = file.tensor(name).unwrap();
    let shape: [usize; 3] = tensor.shape().try_into().unwrap();
    Array3::from_shape_vec(shape, tensor.data().iter().map(|&voxel| voxel != 0).collect()).unwrap()
}

fn scalar(file: &SafeTensors, name: &str) -> f64 {
    f64::from_le_bytes(file.tensor(name).unwrap().data().try_into().unwrap())
}

fn assert_close(score: Score, expected: f64, name: &str) {
    let value = score.value().unwrap();
    assert!((value - expected).abs() <= TOLERANCE * expected.abs(), "{name}: {value}, medpy says {expected}");
}
