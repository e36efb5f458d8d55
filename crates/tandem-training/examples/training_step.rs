//! Seconds of a whole training step of one network: forward, cross-entropy and Dice, backward, SGD.
//!
//! `cargo run --release -p tandem-training --example training_step -- vnet 64 64 32 8 4` takes architecture, patch, filters
//! and batch. It is also the smallest method there is: one network, learning from labels alone.

use candle_core::{Device, Tensor};
use serde_json::json;
use std::time::Instant;
use tandem_objectives::losses::{cross_entropy, dice};
use tandem_objectives::{Batch, Forward, Method, Network, Objective, Role, Step, Term, loss_of};
use tandem_random::Draws;
use tandem_training::{Config, Kernels, Trainer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Cross-entropy and Dice of one network.
struct Supervised(&'static str);

impl Method for Supervised {
    fn networks(&self) -> Vec<Network> {
        vec![Network { name: self.0, architecture: self.0, role: Role::Trained }]
    }

    fn predictors(&self) -> Vec<&'static str> {
        vec![self.0]
    }

    fn objective(
        &mut self,
        batch: &Batch,
        _: Step,
        networks: &dyn Forward,
    ) -> candle_core::Result<Objective> {
        let prediction = networks.train(self.0, &batch.images, 0)?;
        let labels = batch.labels.flatten_all()?.to_vec1::<u8>()?;
        let loss = loss_of(&prediction.logits, |scores| {
            Ok(cross_entropy(scores, &labels, 1.0)? + dice(scores, &labels, 1.0)?)
        })?;
        let terms = vec![("ce and dice".to_owned(), Term::Value(f64::from(loss.to_scalar::<f32>()?)))];
        Ok(Objective { losses: vec![(self.0, loss)], terms })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| arguments.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let architecture =
        if arguments.first().is_some_and(|name| name == "resnet34") { "resnet34" } else { "vnet" };
    let patch = [number(1, 64), number(2, 64), number(3, 32)];
    let (filters, count, steps) = (number(4, 8), number(5, 4), number(6, 7) as u64);
    let precision = arguments.get(7).map_or("f32", String::as_str);
    let config: Config = serde_json::from_value(json!({
        "version": 1, "name": "step", "precision": precision, "method": { "name": architecture },
        "data": { "dataset": [], "labelled": count, "validation": 0 },
        "network": { "filters": filters },
        "training": { "iterations": steps, "patch": patch },
        "inference": { "stride": patch },
    }))?;
    let device = Device::Cpu;
    let mut trainer = Trainer::with_method(Box::new(Supervised(architecture)), &config, &device)?;
    let batch = batch(count, patch, &device)?;
    let mut seconds = Vec::new();
    for step in 0..steps {
        let start = Instant::now();
        trainer.step(step, &batch)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    // The first steps fill the memory that later ones use again.
    let mut warm = seconds.split_off(2.min(seconds.len() - 1));
    warm.sort_by(f64::total_cmp);
    let kernels = Kernels::of(config.precision);
    println!(
        "{architecture} {patch:?} f{filters} b{count}, {kernels}: min {:.3} s, median {:.3} s",
        warm[0],
        warm[warm.len() / 2]
    );
    Ok(())
}

/// Noise with a brighter half that is the label.
fn batch(count: usize, patch: [usize; 3], device: &Device) -> candle_core::Result<Batch> {
    let [d, h, w] = patch;
    let mut draws = Draws::new(1, "image", 0, 0);
    let labels: Vec<u8> = (0..count * d * h * w).map(|voxel| u8::from(voxel % w < w / 2)).collect();
    let image: Vec<f32> =
        labels.iter().map(|label| (draws.normal() + 0.8 * f64::from(*label)) as f32).collect();
    Ok(Batch {
        images: Tensor::from_vec(image, (count, 1, d, h, w), device)?,
        labels: Tensor::from_vec(labels, (count, d, h, w), device)?,
    })
}
