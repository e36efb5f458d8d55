//! What a run says and does when its files are damaged, gone or in use.

use crate::reference::tiny;
use crate::run::{RUNNING, coarse, prepared, setup, train};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_networks::Device;
use tandem_training::{CaseList, Config, Error, Event, Run, TrainedRun};

fn checkpoint(run: &Path, name: &str) -> PathBuf {
    run.join("checkpoints").join(format!("{name}.safetensors"))
}

fn resume(out: &Path, scans: &Path, observe: &mut dyn FnMut(Event<'_>)) -> Result<Run, Error> {
    Run::resume(out, scans, Device::Cpu, &RUNNING, observe)
}

/// A run of six steps with a checkpoint after each.
fn six() -> Config {
    let mut config = coarse(6);
    config.training.checkpoint_every = 1;
    config
}

#[test]
fn damaged_checkpoints_are_named_and_the_one_before_them_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    train(six(), &scans, &out);
    let whole = fs::read(checkpoint(&out, "final")).unwrap();
    let log = fs::read(out.join("log.jsonl")).unwrap();
    // One bit of the last step's, half of the one before.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    fs::write(checkpoint(&out, "final"), flipped).unwrap();
    fs::write(checkpoint(&out, "step-00000005"), &whole[..whole.len() / 2]).unwrap();

    let refused = TrainedRun::open(&out, &Device::Cpu).err().expect("an error").to_string();
    let damage = format!(
        "{}: is not a whole checkpoint: its checksum is not that of its content",
        checkpoint(&out, "final").display()
    );
    let remedy = "resume the run, which then goes on from the checkpoint before it";
    assert_eq!(refused, format!("{}: cannot be used: {damage}; {remedy}", out.display()));

    let mut told = Vec::new();
    let mut first = None;
    let mut run = resume(&out, &scans, &mut |event| {
        if let Event::Damaged { problem } = event {
            told.push(problem.to_string());
        }
    })
    .unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0], damage);
    assert!(told[1].starts_with(&checkpoint(&out, "step-00000005").display().to_string()), "{told:?}");
    run.train(&RUNNING, &mut |event| {
        if let Event::Step { record, .. } = event {
            first.get_or_insert(record.step);
        }
    })
    .unwrap();
    assert_eq!(first, Some(4));
    assert!(fs::read(checkpoint(&out, "final")).unwrap() == whole);
    assert!(fs::read(out.join("log.jsonl")).unwrap() == log);
}

#[test]
fn a_run_without_a_checkpoint_begins_again_and_leftovers_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out, whole) =
        (prepared(folder.path()), folder.path().join("run"), folder.path().join("whole"));
    train(coarse(2), &scans, &whole);
    drop(Run::create(setup(coarse(2), &scans, &out), &RUNNING, &mut |_| {}).unwrap());
    let leftovers = [
        ".run.json.7.partial",
        "checkpoints/.final.safetensors.7.partial",
        "predictions/.a.nii.gz.7.partial",
    ];
    for name in leftovers {
        fs::write(out.join(name), "half").unwrap();
    }
    let mut run = resume(&out, &scans, &mut |_| {}).unwrap();
    assert!(leftovers.iter().all(|name| !out.join(name).exists()));
    run.train(&RUNNING, &mut |_| {}).unwrap();
    for name in ["log.jsonl", "checkpoints/final.safetensors", "metrics.csv"] {
        assert!(fs::read(out.join(name)).unwrap() == fs::read(whole.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn a_run_folder_is_used_by_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    let first = Run::create(setup(coarse(1), &scans, &out), &RUNNING, &mut |_| {}).unwrap();
    let message = resume(&out, &scans, &mut |_| {}).err().expect("an error").to_string();
    let host =
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "an unknown host".to_owned());
    let holder = format!("process {} on {}", std::process::id(), host.trim());
    let problem = format!("is in use by {holder}; wait until that has ended, or choose another run folder");
    assert_eq!(message, format!("{}: {problem}", out.display()));
    drop(first);
    resume(&out, &scans, &mut |_| {}).unwrap();
}

#[test]
fn what_a_run_was_made_from_must_be_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    train(six(), &scans, &out);
    let message = || resume(&out, &scans, &mut |_| {}).err().expect("an error").to_string();

    let config = fs::read_to_string(out.join("config.json")).unwrap();
    fs::write(out.join("config.json"), config.replace("\"seed\": 5", "\"seed\": 6")).unwrap();
    let settings =
        "was made with other settings than config.json holds now; restore config.json, or start the run anew";
    assert_eq!(message(), format!("{}: {settings}", out.join("run.json").display()));
    fs::write(out.join("config.json"), config).unwrap();

    let log = out.join("log.jsonl");
    fs::write(&log, "").unwrap();
    let problem = "has 0 bytes, but the checkpoint was written after ";
    assert!(message().starts_with(&format!("{}: {problem}", log.display())), "{}", message());
    assert!(message().ends_with("; restore the log, or start the run anew"), "{}", message());

    let manifest = scans.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("Balls in noise.", "Other balls.")).unwrap();
    let data = format!(
        "was made from other scans than {} holds now; prepare the same scans again, or start the run anew",
        scans.display()
    );
    assert_eq!(message(), format!("{}: {data}", out.join("run.json").display()));
}

#[test]
fn a_scan_that_vanishes_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let scans = prepared(folder.path());
    let image = scans.join("images/ball5.nii");
    let expected = |path: &Path| {
        let problem = "No such file or directory (os error 2)";
        format!("case ball5: {}: {problem}; check the path, and whether its disk is there", path.display())
    };
    // Between two steps; the scan is opened for the next validation.
    let out = folder.path().join("run");
    let mut config = tiny("supervised-ensemble", 3);
    config.training.validate_every = 2;
    config.data.validation = CaseList::Ids(vec!["ball5".to_owned()]);
    let mut run = Run::create(setup(config.clone(), &scans, &out), &RUNNING, &mut |_| {}).unwrap();
    let away = folder.path().join("away.nii");
    let message = run.train(&RUNNING, &mut |event| {
        if matches!(event, Event::Step { .. }) && image.exists() {
            fs::rename(&image, &away).unwrap();
        }
    });
    assert_eq!(message.unwrap_err().to_string(), expected(&image));
    drop(run);
    // Before a run: a scan to train on.
    config.data.validation = CaseList::Ids(vec!["ball4".to_owned()]);
    config.data.labelled = 5;
    let message = Run::create(setup(config, &scans, &folder.path().join("other")), &RUNNING, &mut |_| {});
    assert_eq!(message.err().expect("an error").to_string(), expected(&image));
    // With the scan back, the first run goes on.
    fs::rename(&away, &image).unwrap();
    resume(&out, &scans, &mut |_| {}).unwrap().train(&RUNNING, &mut |_| {}).unwrap();
}

#[test]
fn a_stop_is_heard_while_scans_are_brought_to_the_working_grid_and_between_windows() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    let stop = AtomicBool::new(false);
    let created = Run::create(setup(coarse(1), &scans, &out), &stop, &mut |event| {
        if let Event::Resampling { done: 2, .. } = event {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert!(matches!(created, Err(Error::Stopped)));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["balls"]);

    stop.store(false, Ordering::Relaxed);
    let mut run = Run::create(setup(coarse(1), &scans, &out), &stop, &mut |_| {}).unwrap();
    let mut windows = 0;
    let trained = run.train(&stop, &mut |event| {
        if let Event::Validating { .. } = event {
            windows += 1;
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert!(
        matches!(&trained, Err(Error::Interrupted { steps: 1, checkpoint }) if *checkpoint == out.join("checkpoints/final.safetensors"))
    );
    assert_eq!(windows, 1);
}
