//! `tandem check-device`: whether this machine's GPU computes what its CPU computes, and how fast.
//!
//! Everything that it compares with is in the program itself, so that the program alone, carried to another machine, will do.

mod golden;
mod matrix;
mod prediction;
mod speed;
mod training;

use crate::output::say;
use anyhow::Result;
use std::process::ExitCode;
use std::time::Instant;
use tandem_ops3d::Device;

const EXAMPLES: &str = "Examples:
  tandem check-device
  tandem check-device --libraries";

/// Compares networks on the GPU with the CPU and with reference numbers; measures a training step, too.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Steps of the two trainings that are compared.
    #[arg(long, value_name = "N", default_value_t = 200)]
    steps: u64,
    /// Checks nothing, and says which libraries of CUDA are found, and in which folders they are looked for.
    #[arg(long)]
    libraries: bool,
    /// Compiles the kernels for GPUs of compute capability 7.5, 8.0, 9.0, 10.0 and 12.0, and does no more: it needs no GPU.
    #[arg(long)]
    compile: bool,
    /// Leaves out the measurement of training steps at full size, and of what in them takes how long.
    #[arg(long)]
    no_speed: bool,
    /// Takes the GPU's kernels as they run emulated on the CPU, which is slow: what can be checked without a GPU.
    #[cfg(feature = "emulator")]
    #[arg(long)]
    emulated: bool,
}

impl Arguments {
    /// Of the steps that are measured.
    fn size(&self) -> training::Size {
        #[cfg(feature = "emulator")]
        if self.emulated {
            return speed::TINY;
        }
        speed::FULL
    }
}

/// A device, what its convolutions are, and how closely they must agree with those of the CPU.
struct Candidate {
    device: Device,
    name: &'static str,
    rounding: Rounding,
}

/// How the convolutions of f32 networks round.
#[derive(Clone, Copy, PartialEq)]
enum Rounding {
    /// As f32.
    F32,
    /// The factors of products to the 11 bits of TF32.
    Tf32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.libraries {
        Device::cuda_libraries().into_iter().for_each(say);
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.compile {
        for capability in [75, 80, 90, 100, 120] {
            say(Device::compile_for_cuda(capability)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut failed = 0;
    let mut judge = |item: &str, check: &dyn Fn() -> Result<Verdict>| {
        let started = Instant::now();
        let (word, detail) = match check() {
            Ok(Verdict { passed: true, detail }) => ("ok", detail),
            Ok(Verdict { detail, .. }) => ("FAILED", detail),
            Err(error) => ("FAILED", format!("{error:#}")),
        };
        failed += usize::from(word == "FAILED");
        say(format!("{word:<7} {item}: {detail} ({:.1} s)", started.elapsed().as_secs_f64()));
    };
    for Candidate { device, name, rounding } in candidates(arguments)? {
        say(format!("device  {device:?}"));
        judge(&format!("{name}, op matrix, f32"), &|| matrix::in_f32(&device, rounding));
        judge(&format!("{name}, op matrix, bf16"), &|| matrix::in_bf16(&device));
        judge(&format!("{name}, golden networks"), &|| golden::check(&device, rounding));
        judge(&format!("{name}, prediction"), &|| prediction::check(&device, rounding));
        let steps = arguments.steps;
        judge(&format!("{name}, training of {steps} steps"), &|| training::check(&device, steps, rounding));
        if !arguments.no_speed {
            let size = arguments.size();
            judge(&format!("{name}, speed"), &|| speed::measure(&device, &size));
            speed::tell_shares(&device, &size)?;
        }
        if let Device::Cuda(gpu) = &device {
            gpu.remarks().into_iter().for_each(|remarks| say(format!("        {remarks}")));
        }
    }
    say(match failed {
        0 => "all checks passed".to_owned(),
        failed => format!("{failed} checks FAILED"),
    });
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The GPU twice: with its own convolutions, which round as those of the CPU do, and with cuDNN's, where they are there.
fn candidates(arguments: &Arguments) -> Result<Vec<Candidate>> {
    #[cfg(feature = "emulator")]
    if arguments.emulated {
        let device = Device::emulated()?;
        return Ok(vec![Candidate { device, name: "emulated kernels", rounding: Rounding::F32 }]);
    }
    let _ = arguments;
    let device = Device::cuda_without_cudnn(0)?;
    let mut found = vec![Candidate { device, name: "own convolutions", rounding: Rounding::F32 }];
    let device = Device::cuda(0)?;
    match &device {
        Device::Cuda(gpu) if gpu.has_cudnn() => {
            found.push(Candidate { device, name: "cuDNN", rounding: Rounding::Tf32 });
        }
        _ => say("SKIPPED cuDNN: libcudnn.so.9 is not found (the Python wheel nvidia-cudnn-cu13 has it)"),
    }
    Ok(found)
}

/// What a check found.
struct Verdict {
    passed: bool,
    detail: String,
}

impl Verdict {
    /// Of the largest difference among so many comparisons.
    fn of_difference(worst: f64, allowed: f64, comparisons: usize) -> Self {
        // Written so that NaN fails.
        let passed = worst <= allowed && comparisons > 0;
        Verdict {
            passed,
            detail: format!("{comparisons} comparisons, off by {worst:.1e}, allowed {allowed:.0e}"),
        }
    }
}

/// The largest of differences; NaN wins.
fn larger(most: f64, other: f64) -> f64 {
    if other > most || other.is_nan() { other } else { most }
}

/// Largest difference of two tensors, relative to the largest expected value.
fn difference(ours: &[f32], expected: &[f64]) -> f64 {
    if ours.len() != expected.len() {
        return f64::NAN;
    }
    let largest = expected.iter().fold(1e-30f64, |most, value| most.max(value.abs()));
    let pairs = ours.iter().zip(expected);
    pairs.fold(0.0, |most, (ours, expected)| larger(most, (f64::from(*ours) - expected).abs())) / largest
}
