//! The measured cases of docs/performance.md, one a process, so that its peak memory is the case's own.
//!
//! Without arguments it lists the cases, one JSON object a line; `cargo xtask bench` hands such a line to PyTorch as it is.
//! `tandem-bench CASE f32|bf16` measures one and prints a JSON object for each of its results; with `in-turn` after it, a burst of runs
//! for each line of the standard input, up to the line `end` of each result. `tandem-bench --device cuda`, before either, is about
//! the cases that run on a GPU.
#![forbid(unsafe_code)]

mod cases;
mod inference;
mod layers;
mod limits;
mod measure;
mod metrics;
mod networks;
mod reading;
mod supervised;

use anyhow::{Context, Result, bail};
use cases::{Case, Kind};
use measure::Report;
use std::process::ExitCode;
use tandem_ops3d::Device;

/// As in `tandem`: freed memory stays with the process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Inside the thread pool, as `tandem` runs.
    match rayon::scope(|_| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "usage: tandem-bench [--device cpu|cuda] [CASE f32|bf16 [in-turn]]";

fn run(arguments: &[String]) -> Result<()> {
    let (device, arguments) = match arguments {
        [option, name, rest @ ..] if option == "--device" => (open(name)?, rest),
        all => (Device::Cpu, all),
    };
    let cases = cases::all(&device)?;
    match arguments {
        [] => {
            for case in &cases {
                println!("{}", serde_json::to_string(case)?);
            }
            Ok(())
        }
        [name, precision, rest @ ..] => {
            let in_turn = match rest {
                [] => false,
                [word] if word == "in-turn" => true,
                _ => bail!("{USAGE}"),
            };
            let found = cases.iter().find(|case| case.name == *name && case.precision.name() == *precision);
            let case = found.with_context(|| {
                format!("there is no case {name} in {precision}; without arguments, all are listed")
            })?;
            measure(case, &Report::new(case, &device, in_turn))
        }
        _ => bail!("{USAGE}"),
    }
}

fn open(name: &str) -> Result<Device> {
    Ok(match name {
        "cpu" => Device::Cpu,
        "cuda" => Device::cuda(0)?,
        #[cfg(feature = "emulator")]
        "emulated" => Device::emulated()?,
        other => bail!("there is no device {other}; {USAGE}"),
    })
}

fn measure(case: &Case, report: &Report) -> Result<()> {
    match &case.kind {
        Kind::Forward { network, size } => networks::forward(network, size, case.precision, report),
        Kind::Step { network, size } => networks::step(network, size, case.precision, report),
        Kind::Dual { size } => networks::dual(size, case.precision, report),
        Kind::Inference(scan) => inference::run(scan, case.precision, report),
        Kind::Scans { folder } => reading::scans(folder, report),
        Kind::Crops { patch } => reading::crops(*patch, report),
        Kind::Metrics { sides } => metrics::all(*sides, report),
        Kind::Component { sides } => metrics::component(*sides, report),
        Kind::Layer(layer) => layers::run(layer, case.precision, report),
        Kind::Limits => limits::run(report.device),
    }
}
