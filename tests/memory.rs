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

/// Runs a command to its end; second, the most memory that it was seen to hold, in MiB.
#[cfg(target_os = "linux")]
fn peak(mut command: Command) -> (Ended, f64) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let mut most = 0.0;
        // The system's own record of the peak; it is gone with the process, and a zombie has none.
        while let Some(now) = std::fs::read_to_string(&status).ok().as_deref().and_then(resident) {
            most = f64::max(most, now);
            std::thread::sleep(Duration::from_millis(10));
        }
        most
    });
    let output = child.wait_with_output().unwrap();
    (output.into(), watch.join().unwrap() / 1024.0)
}

/// The KiB of the line `VmHWM`.
#[cfg(target_os = "linux")]
fn resident(status: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

/// A CT of 512 x 512 x 600 voxels is to pass in 2 GiB beside the networks: so many bytes for each of its voxels. Sums of softmaxes
/// of both networks over a whole scan would take 16 of them, their means 24.
#[cfg(target_os = "linux")]
#[test]
fn a_large_scan_is_segmented_in_the_memory_of_a_few_copies_of_it() {
    const BYTES_A_VOXEL: f64 = (2u64 << 30) as f64 / (512.0 * 512.0 * 600.0);
    // Large enough that memory goes back to the system as that of the CT does.
    const SIDES: (usize, usize, usize) = (256, 256, 300);
    let program = Program::with_phantoms();
    let patch = ["--set", "training.patch=[32, 32, 32]", "--set", "inference.stride=[32, 32, 32]"];
    run(&program, "run", &[&patch[..], &["--set", "training.iterations=1"]].concat()).succeeded();
    let taken = |name: &str, shape: (usize, usize, usize), spacing: [f64; 3], more: &[&str]| {
        let array = Array3::from_shape_fn(shape, |(i, j, k)| ((i * j + 7 * k) % 1021) as f32);
        let geometry = Geometry::with_spacing(spacing).unwrap();
        write_image(program.path(name), &Volume::new(array, geometry)).unwrap();
        let (ended, taken) = peak(program.command(&[&["predict", "run", name, "-o", "out"], more].concat()));
        ended.succeeded();
        println!("{name}: {taken:.0} MiB taken");
        taken
    };
    let beside = taken("small.nii", (32, 32, 32), [4.0; 3], &["--uncertainty"]);
    let voxels = (SIDES.0 * SIDES.1 * SIDES.2) as f64;
    let most = beside + BYTES_A_VOXEL * voxels / f64::from(1 << 20);
    for (name, spacing, more) in
        [("own.nii", [4.0; 3], &["--uncertainty"][..]), ("resampled.nii", [2.0, 2.0, 4.0], &[])]
    {
        let taken = taken(name, SIDES, spacing, more);
        assert!(taken <= most, "{name}: {taken:.0} MiB of {most:.0}");
    }
}
