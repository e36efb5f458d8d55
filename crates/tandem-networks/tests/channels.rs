//! Scans of several channels: the first convolution of both networks, forwards and backwards.

use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use tandem_networks::{NetworkConfig, Pass, build};
use tandem_reference::relative_error;

/// What each channel holds, as a multiple of one image.
const FACTORS: [f32; 4] = [1.0, 2.0, -1.0, 0.5];

/// Largest difference, relative to the largest expected value.
fn error(ours: &Tensor, expected: &Tensor) -> f64 {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    relative_error(&flat(ours), &flat(expected))
}

/// Logits of three classes and the gradient of every weight, of a loss on the logits.
fn run(
    architecture: &str,
    channels: usize,
    values: impl Fn(&str, Tensor) -> Tensor,
    image: &Tensor,
) -> (Tensor, BTreeMap<String, Tensor>) {
    let config = NetworkConfig { in_channels: channels, num_classes: 3, filters: 4, ..Default::default() };
    let (network, parameters) = build(architecture, &config, 1, &tandem_networks::Device::Cpu).unwrap();
    let tensors = parameters.tensors().unwrap();
    parameters
        .load(&tensors.into_iter().map(|(name, tensor)| (name.clone(), values(&name, tensor))).collect())
        .unwrap();
    let logits = network.forward(image, Pass::Evaluate).unwrap().logits.get().unwrap();
    logits.sqr().unwrap().mean_all().unwrap().backward().unwrap();
    (logits, parameters.take_gradient().unwrap().unwrap())
}

/// Where every channel is a multiple of one image and the stem's weights undo it, several channels say what one says.
#[test]
fn several_channels_are_the_sum_of_their_parts() {
    let voxels = (0..16 * 16 * 16).map(|at| ((at * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    let image = Tensor::from_vec::<_, f32>(voxels, (1, 1, 16, 16, 16), &Device::Cpu).unwrap();
    for (architecture, stem) in
        [("vnet", "block_one.conv.0.weight"), ("resnet34", "resnet_encoder.conv1.weight")]
    {
        let drawn = std::cell::RefCell::new(BTreeMap::new());
        let keep = |name: &str, tensor: Tensor| {
            drawn.borrow_mut().insert(name.to_owned(), tensor.copy().unwrap());
            tensor.copy().unwrap()
        };
        let (expected, of_one) = run(architecture, 1, keep, &image);
        let drawn = drawn.into_inner();
        for channels in 2..=4 {
            let factors = &FACTORS[..channels];
            let parts = |factors: &[f64], whole: &Tensor| {
                let parts: Vec<_> = factors.iter().map(|factor| (whole * *factor).unwrap()).collect();
                Tensor::cat(&parts, 1).unwrap()
            };
            let forwards: Vec<f64> = factors.iter().map(|factor| f64::from(*factor)).collect();
            let undoing: Vec<f64> = forwards.iter().map(|factor| 1.0 / factor / channels as f64).collect();
            let values = |name: &str, _: Tensor| match name == stem {
                true => parts(&undoing, &drawn[name]),
                false => drawn[name].clone(),
            };
            let (logits, gradients) = run(architecture, channels, values, &parts(&forwards, &image));
            assert_eq!((logits.dims(), logits.dtype()), (&[1, 3, 16, 16, 16][..], DType::F32));
            assert!(
                error(&logits, &expected) < 1e-4,
                "{architecture} {channels}: {}",
                error(&logits, &expected)
            );
            for (name, gradient) in &gradients {
                let one = if name == stem { parts(&forwards, &of_one[name]) } else { of_one[name].clone() };
                let error = error(gradient, &one);
                assert!(error < 1e-3, "{architecture} {channels} {name}: {error}");
            }
        }
    }
}
