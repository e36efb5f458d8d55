//! What a run says that it needs, and what it takes.

use crate::experiment::run;
use crate::program::Program;
use serde_json::Value;

/// How far the estimate may be from the truth.
const TOLERANCE: f64 = 0.15;

/// The MiB of the line `needs about N MiB of memory ...`.
fn needed(said: &str) -> f64 {
    let line = said.lines().find_map(|line| line.strip_prefix("needs about ")).expect("a line that says it");
    let mut words = line.split(' ');
    let number: f64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
    number * if words.next() == Some("GiB") { 1024.0 } else { 1.0 }
}

/// The paper's networks on patches that a test has time for; both precisions.
#[cfg(target_os = "linux")]
#[test]
fn the_estimate_is_what_a_run_takes() {
    let program = Program::with_phantoms();
    for precision in ["f32", "bf16"] {
        let setting = format!("precision={precision}");
        let patch = ["--set", "training.patch=[48, 48, 32]", "--set", "inference.stride=[48, 48, 32]"];
        let size = ["--set", "network.filters=16", "--set", "training.iterations=2", "--set", &setting];
        let ended = run(&program, precision, &[patch.as_slice(), &size].concat()).succeeded();
        let text = std::fs::read_to_string(program.path(precision).join("provenance.json")).unwrap();
        let provenance: Value = serde_json::from_str(&text).unwrap();
        let taken = provenance["peak_memory"].as_f64().unwrap() / f64::from(1 << 20);
        let ratio = needed(&ended.stdout) / taken;
        println!("{precision}: {:.0} MiB estimated, {taken:.0} MiB taken", needed(&ended.stdout));
        assert!((ratio - 1.0).abs() <= TOLERANCE, "{precision}: {ratio:.3} of {taken:.0} MiB");
    }
}
