//! The sliding window with a V-Net beside PyTorch's scores.

use candle_core::{DType, Device, Tensor, safetensors};
use ndarray::{Array3, Array4};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use tandem_inference::{SlidingWindow, label_map, predict};
use tandem_networks::{NetworkConfig, build};
use tandem_reference::{largest_difference, reference};

/// The reference ran in f64, we run the network in f32; scores are probabilities.
const TOLERANCE: f32 = 1e-5;

#[test]
fn scores_and_labels_equal_pytorch() {
    let Some(file) = reference("golden/sliding_window.safetensors") else { return };
    let device = Device::Cpu;
    let file = safetensors::load(file, &device).unwrap();
    let config = NetworkConfig { filters: 2, ..Default::default() };
    let (network, parameters) = build("vnet", &config, 0, &tandem_networks::Device::Cpu).unwrap();
    let weights =
        file.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("net/")?.into(), tensor.clone())));
    parameters.load(&weights.collect::<BTreeMap<_, _>>()).unwrap();

    for case in ["exact_and_ragged", "padded"] {
        let tensor = |name: &str| &file[&format!("{case}/{name}")];
        let image = Array3::from_shape_vec(shape::<3>(tensor("image")), values(tensor("image"))).unwrap();
        let window = SlidingWindow { patch: [16; 3], stride: [6, 6, 4], batch: 5, mirror: false };
        let scores =
            predict(&[network.as_ref()], &[&image], &window, &device, &mut |_, _| ControlFlow::Continue(()))
                .unwrap();
        let expected = Array4::from_shape_vec(shape::<4>(tensor("score")), values(tensor("score"))).unwrap();
        assert_eq!(scores[0].dim(), expected.dim());
        let error = largest_difference(scores[0].as_slice().unwrap(), expected.as_slice().unwrap());
        assert!(error < f64::from(TOLERANCE), "{case}: {error}");

        let labels = label_map(&scores[0]);
        let expected_labels = values(tensor("label"));
        // Where both classes are equally likely to rounding, either label is right.
        let clear = |at: usize| (expected.as_slice().unwrap()[at] - 0.5).abs() > TOLERANCE;
        let wrong = labels
            .iter()
            .zip(expected_labels)
            .enumerate()
            .filter(|(at, (a, b))| f32::from(**a) != *b && clear(*at));
        assert_eq!(wrong.count(), 0, "{case}");
    }
}

fn shape<const N: usize>(tensor: &Tensor) -> [usize; N] {
    tensor.dims().try_into().unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}
