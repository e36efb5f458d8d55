//! Networks against PyTorch in f64, from the numbers that the tests of `tandem-networks` compare with.
//!
//! Weights and scans are the formula of `tests/peers/golden_networks.py`.

use super::{Rounding, Verdict, difference, larger};
use anyhow::{Context, Result};
use candle_core::{DType, Device as Host, Tensor};
use std::collections::{BTreeMap, HashMap};
use tandem_networks::{NetworkConfig, Pass, build};
use tandem_ops3d::Device;

const NUMBERS: &[u8] = include_bytes!("../../../tandem-networks/tests/golden/heads.safetensors");
const SIDES: [usize; 3] = [32, 16, 48];
/// The file holds every so many-th value.
const KEPT: usize = 211;

pub(super) fn check(device: &Device, rounding: Rounding) -> Result<Verdict> {
    let expected = candle_core::safetensors::load_buffer(NUMBERS, &Host::Cpu)?;
    let (mut worst, mut count) = (0.0, 0);
    for architecture in ["vnet-dtc", "vnet-mcnet", "vnet-urpc"] {
        for (mode, pass) in [("eval", Pass::Evaluate), ("train", Pass::Train { dropout: 0 })] {
            let made = forward(device, architecture, pass)?;
            for (name, values) in &made {
                let expected = of(&expected, &format!("{architecture}/{mode}/{name}"))?;
                let kept: Vec<f32> = values.iter().copied().step_by(KEPT).collect();
                worst = larger(worst, difference(&kept, &expected));
                count += 1;
            }
        }
    }
    // Some twenty layers.
    let allowed = if rounding == Rounding::F32 { 2e-5 } else { 2e-2 };
    Ok(Verdict::of_difference(worst, allowed, count))
}

fn of(file: &HashMap<String, Tensor>, name: &str) -> Result<Vec<f64>> {
    let tensor = file.get(name).with_context(|| format!("the reference numbers have no {name}"))?;
    Ok(tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}

/// What the heads of a network make, by their names.
fn forward(device: &Device, architecture: &str, pass: Pass) -> Result<BTreeMap<String, Vec<f32>>> {
    let config =
        NetworkConfig { in_channels: 2, num_classes: 3, filters: 2, dropout: 0.0, ..Default::default() };
    let (network, parameters) = build(architecture, &config, 1, device)?;
    let mut values = BTreeMap::new();
    for (key, (name, parameter)) in parameters.iter().enumerate() {
        let count: usize = parameter.dims.iter().product();
        let (centre, width) = match parameter.dims[..] {
            [first, _, _, _, _] => (0.0, 2.0 / ((count / first) as f64).sqrt()),
            _ if name.ends_with("bias") => (2.5, 0.2),
            _ if name.ends_with("running_var") || name.ends_with("weight") => (1.0, 0.2),
            _ => (0.0, 0.2),
        };
        let drawn = spread(count, key).into_iter().map(|value| (centre + width * value) as f32).collect();
        values.insert(name.to_owned(), Tensor::from_vec(drawn, parameter.dims.clone(), &Host::Cpu)?);
    }
    parameters.load(&values)?;
    let [d, h, w] = SIDES;
    let scans = spread(4 * d * h * w, 1000).into_iter().map(|value| value as f32).collect();
    let output = network.forward(&Tensor::from_vec(scans, (2, 2, d, h, w), &Host::Cpu)?, pass)?;
    let logits = output.logits.get()?;
    let made = output.extra.iter().map(|(name, made)| (name.as_str(), made)).chain([("logits", &logits)]);
    made.map(|(name, made)| Ok((name.to_owned(), made.flatten_all()?.to_vec1()?))).collect()
}

/// Values in [-1, 1) without a pattern.
fn spread(count: usize, key: usize) -> Vec<f64> {
    let value = |index: usize| {
        let x = (index as f64 * 12.9898 + key as f64 * 78.233).sin() * 43_758.545_3;
        2.0 * (x - x.floor()) - 1.0
    };
    (0..count).map(value).collect()
}
