//! The networks with several heads against PyTorch in f64: every output, running statistics and every gradient.
//!
//! Weights and scans are the formula of `tests/peers/golden_networks.py`, which says what the file holds.

use candle_core::{DType, Device, Result, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tandem_networks::{Kind, NetworkConfig, Output, Parameters, Pass, Precision, Segmenter, build};
use tandem_reference::{largest_difference, relative_error};

const SIDES: [usize; 3] = [32, 16, 48];

/// Values in [-1, 1) without a pattern.
fn spread(count: usize, key: usize) -> Vec<f64> {
    let value = |index: usize| {
        let x = (index as f64 * 12.9898 + key as f64 * 78.233).sin() * 43758.5453;
        2.0 * (x - x.floor()) - 1.0
    };
    (0..count).map(value).collect()
}

fn scans() -> Tensor {
    let values: Vec<f32> =
        spread(2 * 2 * SIDES.iter().product::<usize>(), 1000).into_iter().map(|v| v as f32).collect();
    Tensor::from_vec(values, (2, 2, SIDES[0], SIDES[1], SIDES[2]), &Device::Cpu).unwrap()
}

fn network(
    architecture: &str,
    precision: Precision,
    device: &tandem_networks::Device,
) -> (Box<dyn Segmenter>, Parameters) {
    let config = NetworkConfig { in_channels: 2, num_classes: 3, filters: 2, dropout: 0.0, precision };
    let (network, parameters) = build(architecture, &config, 1, device).unwrap();
    let values: BTreeMap<String, Tensor> = parameters
        .iter()
        .enumerate()
        .map(|(key, (name, parameter))| {
            let count: usize = parameter.dims.iter().product();
            let (centre, width) = match parameter.dims[..] {
                [first, _, _, _, _] => (0.0, 2.0 / ((count / first) as f64).sqrt()),
                // Most values stay away from 0, where rounding opens or closes a ReLU.
                _ if name.ends_with("bias") => (2.5, 0.2),
                _ if name.ends_with("running_var") || name.ends_with("weight") => (1.0, 0.2),
                _ => (0.0, 0.2),
            };
            let values: Vec<f32> = spread(count, key).iter().map(|v| (centre + width * v) as f32).collect();
            (name.to_owned(), Tensor::from_vec(values, parameter.dims.clone(), &Device::Cpu).unwrap())
        })
        .collect();
    parameters.load(&values).unwrap();
    (network, parameters)
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn outputs(output: &Output) -> BTreeMap<&str, Tensor> {
    let extra = output.extra.iter().map(|(name, made)| (name.as_str(), made.clone()));
    extra.chain([("logits", output.logits.get().unwrap())]).collect()
}

/// A weighted mean square of all outputs.
fn loss(output: &Output) -> Result<Tensor> {
    let mut total = Tensor::zeros((), DType::F32, &Device::Cpu)?;
    for (key, made) in outputs(output).into_values().enumerate() {
        let made = made.flatten_all()?;
        let weights =
            spread(made.elem_count(), 100 + key).iter().map(|v| (1.5 + v) as f32).collect::<Vec<_>>();
        let weights = Tensor::from_vec(weights, made.dims(), &Device::Cpu)?;
        total = (total + (made.sqr()? * weights)?.mean_all()?)?;
    }
    Ok(total)
}

/// Two projections and the length of each gradient, in the order of the names.
fn gradients(output: &Output, parameters: &Parameters) -> Vec<[f64; 3]> {
    loss(output).unwrap().backward().unwrap();
    let along = |gradient: Tensor| {
        let gradient = numbers(&gradient);
        let dot = |other: &[f64]| gradient.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
        let [a, b] = [0, 1].map(|key| dot(&spread(gradient.len(), 500 + key)));
        [a, b, dot(&gradient).sqrt()]
    };
    parameters.take_gradient().unwrap().unwrap().into_values().map(along).collect()
}

/// Biases before a batch normalisation in training have a gradient of exactly zero in theory: what both have there is rounding
/// noise, which is held to the longest gradient of the network.
fn check_gradients(ours: &[[f64; 3]], expected: &[f64], what: &str) {
    let expected = expected.as_chunks::<3>().0;
    assert_eq!(ours.len(), expected.len());
    let longest = expected.iter().fold(0.0f64, |m, [_, _, length]| m.max(*length));
    let mut compared = 0;
    for (index, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        let length = if expected[2] < 1e-9 * longest { 0.1 * longest } else { expected[2] };
        compared += usize::from(length == expected[2]);
        let off = largest_difference(ours, expected) / length;
        assert!(off < 1e-4, "{what}: gradient {index} is off by {off:e}");
    }
    assert!(compared > ours.len() / 2, "only {compared} gradients were compared");
}

#[test]
fn outputs_gradients_and_statistics_are_pytorchs() {
    let (devices, missing) = tandem_networks::Device::all();
    missing.iter().for_each(|missing| eprintln!("SKIPPED on a device: {missing}"));
    devices.iter().for_each(are_pytorchs_on);
}

fn are_pytorchs_on(device: &tandem_networks::Device) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/heads.safetensors");
    let file: HashMap<String, Tensor> = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    for architecture in ["vnet-dtc", "vnet-mcnet", "vnet-urpc"] {
        let (net, parameters) = network(architecture, Precision::F32, device);
        for (mode, pass) in [("eval", Pass::Evaluate), ("train", Pass::Train { dropout: 0 })] {
            let of = |name: &str| numbers(&file[&format!("{architecture}/{mode}/{name}")]);
            let output = net.forward(&scans(), pass).unwrap();
            for (name, made) in outputs(&output) {
                let ours: Vec<f64> = numbers(&made).into_iter().step_by(211).collect();
                let error = relative_error(&ours, &of(name));
                assert!(error < 1e-5, "{architecture}, {mode}: {name} is off by {error:e}");
            }
            let kept = outputs(&output).len() + 2;
            let prefix = format!("{architecture}/{mode}/");
            assert_eq!(file.keys().filter(|name| name.starts_with(&prefix)).count(), kept, "{architecture}");
            assert!(relative_error(&numbers(&loss(&output).unwrap()), &of("loss")) < 1e-5);
            check_gradients(&gradients(&output, &parameters), &of("gradients"), &prefix);
        }
        let statistics: Vec<f64> = parameters
            .iter()
            .filter(|(_, p)| p.kind == Kind::Statistic)
            .flat_map(|(name, _)| numbers(&parameters.get(name).unwrap().unwrap()))
            .collect();
        assert!(relative_error(&statistics, &numbers(&file[&format!("{architecture}/statistics")])) < 1e-5);
    }
}

#[test]
fn bf16_says_nearly_the_same_and_inference_the_logits_alone() {
    for architecture in ["vnet-dtc", "vnet-mcnet", "vnet-urpc"] {
        let cpu = tandem_networks::Device::Cpu;
        let run = |precision, pass| network(architecture, precision, &cpu).0.forward(&scans(), pass).unwrap();
        let [full, half] = [Precision::F32, Precision::Bf16].map(|p| run(p, Pass::Evaluate));
        let length = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
        for (name, made) in outputs(&full) {
            let (ours, expected) = (numbers(&outputs(&half)[name]), numbers(&made));
            let difference: Vec<f64> = ours.iter().zip(&expected).map(|(a, b)| a - b).collect();
            let off = length(&difference) / length(&expected);
            // Some twenty layers of roundings to eight bits.
            assert!(off < 0.1, "{architecture}: {name} is off by {off}");
        }
        let lean = run(Precision::F32, Pass::Infer);
        assert!(lean.extra.is_empty());
        let [lean, full] = [&lean, &full].map(|output| numbers(&output.logits.get().unwrap()));
        assert_eq!(largest_difference(&lean, &full), 0.0);
    }
}
