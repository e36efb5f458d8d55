//! A long run holds no more memory and no more files than a short one.

use crate::experiment::{arguments, definition};
use crate::program::Program;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// How much the memory of a run may grow once it has done all that it does.
const GROWTH: f64 = 0.02;

/// What a process holds at one time.
#[derive(Clone, Copy, Debug)]
struct Held {
    steps: usize,
    /// KiB.
    resident: u64,
    files: usize,
}

/// What a process holds, where it is still there.
fn held(process: u32, log: &Path) -> Option<Held> {
    let steps = std::fs::read_to_string(log).ok()?.matches("{\"step\":").count();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident = line.split_whitespace().next()?.parse().ok()?;
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?.count();
    Some(Held { steps, resident, files })
}

/// 2,000 steps with `TANDEM_SOAK=full`, else fewer; checkpoints and validations included.
#[cfg(target_os = "linux")]
#[test]
fn steps_neither_take_memory_nor_leave_files_open() {
    let full = std::env::var("TANDEM_SOAK").is_ok_and(|soak| soak == "full");
    let (steps, warm, middle, every) = if full { (2000, 200, 600, 50) } else { (200, 60, 130, 20) };
    let program = Program::with_phantoms();
    let path = definition("la-8pct");
    let settings = [
        format!("training.iterations={steps}"),
        format!("training.checkpoint_every={every}"),
        format!("training.validate_every={every}"),
    ];
    let more: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let mut child = program
        .command(&arguments(&path, "run", &more))
        // What is freed is given back at once: what a process holds is then what the program holds, and no matter of when it is asked.
        .env("MIMALLOC_PURGE_DELAY", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("tandem starts");
    let log = program.path("run").join("log.jsonl");
    let mut seen: Vec<Held> = Vec::new();
    let status = loop {
        seen.extend(held(child.id(), &log));
        if let Some(status) = child.try_wait().expect("tandem ends") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(status.success(), "{status}");
    assert!(program.path("run/report.md").exists());

    // A process that is about to end holds nothing any more; and what it takes to begin with, such as a scan that is
    // resampled, must not hide what is taken later.
    let most = seen.iter().map(|held| held.resident).max().unwrap_or(0);
    let within = |range: std::ops::Range<usize>| -> Vec<Held> {
        let counts = |held: &&Held| range.contains(&held.steps) && held.resident > most / 2;
        seen.iter().filter(counts).copied().collect()
    };
    let (early, late) = (within(warm..middle), within(middle..steps));
    assert!(early.len() > 10 && late.len() > 10, "the run was seen {} and {} times", early.len(), late.len());
    // How many are open at one moment is met by chance; one that stays open is open at every later moment.
    let files = |held: &[Held]| held.iter().map(|held| held.files).min().unwrap_or(0);
    // Between two validations the allocator gives back some memory, or does not: so what is held for good shows in the least.
    let resident = |held: &[Held]| {
        let values = || held.iter().map(|held| held.resident);
        [values().min().unwrap_or(0), values().max().unwrap_or(0)]
    };
    let [[least, most], [least_later, most_later]] = [resident(&early), resident(&late)];
    println!(
        "steps {warm} to {middle}: {least} to {most} KiB, {} open files at least; steps {middle} to {steps}: {least_later} to \
         {most_later} KiB, {} open files at least",
        files(&early),
        files(&late)
    );
    assert!(files(&late) <= files(&early), "the run leaves files open");
    let flat = |before: u64, after: u64| after as f64 <= (1.0 + GROWTH) * before as f64;
    assert!(flat(least, least_later), "the run holds more and more memory");
    // The most is met by chance, which takes many steps.
    assert!(!full || flat(most, most_later), "the run takes more and more memory");
}
