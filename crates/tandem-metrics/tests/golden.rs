//! Every metric beside the values of medpy, surface-distance and MONAI.

use ndarray::Array3;
use safetensors::SafeTensors;
use std::path::Path;
use tandem_metrics::{Asd, Comparison, Metric, Nsd, Score, metrics};
use tandem_reference::reference;

/// Both sides are computed in f64.
const TOLERANCE: f64 = 1e-9;
/// MONAI's distances are f32.
const F32: f64 = 1e-6;

#[test]
fn committed_cases_equal_medpy_surface_distance_and_monai() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases = cases(&file);
    assert_eq!(cases.len(), 10);
    for case in &cases {
        let spacing = [0, 1, 2].map(|axis| values(&file, &format!("{case}/spacing"))[axis]);
        let comparison = compared(&file, case, spacing);
        let [near, far] = [1.0, 2.5].map(|tolerance| Nsd::new(tolerance).unwrap());
        for metric in metrics(&near).into_iter().chain([&far as &dyn Metric]) {
            let name = format!("{case}/{}", metric.name());
            let tolerance = if metric.name() == "hd95_max" { F32 } else { TOLERANCE };
            assert_close(metric.measure(&comparison), values(&file, &name)[0], tolerance, &name);
        }
    }
}

#[test]
fn all_reference_cases_equal_medpy() {
    const SPACINGS: [(&str, [f64; 3]); 3] =
        [("iso1", [1.0; 3]), ("iso0.625", [0.625; 3]), ("aniso", [0.8, 0.8, 2.5])];
    let Some(path) = reference("golden/metrics.safetensors") else { return };
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases = cases(&file);
    assert_eq!(cases.len(), 8);
    let nsd = Nsd::new(1.0).unwrap();
    for case in &cases {
        for (tag, spacing) in SPACINGS {
            let comparison = compared(&file, case, spacing);
            for metric in metrics(&nsd) {
                let name = match metric.name().as_ref() {
                    ratio @ ("dice" | "jaccard") => format!("{case}/{ratio}"),
                    distance @ ("hd95" | "hd" | "asd" | "assd") => format!("{case}/{tag}/{distance}"),
                    _ => continue,
                };
                assert_close(metric.measure(&comparison), values(&file, &name)[0], TOLERANCE, &name);
            }
            let (prediction, truth) =
                (mask(&file, &format!("{case}/gt")), mask(&file, &format!("{case}/pred")));
            let exchanged = Comparison::new(prediction.view(), truth.view(), spacing).unwrap();
            let name = format!("{case}/{tag}/asd_gt_to_pred");
            assert_close(Asd.measure(&exchanged), values(&file, &name)[0], TOLERANCE, &name);
        }
    }
}

fn cases(file: &SafeTensors) -> Vec<String> {
    file.names().iter().filter_map(|name| name.strip_suffix("/pred")).map(String::from).collect()
}

fn compared(file: &SafeTensors, case: &str, spacing: [f64; 3]) -> Comparison {
    let (prediction, truth) = (mask(file, &format!("{case}/pred")), mask(file, &format!("{case}/gt")));
    Comparison::new(prediction.view(), truth.view(), spacing).unwrap()
}

fn mask(file: &SafeTensors, name: &str) -> Array3<bool> {
    let tensor = file.tensor(name).unwrap();
    let shape: [usize; 3] = tensor.shape().try_into().unwrap();
    Array3::from_shape_vec(shape, tensor.data().iter().map(|&voxel| voxel != 0).collect()).unwrap()
}

fn values(file: &SafeTensors, name: &str) -> Vec<f64> {
    let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    tensor.data().chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn assert_close(score: Score, expected: f64, tolerance: f64, name: &str) {
    let value = score.value().unwrap();
    assert!(
        (value - expected).abs() <= tolerance * expected.abs(),
        "{name}: {value}, the peer says {expected}"
    );
}
