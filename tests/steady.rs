//! A long run holds no more memory and no more files than a short one.

use crate::experiment::{arguments, definition};
use crate::program::Program;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// What a step may leave behind, in KiB: far less than its batch, whose images alone are 64 KiB (4 patches, 16 voxels a side,
/// 4 bytes each). A run remembers what its log says, about 1 KiB a step.
const LEFT_BY_A_STEP: u64 = 4;

/// What the allocator holds more or less from one time to another, in KiB: two blocks of 1.5 MiB, wherever a thread has a piece
/// of one in use. It does not grow with the steps.
const KEPT_BY_THE_ALLOCATOR: u64 = 3 * 1024;

/// What a process holds at one time.
#[derive(Clone, Copy, Debug)]
struct Held {
    steps: usize,
    /// KiB of its own; the pages of its program, which the system takes and gives, are not counted.
    memory: u64,
    files: usize,
}

/// What a process holds, where it is still there.
fn held(process: u32, log: &Path) -> Option<Held> {
    let steps = std::fs::read_to_string(log).ok()?.matches("{\"step\":").count();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let memory = line.split_whitespace().next()?.parse().ok()?;
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?.count();
    Some(Held { steps, memory, files })
}

/// 2,000 steps with `TANDEM_SOAK=full`, else fewer; checkpoints and validations included.
#[cfg(target_os = "linux")]
#[test]
fn steps_neither_take_memory_nor_leave_files_open() {
    let full = std::env::var("TANDEM_SOAK").is_ok_and(|soak| soak == "full");
    let (steps, every) = if full { (2000, 50) } else { (500, 50) };
    let (early, late) = (100..200, steps - 100..steps);
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
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");
    assert!(program.path("run/report.md").exists());

    let within = |range: &std::ops::Range<usize>| -> Vec<Held> {
        seen.iter().filter(|held| range.contains(&held.steps)).copied().collect()
    };
    let (before, after) = (within(&early), within(&late));
    assert!(
        before.len() > 10 && after.len() > 10,
        "the run was seen {} and {} times",
        before.len(),
        after.len()
    );
    // How many are open at one moment is met by chance; one that stays open is open at every later moment.
    let files = |held: &[Held]| held.iter().map(|held| held.files).min().unwrap_or(0);
    // Half of the time it holds no more than this: a scan that is being validated is forgotten, what stays is not.
    let memory = |held: &[Held]| {
        let mut values: Vec<u64> = held.iter().map(|held| held.memory).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    let (held, held_later) = (memory(&before), memory(&after));
    println!(
        "steps {early:?}: {held} KiB, {} open files at least; steps {late:?}: {held_later} KiB, {} open files at least",
        files(&before),
        files(&after)
    );
    assert!(files(&after) <= files(&before), "the run leaves files open");
    let allowed = KEPT_BY_THE_ALLOCATOR + LEFT_BY_A_STEP * (late.start - early.start) as u64;
    assert!(held_later <= held + allowed, "the run holds more and more memory: more than {allowed} KiB");
}
