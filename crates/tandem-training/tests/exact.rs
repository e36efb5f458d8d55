//! A run in pieces, and on another number of threads, is the run in one go: bit for bit, for every method.

use crate::run::{RUNNING, coarse, prepared, setup, stop_and_resume, train};
use candle_core::Device;
use std::fs;
use std::path::Path;
use tandem_training::{CaseList, Checkpoint, Config, Event, Run};

/// What a run leaves that must not depend on how it was run.
const RESULTS: [&str; 8] = [
    "log.jsonl",
    "metrics.csv",
    "summary.json",
    "report.md",
    "checkpoints/final.safetensors",
    "checkpoints/best.safetensors",
    "predictions/ball5.nii.gz",
    "uncertainty/ball5.nii.gz",
];

/// Four steps with a validation between them.
fn config(method: &str) -> Config {
    let mut config = coarse(4);
    config.method.name = method.to_owned();
    config.data.validation = CaseList::Last(2);
    config.training.validate_every = 2;
    config
}

fn on_threads(threads: usize, run: impl FnOnce() + Send) {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
}

#[test]
fn every_method_gives_the_same_bits_in_pieces_and_on_one_thread() {
    let folder = tempfile::tempdir().unwrap();
    let scans = prepared(folder.path());
    for method in tandem_objectives::names() {
        let out = |name: &str| folder.path().join(format!("{method}-{name}"));
        on_threads(2, || drop(train(config(method), &scans, &out("whole"))));
        on_threads(1, || drop(train(config(method), &scans, &out("alone"))));
        on_threads(2, || {
            // After one step, and again after the third.
            let after = |step| move |event: &Event<'_>| matches!(event, Event::Step { record, .. } if record.step == step);
            assert_eq!(
                stop_and_resume(config(method), &scans, &out("pieces"), &[&after(0), &after(2)]),
                [1, 3]
            );
        });
        for file in RESULTS {
            let bytes = |run: &str| fs::read(out(run).join(file)).unwrap();
            assert!(bytes("whole") == bytes("alone"), "{method}: {file} depends on threads");
            assert!(bytes("whole") == bytes("pieces"), "{method}: {file} depends on stops");
        }
    }
}

/// Steps of the checkpoints that a run has left, by file.
fn steps(run: &Path, name: &str) -> Option<u64> {
    let path = run.join("checkpoints").join(name);
    path.exists().then(|| Checkpoint::load(&path, &Device::Cpu).unwrap().header.steps)
}

#[test]
fn the_best_of_the_validations_is_kept_and_the_earlier_of_two() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    let mut config = config("supervised-ensemble");
    (config.training.iterations, config.training.validate_every) = (6, 1);
    let mut dice = Vec::new();
    let mut run = Run::create(setup(config.clone(), &scans, &out), &RUNNING, &mut |_| {}).unwrap();
    run.train(&RUNNING, &mut |event| {
        if let Event::Validated { steps, scores, .. } = event {
            dice.push((steps, tandem_training::ensemble_dice(&scores.summary()).unwrap()));
        }
    })
    .unwrap();
    assert_eq!(dice.iter().map(|(steps, _)| *steps).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let best = dice.iter().rev().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(steps(&out, "best.safetensors"), Some(best.0), "{dice:?}");
    assert_eq!(steps(&out, "final.safetensors"), Some(6));
    assert_eq!([4, 5].map(|at| steps(&out, &format!("step-0000000{at}.safetensors"))), [Some(4), Some(5)]);
    assert_eq!(fs::read_dir(out.join("checkpoints")).unwrap().count(), 4);

    // Without a validation on the way there is nothing to be best of.
    config.training.validate_every = 0;
    let out = folder.path().join("once");
    train(config, &scans, &out);
    assert_eq!((steps(&out, "best.safetensors"), steps(&out, "final.safetensors")), (None, Some(6)));
}
