//! Times of passes of the published V-Net, at the published size.

use super::Verdict;
use anyhow::Result;
use candle_core::{Device as Host, Tensor};
use std::time::Instant;
use tandem_networks::{NetworkConfig, Pass, Precision, build};
use tandem_ops3d::Device;
use tandem_random::Draws;

/// Batch and sides of the main experiment.
const BATCH: usize = 4;
const SIDES: [usize; 3] = [112, 112, 80];
/// Passes that are measured, after one that is not: it chooses algorithms and compiles.
const PASSES: usize = 5;

pub(super) fn measure(device: &Device) -> Result<Verdict> {
    let times = [("f32", Precision::F32), ("bf16", Precision::Bf16)]
        .map(|(name, precision)| Ok(format!("{name} {:.0} ms", milliseconds(device, precision)?)));
    let times: Vec<String> = times.into_iter().collect::<Result<_>>()?;
    let [d, h, w] = SIDES;
    let detail =
        format!("forward and backward pass of V-Net on {BATCH} x {d} x {h} x {w}: {}", times.join(", "));
    Ok(Verdict { passed: true, detail })
}

/// The median time of a forward and a backward pass, copies to and from the host included.
fn milliseconds(device: &Device, precision: Precision) -> Result<f64> {
    let (network, parameters) =
        build("vnet", &NetworkConfig { precision, ..NetworkConfig::default() }, 1, device)?;
    let [d, h, w] = SIDES;
    let mut draws = Draws::new(2, "check device speed", 0, 0);
    let values: Vec<f32> = (0..BATCH * d * h * w).map(|_| draws.normal() as f32).collect();
    let image = Tensor::from_vec(values, (BATCH, 1, d, h, w), &Host::Cpu)?;
    let mut times = Vec::new();
    for _ in 0..=PASSES {
        let started = Instant::now();
        let output = network.forward(&image, Pass::Train { dropout: 0 })?;
        output.logits.get()?.mean_all()?.backward()?;
        drop(parameters.take_gradient()?);
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let mut times = times.split_off(1);
    times.sort_by(f64::total_cmp);
    Ok(times[PASSES / 2])
}
