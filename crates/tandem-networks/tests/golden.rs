//! V-Net and ResNet-34 against PyTorch in f64: outputs, running statistics and every gradient.

use candle_core::{D, DType, Device, Result, Tensor};
use std::collections::BTreeMap;
use tandem_networks::{Kind, NetworkConfig, Output, Parameters, Pass, Segmenter, build};
use tandem_reference::relative_error;

type Tensors = BTreeMap<String, Tensor>;

/// The reference numbers of that name, where they are at hand.
fn reference(name: &str) -> Option<Tensors> {
    let path = tandem_reference::reference(&format!("golden/{name}"))?;
    Some(candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect())
}

/// Largest difference, relative to the largest expected value.
fn error(ours: &Tensor, expected: &Tensor) -> f64 {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
    relative_error(&flat(ours), &flat(expected))
}

fn under(tensors: &Tensors, prefix: &str) -> Tensors {
    tensors.iter().filter_map(|(k, v)| Some((k.strip_prefix(prefix)?.to_owned(), v.clone()))).collect()
}

/// Cross-entropy plus squared-denominator Dice, in candle's own operations: this crate does not know the losses' crate.
fn loss(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let target = labels.to_dtype(DType::F32)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?)?;
    let log_p = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(1)?.log()?)?;
    let (background, foreground) = (log_p.narrow(1, 0, 1)?.squeeze(1)?, log_p.narrow(1, 1, 1)?.squeeze(1)?);
    let ce = ((&target * &foreground)? + (target.affine(-1.0, 1.0)? * background)?)?.mean_all()?.neg()?;
    let p = foreground.exp()?;
    let overlap = ((&p * &target)?.sum_all()? * 2.0)?;
    let dice = ((overlap + 1e-5)? / ((p.sqr()?.sum_all()? + target.sum_all()?)? + 1e-5)?)?;
    ce + dice.affine(-1.0, 1.0)?
}

fn network(
    architecture: &str,
    filters: usize,
    tensors: &Tensors,
    device: &tandem_networks::Device,
) -> (Box<dyn Segmenter>, Parameters) {
    let config = NetworkConfig { filters, dropout: 0.0, ..Default::default() };
    let (network, parameters) = build(architecture, &config, 1, device).unwrap();
    parameters.load(&under(tensors, "param/")).unwrap();
    (network, parameters)
}

/// The gradient of every weight. Biases before a batch normalisation in training have a gradient of exactly zero in
/// theory: there both numbers are rounding noise, and are held to the noise of the largest gradient of the network.
fn check_gradients(output: &Output, labels: &Tensor, parameters: &Parameters, expected: &Tensors) {
    loss(&output.logits.get().unwrap(), labels).unwrap().backward().unwrap();
    let largest = |t: &Tensor| {
        t.abs().unwrap().flatten_all().unwrap().max(D::Minus1).unwrap().to_scalar::<f32>().unwrap()
    };
    let scale = expected.values().map(largest).fold(0.0, f32::max);
    let gradients = parameters.take_gradient().unwrap().unwrap();
    let mut compared = 0;
    for (name, ours) in &gradients {
        let expected = &expected[name];
        if largest(expected) < 1e-10 * scale {
            assert!(largest(ours) < 1e-5 * scale, "{name}: {}", largest(ours));
        } else {
            let error = error(ours, expected);
            assert!(error < 1e-4, "{name}: gradient off by {error:e}");
            compared += 1;
        }
    }
    assert!(compared > gradients.len() / 2, "only {compared} gradients were compared");
}

fn check(file: &str, architecture: &str, filters: usize) {
    let Some(tensors) = reference(file) else { return };
    let (devices, missing) = tandem_networks::Device::all();
    missing.iter().for_each(|missing| eprintln!("SKIPPED on a device: {missing}"));
    devices.iter().for_each(|device| check_on(device, &tensors, architecture, filters));
}

fn check_on(device: &tandem_networks::Device, tensors: &Tensors, architecture: &str, filters: usize) {
    let (net, parameters) = network(architecture, filters, tensors, device);
    let output = net.forward(&tensors["eval/x"], Pass::Evaluate).unwrap();
    assert!(error(&output.logits.get().unwrap(), &tensors["eval/out"]) < 1e-5);
    assert!(error(&output.features.get().unwrap(), &tensors["eval/rep"]) < 1e-5);
    assert!(
        error(&loss(&output.logits.get().unwrap(), &tensors["eval/y"]).unwrap(), &tensors["eval/loss"])
            < 1e-5
    );
    check_gradients(&output, &tensors["eval/y"], &parameters, &under(tensors, "eval_grad/"));

    let output = net.forward(&tensors["train/x"], Pass::Train { dropout: 0 }).unwrap();
    assert!(error(&output.logits.get().unwrap(), &tensors["train/out"]) < 1e-5);
    check_gradients(&output, &tensors["train/y"], &parameters, &under(tensors, "grad/"));
    let after = under(tensors, "buffer_after/");
    for (name, _) in parameters.iter().filter(|(_, p)| p.kind == Kind::Statistic) {
        let error = error(&parameters.get(name).unwrap().unwrap(), &after[name]);
        assert!(error < 1e-5, "{name}: off by {error:e}");
    }
}

#[test]
fn vnet() {
    check("vnet_f4.safetensors", "vnet", 4);
}

#[test]
fn resnet34() {
    check("resnet34_f2.safetensors", "resnet34", 2);
}

#[test]
fn published_parameter_counts() {
    for (architecture, count) in [("vnet", 9_448_866), ("resnet34", 17_930_354)] {
        let (_, parameters) =
            build(architecture, &NetworkConfig::default(), 1, &tandem_networks::Device::Cpu).unwrap();
        assert_eq!(parameters.count(), count, "{architecture}");
    }
}
