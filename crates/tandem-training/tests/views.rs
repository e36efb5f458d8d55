//! What the patches of a batch look like: random changes of them, and their strong view.

use crate::reference::tiny;
use crate::run::{RUNNING, prepared, setup, stop_and_resume, train};
use candle_core::Device;
use std::fs;
use std::path::Path;
use tandem_augment::Transform;
use tandem_training::{
    AugmentationConfig, Augmented, Config, Dataset, Event, Lists, NonFinite, Patch, Picks, Run, batch,
    read_ahead,
};
use tandem_volume::prepared::PreparedSet;

/// Two labelled scans and two that are not, in patches of 16 voxels.
fn dataset(scans: &Path) -> Dataset {
    let ids = |range: std::ops::Range<u64>| range.map(|index| format!("ball{index}")).collect();
    let lists = Lists { labelled: ids(0..2), unlabelled: ids(2..4), validation: vec![] };
    Dataset::open(&PreparedSet::open(scans).unwrap(), &lists, [16; 3], 5).unwrap()
}

fn picks() -> Picks {
    Picks { labelled: vec![1, 0], unlabelled: vec![3, 2] }
}

fn patches(dataset: &Dataset, step: u64) -> Vec<Patch> {
    dataset.patches(step, &picks()).unwrap()
}

/// All that moves voxels, and noise.
fn augmentation() -> AugmentationConfig {
    let patches = serde_json::from_value(serde_json::json!({
        "turn": { "probability": [0, 0, 1] },
        "flip": { "probability": [0.5, 0.5, 0.5] },
        "affine": { "probability": 0.8, "rotation_degrees": [15, 15, 15], "scale": [0.8, 1.25], "shift_mm": [2, 2, 2] },
        "elastic": { "probability": 0.8, "knots_mm": 8, "displacement_mm": [1, 3] },
        "noise": { "probability": 0.5, "deviation": [0, 0.2] },
    }));
    AugmentationConfig { patches: patches.unwrap(), ..AugmentationConfig::default() }
}

#[test]
fn label_maps_of_unlabelled_scans_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let scans = prepared(folder.path());
    for id in 2..4 {
        fs::write(scans.join(format!("labels/ball{id}.nii")), "nothing that could be read").unwrap();
    }
    let read = patches(&dataset(&scans), 3);
    assert_eq!(
        read.iter().map(|patch| patch.label.is_some()).collect::<Vec<_>>(),
        [true, true, false, false]
    );
    // One that is asked for as an unlabelled one does not show its label either; there is no fifth.
    let others = |unlabelled| Picks { labelled: vec![], unlabelled };
    assert_eq!(dataset(&scans).patches(3, &others(vec![0])).unwrap()[0].label, None);
    let error = dataset(&scans).patches(3, &others(vec![4])).unwrap_err();
    assert_eq!(error.to_string(), "picks name case 4, but the dataset has 4, counted from 0");
}

#[test]
fn a_strong_view_is_the_image_with_other_intensities_and_is_made_where_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let scans = prepared(folder.path());
    // Every patch of it is changed.
    let noise = serde_json::json!({ "noise": { "probability": 1, "deviation": [0.1, 0.1] } });
    let config =
        AugmentationConfig { strong_view: Some(serde_json::from_value(noise).unwrap()), ..augmentation() };
    let plain = dataset(&scans).with_augmentation(config.clone());
    let seeing = dataset(&scans).with_augmentation(config).with_strong_view(true);
    let (first, second) = (patches(&seeing, 3), patches(&seeing, 4));
    assert_eq!(first, patches(&seeing, 3));
    for (patch, of_plain) in first.iter().zip(patches(&plain, 3)) {
        assert!(of_plain.strong.is_none());
        assert_eq!((&patch.image, &patch.label), (&of_plain.image, &of_plain.label));
        let change = patch.strong.as_ref().unwrap() - &patch.image;
        let deviation = (change.iter().map(|v| v * v).sum::<f32>() / change.len() as f32).sqrt();
        // Four standard errors of 4096 numbers.
        assert!((deviation - 0.1).abs() < 4.0 * 0.1 / 8192f32.sqrt(), "{deviation}");
    }
    let changes: Vec<_> =
        [&first[0], &first[1], &second[0]].map(|patch| patch.strong.as_ref().unwrap() - &patch.image).into();
    assert!(changes[0] != changes[1] && changes[0] != changes[2], "step and slot give other draws");
}

#[test]
fn reading_ahead_or_beginning_later_changes_no_patch() {
    let folder = tempfile::tempdir().unwrap();
    let scans = prepared(folder.path());
    let dataset = dataset(&scans).with_augmentation(augmentation()).with_strong_view(true);
    let expected: Vec<_> = (0..6).map(|step| patches(&dataset, step)).collect();
    assert!(expected.windows(2).all(|pair| pair[0] != pair[1]));
    for first in [0, 3] {
        let ahead = read_ahead(
            first..6,
            |step| dataset.patches(step, &picks()),
            |batches| (first..6).map(|_| batches.next()).collect::<tandem_training::Result<Vec<_>>>(),
        );
        assert_eq!(ahead.unwrap(), expected[first as usize..]);
    }
}

#[test]
fn the_log_of_a_patch_replays_it() {
    let folder = tempfile::tempdir().unwrap();
    let scans = prepared(folder.path());
    let dataset = dataset(&scans).with_augmentation(augmentation()).with_strong_view(true);
    let set = PreparedSet::open(&scans).unwrap();
    let (read, log) = (patches(&dataset, 7), dataset.augmentations(7, &picks()));
    assert_eq!(
        log.iter().map(|patch| patch.case.as_str()).collect::<Vec<_>>(),
        ["ball1", "ball0", "ball3", "ball2"]
    );
    let log: Vec<Augmented> = serde_json::from_str(&serde_json::to_string(&log).unwrap()).unwrap();
    for (drawn, patch) in log.into_iter().zip(read) {
        let case = set.case(&drawn.case).unwrap();
        let (image, label) = case.read_patch(drawn.crop.start, drawn.crop.size).unwrap();
        let replayed = drawn.patch.apply(tandem_augment::Patch::new(image, label).unwrap());
        assert_eq!(replayed.image(), &patch.image);
        assert!(patch.label.is_none_or(|label| replayed.label() == Some(&label)));
        let strong = tandem_augment::Patch::new(patch.image, None).unwrap();
        assert_eq!(drawn.strong_view.unwrap().apply(strong).image(), &patch.strong.unwrap());
    }
}

/// A method that learns from strong views, on patches that are changed.
fn config(iterations: u64) -> Config {
    let mut config = tiny("tandem", iterations);
    config.augmentation = augmentation();
    config
}

#[test]
fn an_augmented_run_gives_the_same_bytes_after_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let scans = prepared(folder.path());
    let out = |name: &str| folder.path().join(name);
    train(config(4), &scans, &out("straight"));
    let after_step = |event: &Event<'_>| matches!(event, Event::Step { record, .. } if record.step == 1);
    assert_eq!(stop_and_resume(config(4), &scans, &out("stopped"), &[&after_step]), [2]);
    let read = |run: &str, file: &str| fs::read(out(run).join(file)).unwrap();
    for file in ["config.json", "log.jsonl", "checkpoints/final.safetensors", "report.md"] {
        assert!(read("straight", file) == read("stopped", file), "{file} differs after a resume");
    }
    let report = String::from_utf8(read("straight", "report.md")).unwrap();
    assert!(
        report.contains("Augmentation: turn, flip, affine, elastic, noise; of a strong view: strong"),
        "{report}"
    );
    train(Config { augmentation: AugmentationConfig::default(), ..config(4) }, &scans, &out("plain"));
    assert!(read("straight", "log.jsonl") != read("plain", "log.jsonl"));
    // What nobody said is written down all the same: a later program may have another preset of that name.
    let plain: Config = serde_json::from_slice(&read("plain", "config.json")).unwrap();
    assert_eq!(plain.augmentation.strong_view, Some(plain.augmentation.strong_view()));
}

#[test]
fn what_was_drawn_for_a_step_that_broke_is_kept_with_both_views() {
    let folder = tempfile::tempdir().unwrap();
    let (scans, out) = (prepared(folder.path()), folder.path().join("run"));
    let mut config = config(6);
    config.training.non_finite = NonFinite::Stop;
    let mut run = Run::create(setup(config, &scans, &out), &RUNNING, &mut |_| {}).unwrap();
    crate::guards::spoil(&scans);
    run.train(&RUNNING, &mut |_| {}).unwrap_err();
    let kept = fs::read_dir(out.join("failures")).unwrap().next().unwrap().unwrap().path();
    let told: serde_json::Value =
        serde_json::from_slice(&fs::read(kept.join("failure.json")).unwrap()).unwrap();
    let drawn: Vec<Augmented> = serde_json::from_value(told["patches"].clone()).unwrap();
    let tensors = candle_core::safetensors::load(kept.join("batch.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(tensors["strong"].dims(), tensors["images"].dims());
    // The batch comes back from the log, NaN for NaN.
    let set = PreparedSet::open(&scans).unwrap();
    let read = |drawn: &Augmented| {
        let (image, _) =
            set.case(&drawn.case).unwrap().read_patch(drawn.crop.start, drawn.crop.size).unwrap();
        let image = drawn.patch.apply(tandem_augment::Patch::new(image, None).unwrap()).into_parts().0;
        Patch { image, label: None, strong: None }
    };
    let again = batch::stack(&drawn.iter().map(read).collect::<Vec<_>>(), &Device::Cpu).unwrap();
    let bits = |tensor: &candle_core::Tensor| -> Vec<u32> {
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    assert!(bits(&again.images) == bits(&tensors["images"]));
}
