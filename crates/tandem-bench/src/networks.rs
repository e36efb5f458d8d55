//! Passes and training steps of whole networks.

use crate::cases::{Precision, Size};
use crate::measure::Report;
use crate::supervised::Supervised;
use anyhow::Result;
use candle_core::{Device, Tensor};
use serde_json::json;
use tandem_networks::{NetworkConfig, Pass, build};
use tandem_objectives::Batch;
use tandem_random::Draws;
use tandem_training::{Config, Trainer};

/// Steps of the run that the measured ones belong to.
const ITERATIONS: u64 = 1000;

/// A network's forward pass in evaluation mode.
pub(crate) fn forward(network: &str, size: &Size, precision: Precision, report: &Report) -> Result<()> {
    let config =
        NetworkConfig { filters: size.filters, precision: precision.of_networks(), ..Default::default() };
    let (network, _) = build(network, &config, 1, report.device)?;
    let image = batch(size, 0)?.images;
    report.of(|| {
        network.forward(&image, Pass::Infer)?;
        Ok(())
    })
}

/// A training step of one network that learns from labels alone.
pub(crate) fn step(network: &'static str, size: &Size, precision: Precision, report: &Report) -> Result<()> {
    let config = config(network, size, size.batch, precision)?;
    let trainer = Trainer::with_method(Box::new(Supervised(network)), &config, report.device)?;
    steps(trainer, &batch(size, size.batch)?, report)
}

/// A training step of both networks by the method `dual-networks`.
pub(crate) fn dual(size: &Size, precision: Precision, report: &Report) -> Result<()> {
    let labelled = size.batch / 2;
    let config = config("dual-networks", size, labelled, precision)?;
    steps(Trainer::new(&config, report.device)?, &batch(size, labelled)?, report)
}

fn steps(mut trainer: Trainer, batch: &Batch, report: &Report) -> Result<()> {
    // As a run does while the step before it computes.
    let _images = report.device.bring(&batch.images)?;
    // In the middle of the run, where no term is ramped away.
    let mut index = ITERATIONS / 2;
    report.of(|| {
        trainer.step(index, batch)?;
        index += 1;
        Ok(())
    })
}

fn config(method: &str, size: &Size, labelled: usize, precision: Precision) -> Result<Config> {
    Ok(serde_json::from_value(json!({
        "version": 1, "name": "bench", "precision": precision.name(), "method": { "name": method },
        "data": { "dataset": [], "labelled": labelled, "validation": 0 },
        "network": { "filters": size.filters },
        "training": { "iterations": ITERATIONS, "patch": size.sides },
        "inference": { "stride": size.sides },
    }))?)
}

/// Noise with a brighter half that is the label; the first `labelled` patches have one.
fn batch(size: &Size, labelled: usize) -> Result<Batch> {
    let ([d, h, w], count) = (size.sides, size.batch);
    let labels: Vec<u8> = (0..count * d * h * w).map(|voxel| u8::from(voxel % w < w / 2)).collect();
    let image = noise(labels.len()).into_iter().zip(&labels).map(|(x, y)| x + 0.8 * f32::from(*y)).collect();
    let labels = Tensor::from_vec(labels, (count, d, h, w), &Device::Cpu)?;
    Ok(Batch {
        images: Tensor::from_vec(image, (count, 1, d, h, w), &Device::Cpu)?,
        labels: labels.narrow(0, 0, labelled)?,
        strong: None,
    })
}

/// Standard normal values.
pub(crate) fn noise(count: usize) -> Vec<f32> {
    let mut draws = Draws::new(1, "bench image", 0, 0);
    (0..count).map(|_| draws.normal() as f32).collect()
}
