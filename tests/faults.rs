//! A disk that fails, at every operation of a short run: an error that says so, no damaged file, and a run that goes on.

use crate::experiment::{read, tiny};
use crate::program::{Ended, Program, built};
use crate::watching::events;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tandem_volume::read_label;

/// What the disk answers, as `errno`, and what the error must tell of it. 0 kills the process there.
const FAULTS: [(i32, &str); 4] = [
    (28, "No space left on device (os error 28); make room there, then go on"),
    (30, "Read-only file system (os error 30); mount it writable or choose another folder, then go on"),
    (5, "Input/output error (os error 5); the device fails: see the system's log"),
    (0, ""),
];

/// Of the operations of a run so many lie between two that fail here; the long version lets every one fail in every way.
const STRIDE: usize = 7;

/// What a run leaves that must not depend on how often it was broken off.
const RESULTS: [&str; 6] = [
    "log.jsonl",
    "metrics.csv",
    "summary.json",
    "report.md",
    "checkpoints/final.safetensors",
    "checkpoints/best.safetensors",
];

/// The library that makes the disk fail, built once.
fn interposed() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = built().join("libtandem_faults.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/interpose.c");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([library.as_os_str(), source.as_ref(), "-ldl".as_ref()])
            .status()
            .expect("the C compiler that the workspace needs");
        assert!(status.success(), "interpose.c does not compile");
        library
    })
}

/// Starts the run `out`, or goes on with it, on a disk that fails at operation `at`.
fn broken(program: &Program, out: &Path, arguments: &[String], at: usize, errno: i32) -> Ended {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = program.command(&arguments);
    command.env("LD_PRELOAD", interposed()).env("FAULT_FOLDER", out);
    command.env("FAULT_AT", at.to_string()).env("FAULT_ERROR", errno.to_string());
    command.output().expect("tandem starts").into()
}

/// The files of a run that are there must be whole, and none may be left aside.
fn check_files(out: &Path, may_lie_aside: bool) {
    for folder in [out.to_owned(), out.join("checkpoints"), out.join("predictions"), out.join("uncertainty")]
    {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".json") {
                serde_json::from_str::<serde_json::Value>(&read(path))
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
            } else if name.ends_with(".nii.gz") {
                read_label(path).unwrap();
            } else {
                assert!(may_lie_aside || !name.ends_with(".partial"), "{name}");
            }
        }
    }
}

#[test]
fn a_disk_that_fails_at_any_operation_is_named_and_costs_nothing_but_time() {
    let program = Program::with_phantoms();
    let arguments = |out: &Path| {
        let short = ["iterations=3", "checkpoint_every=1", "validate_every=2"];
        tiny(out, short.map(|setting| format!("training.{setting}")).as_slice())
    };
    let whole = program.path("whole");
    broken(&program, &whole, &arguments(&whole), usize::MAX, 5).succeeded();

    let long = std::env::var_os("TANDEM_SOAK").is_some();
    let (stride, kinds) = if long { (1, FAULTS.len()) } else { (STRIDE, 1) };
    let out = program.path("run");
    let mut broken_off = 0;
    for kind in 0..kinds {
        for turn in 0.. {
            let (at, (errno, says)) = (1 + turn * stride, FAULTS[(turn + kind) % FAULTS.len()]);
            let ended = broken(&program, &out, &arguments(&out), at, errno);
            if ended.code == Some(0) && !ended.stderr.contains("warning: ") {
                // Past the last operation.
                break;
            }
            broken_off += 1;
            if ended.code == Some(0) {
                // What only shows a run does not end it.
                assert!(
                    ended.stderr.contains("log.tfevents: ") && ended.stderr.contains("the run goes on"),
                    "{ended:#?}"
                );
            } else if errno == 0 {
                assert_eq!(ended.code, None, "{ended:#?}");
            } else {
                ended.refused(&[&out.display().to_string(), says]);
            }
            // A disk that takes nothing any more does not take the removal of a file either.
            check_files(&out, [0, 30].contains(&errno));
            if out.join("run.json").exists() {
                let resumed = program.run(&["experiment", "--resume", "run"]).succeeded();
                assert!(!resumed.stderr.contains("warning"), "a damaged checkpoint at {at}: {resumed:#?}");
                check_files(&out, false);
                for name in RESULTS {
                    let bytes = |run: &Path| std::fs::read(run.join(name)).unwrap();
                    assert!(bytes(&whole) == bytes(&out), "{name} differs after error {errno} at {at}");
                }
                assert!(events(&whole) == events(&out), "log.tfevents differs after error {errno} at {at}");
            }
            // What broke in its first moments has left nothing.
            if out.exists() {
                std::fs::remove_dir_all(&out).unwrap();
            }
        }
        std::fs::remove_dir_all(&out).unwrap();
    }
    assert!(broken_off >= 10, "{broken_off}");
    println!("{broken_off} runs broken off");
}
