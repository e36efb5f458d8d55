//! The same training on the device and on the CPU: a small run of the main method on patches with a bright cube.

use super::{Rounding, Verdict};
use anyhow::Result;
use candle_core::{Device as Host, Tensor};
use serde_json::json;
use tandem_objectives::Batch;
use tandem_ops3d::Device;
use tandem_random::Draws;
use tandem_training::{Config, Trainer};

const SIDE: usize = 16;

/// Steps in which two trainings have not yet drifted apart: the first, of the same weights, and the second, of what its gradients made
/// of them. In the third the CPU's own paths `portable` and `avx2`, 1e-7 apart until then, differ by 1.4e-3.
const FIRST: usize = 2;
/// Steps at the end whose mean is compared.
const LAST: usize = 20;

pub(super) fn check(device: &Device, steps: u64, rounding: Rounding) -> Result<Verdict> {
    let (ours, expected) = (losses(device, steps)?, losses(&Device::Cpu, steps)?);
    let off = |a: f64, b: f64| (a - b).abs() / b.abs();
    let first = ours.iter().zip(&expected).take(FIRST).map(|(a, b)| off(*a, *b)).fold(0.0, super::larger);
    let mean = |losses: &[f64]| {
        let last = &losses[losses.len().saturating_sub(LAST)..];
        last.iter().sum::<f64>() / last.len() as f64
    };
    let (ours, expected, begin) = (mean(&ours), mean(&expected), expected[0]);
    // Roundings grow from step to step, so what is learnt is compared and not the way there.
    let (first_allowed, last_allowed) = if rounding == Rounding::F32 { (1e-5, 0.1) } else { (3e-2, 0.15) };
    let last = (ours - expected).abs() / begin;
    Ok(Verdict {
        passed: first <= first_allowed && last <= last_allowed,
        detail: format!(
            "loss from {begin:.3} to {ours:.3}, on the CPU to {expected:.3}; off by {first:.1e} in the first {FIRST} steps (allowed \
             {first_allowed:.0e}), by {last:.1e} of the first loss in the end (allowed {last_allowed})"
        ),
    })
}

/// The sum of the losses of each step.
fn losses(device: &Device, steps: u64) -> Result<Vec<f64>> {
    let config: Config = serde_json::from_value(json!({
        "version": 1, "name": "check-device", "method": { "name": "dual-networks" },
        "data": { "dataset": [], "labelled": 2, "validation": 0 },
        "network": { "filters": 2 },
        "training": { "iterations": steps.max(1), "patch": [SIDE, SIDE, SIDE], "seed": 5 },
        "inference": { "stride": [SIDE, SIDE, SIDE] },
    }))?;
    let mut trainer = Trainer::new(&config, device)?;
    let sum = |step| -> Result<f64> {
        let record = trainer.step(step, &batch(step)?)?;
        Ok(record.losses.iter().map(|(_, loss)| f64::from(*loss)).sum())
    };
    (0..steps.max(1)).map(sum).collect()
}

/// Two labelled and two unlabelled patches with a bright cube in noise.
fn batch(step: u64) -> Result<Batch> {
    let mut draws = Draws::new(4, "check device cubes", step, 0);
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let corner = [(); 3].map(|()| draws.below(SIDE / 2));
        for voxel in 0..SIDE.pow(3) {
            let at = [voxel / SIDE.pow(2), voxel / SIDE % SIDE, voxel % SIDE];
            let inside = (0..3).all(|axis| (corner[axis]..corner[axis] + SIDE / 2).contains(&at[axis]));
            images.push(f32::from(u8::from(inside)) * 2.0 + 0.3 * draws.normal() as f32);
            labels.push(u8::from(inside));
        }
    }
    labels.truncate(2 * SIDE.pow(3));
    Ok(Batch {
        images: Tensor::from_vec(images, (4, 1, SIDE, SIDE, SIDE), &Host::Cpu)?,
        labels: Tensor::from_vec(labels, (2, SIDE, SIDE, SIDE), &Host::Cpu)?,
        strong: None,
    })
}
