//! Seconds and peak memory.

use crate::cases::Case;
use anyhow::{Context, Result};
use serde_json::json;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};
use tandem_ops3d::Device;
use tandem_training::host;

/// A measurement ends after so many seconds, if it has this many runs.
const ENOUGH_SECONDS: f64 = 5.0;
const FEWEST_RUNS: usize = 3;
/// Runs of a case that takes longer than [`LONG_SECONDS`] each.
const FEWEST_LONG_RUNS: usize = 2;
const LONG_SECONDS: f64 = 8.0;
const MOST_RUNS: usize = 20;
/// Runs of a burst that count, where programs run in turn.
const BURST: usize = 2;
/// How long those before them take, which do not count: caches are those of the program before, and threads that have slept may wake on
/// one core and share it until the system spreads them.
const AWAKE: Duration = Duration::from_millis(50);

/// Prints results of a case.
pub(crate) struct Report<'a> {
    case: &'a Case,
    /// Where its networks run.
    pub(crate) device: &'a Device,
    /// Whether it runs in turn with other programs.
    in_turn: bool,
}

impl<'a> Report<'a> {
    pub(crate) fn new(case: &'a Case, device: &'a Device, in_turn: bool) -> Self {
        Report { case, device, in_turn }
    }

    /// Times `run` and prints the result of the case.
    pub(crate) fn of(&self, run: impl FnMut() -> Result<()>) -> Result<()> {
        self.print(&self.case.name, self.case.gflop, &self.seconds(ENOUGH_SECONDS, run)?)
    }

    /// Times `run` and prints one result of several, of so many floating-point operations.
    pub(crate) fn part(&self, part: &str, flop: u64, run: impl FnMut() -> Result<()>) -> Result<()> {
        let seconds = self.seconds(ENOUGH_SECONDS / 5.0, run)?;
        self.print(&format!("{}-{part}", self.case.name), Some(flop as f64 / 1e9), &seconds)
    }

    /// Prints a case that runs once.
    pub(crate) fn once(&self, run: impl FnOnce() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        run()?;
        self.print(&self.case.name, self.case.gflop, &[start.elapsed().as_secs_f64()])
    }

    /// Of each run, sorted.
    fn seconds(&self, enough: f64, run: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
        match self.in_turn {
            true => in_turn(std::io::stdin().lock(), std::io::stdout(), run),
            false => repeated(enough, run),
        }
    }

    fn print(&self, name: &str, gflop: Option<f64>, sorted: &[f64]) -> Result<()> {
        let result = json!({
            "case": name,
            "seconds": sorted[sorted.len() / 2],
            "fastest": sorted[0],
            "runs": sorted.len(),
            "mib": peak_mib(self.device)?,
            "gflop": gflop,
        });
        println!("{result}");
        Ok(())
    }
}

/// Seconds of each run, sorted, at least one. The first runs do not count: they fill the memory that later ones use again.
fn repeated(enough: f64, mut run: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let mut timed = || -> Result<f64> {
        let start = Instant::now();
        run()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let first = timed()?;
    if first < LONG_SECONDS {
        timed()?;
    }
    let fewest = if first < LONG_SECONDS { FEWEST_RUNS } else { FEWEST_LONG_RUNS };
    let mut seconds = Vec::new();
    while seconds.len() < MOST_RUNS && (seconds.len() < fewest || seconds.iter().sum::<f64>() < enough) {
        seconds.push(timed()?);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds)
}

/// Seconds of each run, sorted, at least one. Each line that is read asks for a burst of runs, until one says `end`, and a line is
/// written after it. The first runs of a burst do not count.
fn in_turn(
    asked: impl BufRead,
    mut done: impl Write,
    mut run: impl FnMut() -> Result<()>,
) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    for line in asked.lines() {
        if line? == "end" {
            break;
        }
        let start = Instant::now();
        run()?;
        while start.elapsed() < AWAKE {
            run()?;
        }
        for _ in 0..BURST {
            let start = Instant::now();
            run()?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        writeln!(done, "done")?;
    }
    anyhow::ensure!(!seconds.is_empty(), "no run was asked for");
    seconds.sort_by(f64::total_cmp);
    Ok(seconds)
}

/// The largest memory that this process held on a device so far, in MiB; on the CPU, what was resident.
fn peak_mib(device: &Device) -> Result<Option<u64>> {
    let peak = match device {
        Device::Cpu => {
            Some(host::peak_memory().context("the system does not say the peak memory of a process")?)
        }
        Device::Cuda(gpu) => gpu.peak_memory(),
    };
    Ok(peak.map(|bytes| bytes >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_runs_are_repeated_and_sorted() {
        let mut calls = 0;
        let seconds = repeated(1e9, || {
            calls += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!((seconds.len(), calls), (MOST_RUNS, MOST_RUNS + 2));
        assert!(seconds.is_sorted());
        assert_eq!(repeated(0.0, || Ok(())).unwrap().len(), FEWEST_RUNS);
    }

    #[test]
    fn runs_in_turn_wait_to_be_asked() {
        let (start, mut calls, mut said) = (Instant::now(), 0, Vec::new());
        let mut asked = "run\nrun\nrun\nend\nrun\n".as_bytes();
        let seconds = in_turn(&mut asked, &mut said, || {
            calls += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(seconds.len(), 3 * BURST);
        assert!(calls > 4 * BURST && start.elapsed() >= 3 * AWAKE, "{calls}");
        assert!(seconds.is_sorted());
        // What is asked after the end is for the next result.
        assert_eq!((said.as_slice(), asked), (&b"done\ndone\ndone\n"[..], &b"run\n"[..]));
        assert!(in_turn(&b"end\n"[..], Vec::new(), || Ok(())).is_err());
    }

    #[test]
    fn memory_is_counted() {
        let peak = || peak_mib(&Device::Cpu).unwrap().unwrap();
        let before = peak();
        let block = std::hint::black_box(vec![1u8; 256 << 20]);
        assert!(peak() >= before.max(block.len() as u64 >> 20));
    }
}
