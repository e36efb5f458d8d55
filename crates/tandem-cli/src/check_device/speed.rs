//! How long a training step of the main method takes, and what of it.

use super::Verdict;
use super::training::{Size, batch, config};
use crate::output::say;
use anyhow::Result;
use std::time::Instant;
use tandem_ops3d::{Device, Stopwatch};
use tandem_training::Trainer;

/// Steps that are not measured: they choose algorithms and compile.
const FIRST: u64 = 2;
/// Steps that are measured.
const MEASURED: u64 = 5;
/// Lines of the table of what takes how long.
const LINES: usize = 20;

/// The published patch and networks.
pub(super) const FULL: Size = Size { sides: [112, 112, 80], filters: 16 };
/// What a GPU that is emulated can do.
#[cfg(feature = "emulator")]
pub(super) const TINY: Size = Size { sides: [16; 3], filters: 2 };

/// The median time of a step in f32 and in bf16, all copies included.
pub(super) fn measure(device: &Device, size: &Size) -> Result<Verdict> {
    let mut times = Vec::new();
    for precision in ["f32", "bf16"] {
        times.push(format!("{precision} {:.0} ms", 1e3 * seconds(device, size, precision)?));
    }
    let [d, h, w] = size.sides;
    let peak = match device {
        Device::Cuda(gpu) => gpu.peak_memory(),
        Device::Cpu => None,
    };
    let peak =
        peak.map_or_else(String::new, |bytes| format!("; at most {} MiB of the GPU so far", bytes >> 20));
    let times = times.join(", ");
    let detail =
        format!("a step of dual-networks on 4 x {d} x {h} x {w}, {} filters: {times}{peak}", size.filters);
    Ok(Verdict { passed: true, detail })
}

fn seconds(device: &Device, size: &Size, precision: &str) -> Result<f64> {
    let mut trainer = Trainer::new(&config(size, precision, 1000)?, device)?;
    let (batch, mut times) = (batch(&size.sides, 0)?, Vec::new());
    // As a run does while the step before it computes.
    let _images = device.bring(&batch.images)?;
    for step in 0..FIRST + MEASURED {
        let started = Instant::now();
        trainer.step(step, &batch)?;
        times.push(started.elapsed().as_secs_f64());
    }
    let mut times = times.split_off(FIRST as usize);
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Says what of a step in bf16 takes how long on a GPU, the longest first: each piece of work by itself.
pub(super) fn tell_shares(device: &Device, size: &Size) -> Result<()> {
    let Device::Cuda(gpu) = device else { return Ok(()) };
    let (gpu, stopwatch) = gpu.timed();
    let device = Device::Cuda(gpu);
    let mut trainer = Trainer::new(&config(size, "bf16", 1000)?, &device)?;
    let batch = batch(&size.sides, 0)?;
    let _images = device.bring(&batch.images)?;
    for step in 0..FIRST {
        trainer.step(step, &batch)?;
    }
    stopwatch.reset();
    let started = Instant::now();
    trainer.step(FIRST, &batch)?;
    let whole = started.elapsed().as_secs_f64();
    let work = stopwatch.work();
    let there: f64 = work.iter().map(|work| work.seconds).sum();
    let pieces: u64 = work.iter().map(|work| work.times).sum();
    let copies: u64 = work.iter().filter(|work| work.what == Stopwatch::COPIES).map(|work| work.times).sum();
    say(format!(
        "        a step in bf16, {pieces} pieces of work each by itself, {copies} of them copies that the host waits for: {:.1} ms, \
         {:.1} ms of them on the GPU",
        1e3 * whole,
        1e3 * there
    ));
    for work in work.iter().take(LINES) {
        say(format!("        {:8.2} ms {:5} x {}", 1e3 * work.seconds, work.times, work.what));
    }
    Ok(())
}
