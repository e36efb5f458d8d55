//! What an event file costs a run: `cargo run --release -p tandem-tensorboard --example event_file_cost RUN`.
//!
//! Writes the log of a run folder anew, line by line, as a run does, and follows it.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tandem_tensorboard::{EVENTS, EventFile};

fn main() -> Result<(), Box<dyn Error>> {
    let run = PathBuf::from(std::env::args().nth(1).ok_or("cost RUN")?);
    let copy = std::env::temp_dir().join(format!("tandem-cost-{}", std::process::id()));
    fs::create_dir(&copy)?;
    for name in ["config.json", "run.json"] {
        fs::copy(run.join(name), copy.join(name))?;
    }
    let text = fs::read_to_string(run.join("log.jsonl"))?;
    let mut log = OpenOptions::new().create(true).append(true).open(copy.join("log.jsonl"))?;
    let mut events = EventFile::open(&copy, |_| Vec::new())?;
    let (mut took, mut most) = (Duration::ZERO, Duration::ZERO);
    for line in text.lines() {
        log.write_all(format!("{line}\n").as_bytes())?;
        let started = Instant::now();
        events.follow()?;
        took += started.elapsed();
        most = most.max(started.elapsed());
    }
    let lines = text.lines().count();
    let mean = took / u32::try_from(lines)?.max(1);
    println!("{lines} lines of {} bytes: {mean:?} each, at most {most:?}", text.len() / lines.max(1));
    println!("{}: {} bytes", EVENTS, fs::metadata(copy.join(EVENTS))?.len());
    Ok(fs::remove_dir_all(&copy)?)
}
