//! Seconds and memory of everything in a `dual-networks` step that is not a network.
//!
//! `cargo run --release -p tandem-objectives --example dual_losses -- 112 112 80 16 4 5 f32` takes patch, feature channels,
//! batch, repetitions and precision. Both networks are as small as networks get (one 1x1x1 convolution, dropout, head), so
//! that logits and features leave and gradients return as those of real ones; what such a pair costs with a loss that is
//! next to nothing is measured too, and subtracted.

use candle_core::{Device, Result, Tensor, bail};
use std::sync::Arc;
use std::time::Instant;
use tandem_objectives::{Batch, Forward, Prediction, Step, build, with_gradient};
use tandem_ops3d::program::{
    ConvLayer, Mode, NormLayer, NormStatistics, Precision, Program, Sum, Value, Weights,
};
use tandem_ops3d::{Activation, Conv3dParams};
use tandem_random::Draws;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A head on random features.
struct Tiny {
    program: Arc<Program>,
    weights: Weights,
    statistics: NormStatistics,
    /// Before and after dropout.
    features: [Value; 2],
}

impl Tiny {
    fn new(channels: usize, seed: u64) -> Result<Self> {
        let count = 3 * channels;
        let conv = ConvLayer {
            weight: 0..channels,
            bias: None,
            from: 1,
            to: channels,
            kernel: 1,
            params: Conv3dParams::uniform(1, 0),
            transposed: false,
        };
        let norm = NormLayer {
            scale: channels..2 * channels,
            shift: 2 * channels..count,
            mean: 0..channels,
            variance: channels..2 * channels,
            momentum: 0.1,
            eps: 1e-5,
        };
        let (mut program, image) = Program::new();
        let kept = program.unit(image, conv, norm, Activation::Relu, Sum::Nothing);
        let dropped = program.dropout(kept, 0.5, "head");
        program.head(dropped, count..count + 2 * channels, count + 2 * channels..count + 2 * channels + 2);
        let mut draws = Draws::new(seed, "tiny", 0, 0);
        let weights: Vec<f32> = (0..count + 2 * channels + 2).map(|_| draws.normal() as f32).collect();
        Ok(Tiny {
            program: Arc::new(program),
            weights: Weights::new(&weights, &tandem_ops3d::Device::Cpu)?,
            statistics: NormStatistics::new(&vec![1.0; 2 * channels], &tandem_ops3d::Device::Cpu)?,
            features: [kept, dropped],
        })
    }

    fn run(&self, images: &Tensor, precision: Precision) -> Result<Prediction> {
        let mode = (Mode::Train { dropout: 1 }, precision);
        let outputs = self.program.run(images, &self.weights, &self.statistics, mode)?;
        let [features, features_dropped] = self.features.map(|value| outputs.value(value));
        Ok(Prediction { features, features_dropped, logits: outputs.logits, extra: Default::default() })
    }
}

/// Predictions that were made before.
struct Ready([Prediction; 2]);

impl Forward for Ready {
    fn train(&self, network: &str, _: &Tensor, _: u64) -> Result<Prediction> {
        Ok(self.0[usize::from(network == "resnet34")].clone())
    }

    fn evaluate(&self, network: &str, _: &Tensor) -> Result<Prediction> {
        bail!("{network} is only trained here")
    }
}

/// Runs something; seconds on the clock and on the processors, which other programs disturb less.
fn timed<R>(run: impl FnOnce() -> Result<R>) -> Result<(R, [f64; 2])> {
    let (start, before) = (Instant::now(), processor_seconds());
    let result = run()?;
    Ok((result, [start.elapsed().as_secs_f64(), processor_seconds() - before]))
}

/// Seconds of all threads of this process, where the system says (in its ticks, a hundredth of a second each).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn backward(losses: &[Tensor]) -> Result<()> {
    let total = losses.iter().try_fold(Tensor::new(0f32, &Device::Cpu)?, |total, loss| total + loss)?;
    total.backward()?;
    Ok(())
}

/// The most memory since the last call, in MiB, where the system says.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    // Starts the count anew; a system that cannot shows the peak of the whole run.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(f64::NAN) / 1024.0
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| arguments.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let [d, h, w] = [number(0, 64), number(1, 64), number(2, 32)];
    let (channels, count, repetitions) = (number(3, 16), number(4, 4), number(5, 5));
    let precision = match arguments.get(6).map(String::as_str) {
        Some("bf16") => Precision::Bf16,
        _ => Precision::F32,
    };
    let mut draws = Draws::new(1, "image", 0, 0);
    let images: Vec<f32> = (0..count * d * h * w).map(|_| draws.normal() as f32).collect();
    let labels: Vec<u8> = (0..count / 2 * d * h * w).map(|_| draws.below(2) as u8).collect();
    let batch = Batch {
        images: Tensor::from_vec(images, (count, 1, d, h, w), &Device::Cpu)?,
        labels: Tensor::from_vec(labels, (count / 2, d, h, w), &Device::Cpu)?,
        strong: None,
    };
    let networks = [Tiny::new(channels, 1)?, Tiny::new(channels, 2)?];
    let mut method = build("dual-networks", &serde_json::Value::Null)?;
    let run = || -> Result<Ready> {
        let [vnet, resnet34] = &networks;
        Ok(Ready([vnet.run(&batch.images, precision)?, resnet34.run(&batch.images, precision)?]))
    };
    let mut best = [[f64::INFINITY; 2]; 3];
    let mut memory = [0.0; 2];
    for index in 0..repetitions {
        let ready = run()?;
        // Two losses whose gradient is there already.
        let bare = ready.0.iter().map(|p| {
            let logits = p.logits.get()?;
            with_gradient(0.0, &logits, &logits.detach())
        });
        let bare = bare.collect::<Result<Vec<_>>>()?;
        drop(ready);
        peak();
        let ((), of_bare) = timed(|| backward(&bare))?;
        memory[0] = peak();
        drop(bare);

        let ready = run()?;
        peak();
        let step = Step { index: 50 + index as u64, iterations: 100, seed: 1 };
        let (objective, of_objective) = timed(|| method.objective(&batch, step, &ready))?;
        drop(ready);
        let losses: Vec<Tensor> = objective.losses.into_iter().map(|(_, loss)| loss).collect();
        let ((), of_backward) = timed(|| backward(&losses))?;
        memory[1] = peak();
        for (best, now) in best.iter_mut().zip([of_objective, of_backward, of_bare]) {
            best.iter_mut().zip(now).for_each(|(best, now)| *best = best.min(now));
        }
    }
    println!("{d}x{h}x{w} f{channels} b{count} {precision:?}, {}", tandem_ops3d::cpu_path().name());
    for (name, [clock, processors]) in ["losses", "backward", "backward without losses"].into_iter().zip(best)
    {
        println!("{name}: {clock:.3} s, {processors:.2} s of processors");
    }
    println!("peak of both: {:.0} MiB, of the backward pass without losses {:.0} MiB", memory[1], memory[0]);
    Ok(())
}
