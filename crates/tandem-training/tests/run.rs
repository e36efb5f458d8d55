//! Whole runs on tiny scans of balls.

use crate::reference::tiny;
use ndarray::Array3;
use std::cell::Cell;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tandem_networks::Device;
use tandem_random::Draws;
use tandem_training::{
    CaseList, Component, Config, Error, Event, Grid, Kernels, Precision, Provenance, Run, Scores, Setup,
    TrainedRun, evaluate, subjects, verify,
};
use tandem_volume::prepared::{NewCase, PreparedSet, Source, Split, Writer};
use tandem_volume::{Geometry, Subject, Volume, read_label};

/// Nobody asks to stop.
pub(crate) static RUNNING: AtomicBool = AtomicBool::new(false);

const SHAPE: [usize; 3] = [24, 20, 18];

/// A bright ball in noise, at 1 mm.
fn ball(index: u64) -> Subject {
    let mut draws = Draws::new(9, "ball", index, 0);
    let centre = SHAPE.map(|side| draws.uniform_in(0.35, 0.65) * side as f64);
    let inside = |(i, j, k): (usize, usize, usize)| {
        let offset = [i as f64 - centre[0], j as f64 - centre[1], k as f64 - centre[2]];
        offset.iter().map(|d| d * d).sum::<f64>() < 36.0
    };
    let label = Array3::from_shape_fn(SHAPE, |at| u8::from(inside(at)));
    let image = label.mapv(|class| f32::from(class) * 2.0 + 0.5 * draws.normal() as f32);
    let geometry = Geometry::isotropic(1.0).unwrap();
    let label = Some(Volume::new(label, geometry.clone()));
    Subject::new(format!("ball{index}"), Volume::new(image, geometry), label).unwrap()
}

/// Six training cases and a test case.
pub(crate) fn prepared(folder: &Path) -> PathBuf {
    let path = folder.join("balls");
    let mut writer = Writer::create(&path, "balls", "Balls in noise.").unwrap();
    for index in 0..7 {
        let split = if index < 6 { Split::Train } else { Split::Test };
        let sources = vec![Source { file: format!("ball {index}"), sha256: None }];
        writer.add(NewCase { subject: &ball(index), split, sources, note: None }).unwrap();
    }
    writer.finish().unwrap();
    path
}

pub(crate) fn setup<'a>(config: Config, prepared: &'a Path, folder: &'a Path) -> Setup<'a> {
    Setup { config, prepared, folder, device: Device::Cpu }
}

pub(crate) fn train(config: Config, prepared: &Path, folder: &Path) -> Scores {
    let mut run = Run::create(setup(config, prepared, folder), &RUNNING, &mut |_| {}).unwrap();
    run.train(&RUNNING, &mut |_| {}).unwrap()
}

/// The scans have 1 mm, the run 2 mm.
pub(crate) fn coarse(iterations: u64) -> Config {
    let mut config = tiny("dual-networks", iterations);
    config.data.spacing_mm = Some([2.0; 3]);
    config
}

#[test]
fn a_run_leaves_a_whole_folder_and_its_networks_can_be_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    let scores = train(coarse(2), &scans, &out);
    for file in [
        "config.json",
        "run.json",
        "log.jsonl",
        "metrics.csv",
        "summary.json",
        "report.md",
        "provenance.json",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    for finding in verify(&out).unwrap() {
        assert!(finding.outcome.is_ok(), "{finding:?}");
    }
    // Two networks and their ensemble, all that they predict and the largest component of it, on two grids.
    assert_eq!(scores.rows().len(), 12);
    assert_eq!(scores.rows().iter().filter(|row| row.grid == Grid::Working).count(), 6);
    let label = read_label(out.join("predictions/ball5.nii.gz")).unwrap();
    assert_eq!(label.shape(), SHAPE);
    assert!(label.geometry().same_grid(&Geometry::isotropic(1.0).unwrap(), SHAPE));
    let log = fs::read_to_string(out.join("log.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 4);
    assert!(log.starts_with("{\"steps\":0,\"kernels\":{\"precision\":\"f32\","), "{log}");
    assert!(log.lines().last().unwrap().starts_with("{\"steps\":2,\"validation\":["), "{log}");

    let trained = TrainedRun::open(&out, &Device::Cpu).unwrap();
    assert_eq!(trained.steps(), 2);
    let set = PreparedSet::open(&scans).unwrap();
    let ids = ["ball5".to_owned()];
    let again = evaluate(&trained.predictor().unwrap(), subjects(&set, &ids), None, &mut |_, _, _| {
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(again.scores, scores);
}

/// A run of the version that scored no components: its files are still read, and agree.
#[test]
fn an_older_run_is_still_read_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    let scores = train(coarse(1), &scans, &out);
    let rewrite = |file: &str, edit: &dyn Fn(String) -> String| {
        let path = out.join(file);
        fs::write(&path, edit(fs::read_to_string(&path).unwrap())).unwrap();
    };
    let lines_without = |text: String, word: &str| -> String {
        text.lines().filter(|line| !line.contains(word)).map(|line| format!("{line}\n")).collect()
    };
    let forget = |value: &mut serde_json::Value| {
        let rows = value.as_array_mut().unwrap();
        rows.retain(|row| row["component"] == "all");
        rows.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("component")));
    };
    rewrite("metrics.csv", &|text| {
        lines_without(text, ",largest,").replace(",component,", ",").replace(",all,", ",")
    });
    rewrite("summary.json", &|text| {
        let mut summary: serde_json::Value = serde_json::from_str(&text).unwrap();
        forget(&mut summary["scores"]);
        summary.to_string()
    });
    rewrite("log.jsonl", &|text| {
        let record = |line: &str| {
            let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
            match record.get_mut("validation").map(forget) {
                Some(()) => format!("{record}\n"),
                None => format!("{line}\n"),
            }
        };
        text.lines().map(record).collect()
    });
    rewrite("report.md", &|text| lines_without(text, "largest"));
    for finding in verify(&out).unwrap() {
        // The log is shorter now than its checkpoint says.
        assert!(finding.outcome.is_ok() || finding.file == "checkpoints", "{finding:?}");
    }
    let old = Scores::read_csv(&out.join("metrics.csv")).unwrap();
    let all = scores.rows().iter().filter(|row| row.component == Component::All);
    assert!(old.rows().iter().eq(all));
}

/// Runs until each of `wants` in turn says so of an event, and goes on with the folder in a new run each time; gives the
/// steps at which it was stopped.
pub(crate) fn stop_and_resume(
    config: Config,
    scans: &Path,
    out: &Path,
    wants: &[&dyn Fn(&Event<'_>) -> bool],
) -> Vec<u64> {
    let mut run = Run::create(setup(config, scans, out), &RUNNING, &mut |_| {}).unwrap();
    let mut stops = Vec::new();
    for wants in wants {
        let stop = AtomicBool::new(false);
        let stopped = run.train(&stop, &mut |event| {
            if wants(&event) {
                stop.store(true, Ordering::Relaxed);
            }
        });
        let Err(Error::Interrupted { steps, checkpoint }) = stopped else { panic!("{stopped:?}") };
        assert!(checkpoint.is_file());
        stops.push(steps);
        drop(run);
        run = Run::resume(out, scans, Device::Cpu, &RUNNING, &mut |_| {}).unwrap();
    }
    run.train(&RUNNING, &mut |_| {}).unwrap();
    stops
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_a_resumed_run_too() {
    let folder = tempfile::tempdir().unwrap();
    let scans = prepared(folder.path());
    let out = |name: &str| folder.path().join(name);
    let mut config = coarse(6);
    config.data.validation = CaseList::Last(2);
    (config.training.validate_every, config.training.checkpoint_every) = (2, 2);
    train(config.clone(), &scans, &out("straight"));
    train(config.clone(), &scans, &out("again"));

    // Stopped during training, and during the validation after four steps.
    let after_step = |event: &Event<'_>| matches!(event, Event::Step { record, .. } if record.step == 2);
    let steps = stop_and_resume(config.clone(), &scans, &out("stopped"), &[&after_step]);
    assert_eq!(steps, [3]);
    let validated = Cell::new(false);
    let second_validation = |event: &Event<'_>| {
        validated.set(validated.get() || matches!(event, Event::Validated { .. }));
        validated.get() && matches!(event, Event::Validating { .. })
    };
    let steps = stop_and_resume(config.clone(), &scans, &out("unvalidated"), &[&second_validation]);
    assert_eq!(steps, [4]);

    let read = |run: &str, file: &str| fs::read(out(run).join(file)).unwrap();
    for file in ["log.jsonl", "checkpoints/final.safetensors", "metrics.csv", "summary.json", "report.md"] {
        assert!(read("straight", file) == read("again", file), "{file} differs between two runs of one seed");
        assert!(read("straight", file) == read("stopped", file), "{file} differs after a resume");
        assert!(
            read("straight", file) == read("unvalidated", file),
            "{file} differs after a stop in a validation"
        );
    }
    for (run, pieces) in [("straight", vec![[0, 6]]), ("stopped", vec![[0, 3], [3, 6]])] {
        let provenance: Provenance = serde_json::from_slice(&read(run, "provenance.json")).unwrap();
        assert_eq!(provenance.pieces.iter().map(|piece| piece.steps).collect::<Vec<_>>(), pieces);
        assert!(provenance.seconds > 0.0 && provenance == Provenance::of(provenance.pieces.clone()));
        assert!(verify(&out(run)).unwrap().iter().all(|finding| finding.outcome.is_ok()));
    }
    let mut other = config;
    other.training.seed += 1;
    train(other, &scans, &out("other"));
    assert!(read("straight", "log.jsonl") != read("other", "log.jsonl"));
}

#[test]
fn a_run_in_bf16_goes_on_in_bf16_and_is_scored_in_bf16() {
    let folder = tempfile::tempdir().unwrap();
    let scans = prepared(folder.path());
    let out = |name: &str| folder.path().join(name);
    let mut config = coarse(4);
    config.precision = Precision::Bf16;
    let scores = train(config.clone(), &scans, &out("straight"));
    let after_step = |event: &Event<'_>| matches!(event, Event::Step { record, .. } if record.step == 1);
    assert_eq!(stop_and_resume(config.clone(), &scans, &out("stopped"), &[&after_step]), [2]);
    let read = |run: &str, file: &str| fs::read(out(run).join(file)).unwrap();
    for file in ["log.jsonl", "checkpoints/final.safetensors", "metrics.csv", "report.md"] {
        assert!(read("straight", file) == read("stopped", file), "{file} differs after a resume");
    }

    let trained = TrainedRun::open(&out("stopped"), &Device::Cpu).unwrap();
    assert_eq!(trained.config().precision, Precision::Bf16);
    let (set, ids) = (PreparedSet::open(&scans).unwrap(), ["ball5".to_owned()]);
    let again = evaluate(&trained.predictor().unwrap(), subjects(&set, &ids), None, &mut |_, _, _| {
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(again.scores, scores);
    // The comparisons mean something: f32 has other bits.
    config.precision = Precision::F32;
    train(config, &scans, &out("f32"));
    assert!(read("straight", "log.jsonl") != read("f32", "log.jsonl"));
}

#[test]
fn a_run_folder_names_the_precision_that_was_decided_on() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    let mut config = tiny("supervised-ensemble", 1);
    config.precision = Precision::Auto;
    let run = Run::create(setup(config, &scans, &out), &RUNNING, &mut |_| {}).unwrap();
    assert_eq!(run.config().precision, Precision::Auto.decided(&tandem_networks::Device::Cpu));
    assert_eq!(run.record().kernels, Kernels::of(Precision::Auto));
    let written: Config = serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(written.precision, Precision::Auto.decided(&tandem_networks::Device::Cpu));
}

#[test]
fn scans_are_brought_to_the_working_grid_once_and_the_test_list_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let scans = prepared(folder.path());
    let resampled = |out: &str| {
        let mut cases = 0;
        let mut observe = |event: Event<'_>| {
            if let Event::Resampling { done, .. } = event {
                cases = done;
            }
        };
        Run::create(setup(coarse(1), &scans, &folder.path().join(out)), &RUNNING, &mut observe).unwrap();
        cases
    };
    assert_eq!(resampled("first"), 6);
    assert_eq!(resampled("second"), 0);
    let copies: Vec<PathBuf> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("balls@2x2x2mm"))
        .collect();
    let copy = PreparedSet::open(&copies[0]).unwrap();
    assert_eq!(copies.len(), 1);
    assert_eq!(copy.manifest().cases.len(), 6);
    assert_eq!(copy.case("ball0").unwrap().shape(), [12, 10, 9]);
}

#[test]
fn what_is_wrong_is_said_before_a_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    let message = |change: fn(&mut Config)| {
        let mut config = tiny("dual-networks", 2);
        change(&mut config);
        let error = Run::create(setup(config, &scans, &out), &RUNNING, &mut |_| {}).err().expect("an error");
        assert!(!out.exists(), "{error}");
        error.to_string()
    };
    assert!(message(|c| c.method.name = "magic".into()).contains("dual-networks-released"));
    let unknown = message(|c| drop(c.method.options.insert("lamda_u".into(), 1.into())));
    assert!(unknown.contains("lamda_u"), "{unknown}");
    assert!(message(|c| c.data.labelled = 5).starts_with("training.batch_unlabelled is 2"));
    assert!(message(|c| c.data.labelled = 9).starts_with("data.labelled is 9"));
    assert!(message(|c| c.training.iterations = 0).starts_with("training.iterations"));

    fs::create_dir(&out).unwrap();
    let error =
        Run::create(setup(tiny("mcf", 2), &scans, &out), &RUNNING, &mut |_| {}).err().expect("an error");
    assert!(error.to_string().contains("exists already"), "{error}");
}

#[test]
fn a_scan_that_shrinks_during_a_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    let config = tiny("supervised-ensemble", 50);
    let mut run = Run::create(setup(config, &scans, &out), &RUNNING, &mut |_| {}).unwrap();
    for id in ["ball0", "ball1"] {
        let file = fs::OpenOptions::new().write(true).open(scans.join(format!("images/{id}.nii"))).unwrap();
        file.set_len(400).unwrap();
    }
    let message = run.train(&RUNNING, &mut |_| {}).unwrap_err().to_string();
    assert!(message.starts_with("case ball") && message.contains(".nii"), "{message}");
}
