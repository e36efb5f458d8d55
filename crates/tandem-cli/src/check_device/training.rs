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
/// Steps after which a device holds what it will hold: all buffers were asked for once. It may hold no more at the end.
const SETTLED: u64 = 2;
/// Steps at the end whose mean is compared.
const LAST: usize = 20;

pub(super) fn check(device: &Device, steps: u64, rounding: Rounding) -> Result<Verdict> {
    let steps = steps.max(1);
    let (Course { losses: ours, held }, expected) =
        (train(device, steps)?, train(&Device::Cpu, steps)?.losses);
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
    let memory = held.map_or_else(String::new, |[settled, end]| {
        format!("; holds {settled} bytes after {} steps, {end} in the end", SETTLED.min(steps))
    });
    Ok(Verdict {
        passed: first <= first_allowed
            && last <= last_allowed
            && held.is_none_or(|[settled, end]| end <= settled),
        detail: format!(
            "loss from {begin:.3} to {ours:.3}, on the CPU to {expected:.3}; off by {first:.1e} in the first {FIRST} steps (allowed \
             {first_allowed:.0e}), by {last:.1e} of the first loss in the end (allowed {last_allowed}){memory}"
        ),
    })
}

/// The losses of each step, and what the device holds after some of them.
struct Course {
    /// The sum of each step's.
    losses: Vec<f64>,
    /// After [`SETTLED`] steps, or the last, and in the end.
    held: Option<[u64; 2]>,
}

fn train(device: &Device, steps: u64) -> Result<Course> {
    let mut trainer = Trainer::new(&config(&Size { sides: [SIDE; 3], filters: 2 }, "f32", steps)?, device)?;
    let held = || match device {
        Device::Cuda(gpu) => gpu.held_memory(),
        Device::Cpu => Ok(None),
    };
    let (mut losses, mut settled) = (Vec::new(), None);
    for step in 0..steps {
        let batch = batch(&[SIDE; 3], step)?;
        // Copied ahead, as in a run.
        let images = device.bring(&batch.images)?;
        let record = trainer.step(step, &batch)?;
        drop(images);
        losses.push(record.losses.iter().map(|(_, loss)| f64::from(*loss)).sum());
        if step < SETTLED {
            settled = held()?;
        }
    }
    Ok(Course { losses, held: settled.zip(held()?).map(|(settled, end)| [settled, end]) })
}

/// A training by the main method.
pub(super) struct Size {
    pub(super) sides: [usize; 3],
    pub(super) filters: usize,
}

pub(super) fn config(size: &Size, precision: &str, steps: u64) -> Result<Config> {
    Ok(serde_json::from_value(json!({
        "version": 1, "name": "check-device", "precision": precision, "method": { "name": "dual-networks" },
        "data": { "dataset": [], "labelled": 2, "validation": 0 },
        "network": { "filters": size.filters },
        "training": { "iterations": steps, "patch": size.sides, "seed": 5 },
        "inference": { "stride": size.sides },
    }))?)
}

/// Two labelled and two unlabelled patches with a bright box in noise.
pub(super) fn batch(sides: &[usize; 3], step: u64) -> Result<Batch> {
    let mut draws = Draws::new(4, "check device cubes", step, 0);
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    let [d, h, w] = *sides;
    for _ in 0..4 {
        let corner = sides.map(|side| draws.below(side / 2));
        for voxel in 0..d * h * w {
            let at = [voxel / (h * w), voxel / w % h, voxel % w];
            let inside =
                (0..3).all(|axis| (corner[axis]..corner[axis] + sides[axis] / 2).contains(&at[axis]));
            images.push(f32::from(u8::from(inside)) * 2.0 + 0.3 * draws.normal() as f32);
            labels.push(u8::from(inside));
        }
    }
    labels.truncate(2 * d * h * w);
    Ok(Batch {
        images: Tensor::from_vec(images, (4, 1, d, h, w), &Host::Cpu)?,
        labels: Tensor::from_vec(labels, (2, d, h, w), &Host::Cpu)?,
        strong: None,
    })
}
