//! Five steps of SGD against PyTorch in f64: losses, weights, running statistics, and the output after them.

use crate::reference::{Plain, reference, tiny};
use candle_core::{DType, Tensor};
use tandem_networks::Pass;
use tandem_objectives::Batch;
use tandem_reference::relative_error;
use tandem_training::{Tensors, Trainer};

/// Largest difference, relative to the largest expected value.
fn error(ours: &Tensor, expected: &Tensor) -> f64 {
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
    relative_error(&flat(ours), &flat(expected))
}

fn check(case: &str, architecture: &'static str, filters: usize) {
    let Some(golden) = reference("trajectory.safetensors") else { return };
    let under = |prefix: &str| -> Tensors {
        let prefix = format!("{case}/{prefix}");
        golden.iter().filter_map(|(k, v)| Some((k.strip_prefix(&prefix)?.to_owned(), v.clone()))).collect()
    };
    let mut config = tiny("supervised-ensemble", 6000);
    (config.network.filters, config.network.dropout) = (filters, 0.0);
    let method = Plain { architecture, teacher: None, seen: 0.0 };
    let mut trainer = Trainer::with_method(Box::new(method), &config, &tandem_networks::Device::Cpu).unwrap();
    let student = |trainer: &Trainer| trainer.networks().get("student").unwrap().parameters.clone();
    student(&trainer).load(&under("before/")).unwrap();

    let of = |name: &str| &golden[&format!("{case}/{name}")];
    let expected = of("losses").to_vec1::<f32>().unwrap();
    for (step, expected) in expected.iter().enumerate() {
        let (images, labels) = (of("xs").get(step).unwrap(), of("ys").get(step).unwrap());
        let batch = Batch { images, labels, strong: None };
        let loss = trainer.step(step as u64, &batch).unwrap().losses[0].1;
        let off = (loss - expected).abs() / expected;
        assert!(off < 1e-5, "{case}: loss of step {step} is {loss}, expected {expected}");
    }
    for (name, expected) in under("after/") {
        let off = error(&student(&trainer).get(&name).unwrap().unwrap(), &expected);
        // Biases before a normalisation have no gradient but rounding noise; they hardly move, and agree too.
        assert!(off < 1e-4, "{case}: {name} is off by {off:e}");
    }
    let network = &trainer.networks().get("student").unwrap().segmenter;
    let output = network.forward(&of("xs").get(0).unwrap(), Pass::Evaluate).unwrap().logits.get().unwrap();
    let off = error(&output, of("eval_out_after_on_xs0"));
    assert!(off < 1e-4, "{case}: the output after training is off by {off:e}");
}

#[test]
fn v_net_follows_pytorch() {
    check("vnet_f2", "vnet", 2);
}

#[test]
fn resnet34_follows_pytorch() {
    check("resnet34_f1", "resnet34", 1);
}
