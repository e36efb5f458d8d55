//! What a run says that it needs, and what it takes.

use crate::experiment::run;
use crate::program::{Ended, Program};
use ndarray::Array3;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::Duration;
use tandem_volume::{Geometry, Volume, write_image};

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

/// How a command ended, and the most memory that it held, in MiB.
fn peak(mut command: Command) -> (Ended, f64) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tandem starts");
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let mut kib = 0.0;
        // What the system says grows, and goes when the process has ended.
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(line) = line else { break };
            kib = line.trim().trim_end_matches(" kB").parse().expect("a number");
            std::thread::sleep(Duration::from_millis(5));
        }
        kib
    });
    let ended = child.wait_with_output().expect("the process ends").into();
    (ended, watch.join().expect("a peak") / 1024.0)
}

/// A CT of 512 x 512 x 600 voxels is to pass in 2 GiB beside the networks: so many bytes for each of its voxels. The sums of the
/// softmaxes of both networks over a whole scan would take 16 of them, their means 24.
#[cfg(target_os = "linux")]
#[test]
fn a_large_scan_is_segmented_in_the_memory_of_a_few_copies_of_it() {
    const BYTES_A_VOXEL: f64 = (2u64 << 30) as f64 / (512.0 * 512.0 * 600.0);
    let program = Program::with_phantoms();
    let patch = ["--set", "training.patch=[32, 32, 32]", "--set", "inference.stride=[32, 32, 32]"];
    run(&program, "run", &[&patch[..], &["--set", "training.iterations=1"]].concat()).succeeded();
    let write = |name: &str, shape: (usize, usize, usize), spacing| {
        let array = Array3::from_shape_fn(shape, |(i, j, k)| ((i * j + 7 * k) % 1021) as f32);
        let geometry = Geometry::with_spacing(spacing).unwrap();
        write_image(program.path(name), &Volume::new(array, geometry)).unwrap();
    };
    let taken = |name: &str, more: &[&str]| {
        let (ended, taken) = peak(program.command(&[&["predict", "run", name, "-o", "out"], more].concat()));
        ended.succeeded();
        println!("{name}: {taken:.0} MiB taken");
        taken
    };
    // What the program takes beside a scan.
    write("small.nii", (32, 32, 32), [4.0; 3]);
    let beside = taken("small.nii", &["--uncertainty"]);
    write("own.nii", (160, 160, 240), [4.0; 3]);
    write("resampled.nii", (160, 160, 120), [4.0, 4.0, 8.0]);
    let most = beside + BYTES_A_VOXEL * (160.0 * 160.0 * 240.0) / f64::from(1 << 20);
    for (name, more) in [("own.nii", &["--uncertainty"][..]), ("resampled.nii", &[])] {
        let taken = taken(name, more);
        assert!(taken <= most, "{name}: {taken:.0} MiB of {most:.0}");
    }
}
