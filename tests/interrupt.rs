//! Ctrl-C while scans are checked and prepared: the program ends soon, and leaves nothing half done.

use crate::program::Program;
use crate::scans;
use ndarray::Array3;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use tandem_volume::{Volume, write_image};

/// Enough scans, of 3 MiB each, that the program is still at work when the signal arrives.
const SCANS: usize = 48;

/// The folder `hearts` with scans that differ in one voxel, the first three labelled.
fn hearts(program: &Program) {
    let folder = program.path("hearts");
    let shape = [96; 3];
    let mut array = Array3::from_shape_fn(shape, |(i, j, k)| ((i * j + k) % 255) as f32);
    for n in 0..SCANS {
        let id = format!("scan-{n:02}");
        if n < 3 {
            scans::write_pair(&folder, &id, true);
            let (array, grid) = scans::image(scans::oblique()).into_parts();
            let image = Volume::new(array + n as f32, grid);
            write_image(folder.join(format!("images/{id}.nii.gz")), &image).unwrap();
            continue;
        }
        array[[1, 1, 1]] = n as f32;
        write_image(folder.join(format!("images/{id}.nii")), &Volume::new(array.clone(), scans::oblique()))
            .unwrap();
    }
}

/// Stops the program as soon as it says a line that begins with `line`; returns its exit code and all that it said.
fn stopped_at(program: &Program, arguments: &[&str], line: &str) -> (Option<i32>, String) {
    let mut command = program.command(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tandem starts");
    let mut said = String::new();
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for found in lines.by_ref() {
        let found = found.expect("text");
        said += &format!("{found}\n");
        if found.starts_with(line) {
            break;
        }
    }
    let signal = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(signal.success(), "the program was over before it could be stopped: {said}");
    lines.for_each(|line| said += &format!("{}\n", line.expect("text")));
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    (child.wait().expect("tandem ends").code(), said)
}

#[test]
fn a_check_that_is_stopped_writes_no_report() {
    let program = Program::new();
    hearts(&program);
    let (code, said) = stopped_at(&program, &["check-data", "hearts", "--json", "found.json"], "hearts:");
    assert_eq!(code, Some(130), "{said}");
    assert!(!said.contains(" errors, "), "{said}");
    assert!(!program.path("found.json").exists());
}

#[test]
fn a_dataset_whose_preparation_is_stopped_is_not_there() {
    let program = Program::new();
    hearts(&program);
    let prepare = ["prepare-data", "custom", "--source", "hearts"];
    // While scans are read for the plan, and while they are written.
    for line in ["hearts:", "plan:"] {
        let (code, said) = stopped_at(&program, &prepare, line);
        assert_eq!(code, Some(130), "{said}");
        let left = std::fs::read_dir(program.path("data/prepared")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{line}: {said}");
        assert!(!program.path("data/experiments/hearts.toml").exists(), "{line}");
    }
}
