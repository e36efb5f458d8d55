//! Bad input: one error that names file and remedy, and nothing half-written.

use crate::program::Program;
use crate::{experiment, scans};
use ndarray::Array3;
use std::path::Path;
use tandem_volume::{Geometry, Volume, write_label};

/// Prepares a folder with one sound pair that `spoil` has changed, and checks that it is refused.
fn check(spoil: impl Fn(&Path), words: &[&str]) {
    let program = Program::new();
    let source = program.path("scans");
    scans::write_pair(&source, "a", true);
    spoil(&source);
    program.run(&["prepare-data", "la", "--source", "scans"]).refused(words);
    let left = std::fs::read_dir(program.path("data/prepared")).into_iter().flatten().count();
    assert_eq!(left, 0, "something half-written was left in data/prepared");
}

#[test]
fn a_missing_source_folder_is_named() {
    let program = Program::new();
    program.run(&["prepare-data", "la", "--source", "nowhere"]).refused(&["nowhere", "--source"]);
    program.run(&["prepare-data", "la"]).refused(&["--source DIR"]);
}

#[test]
fn a_folder_without_scans_says_what_it_needs() {
    let program = Program::new();
    std::fs::create_dir(program.path("empty")).unwrap();
    program.run(&["prepare-data", "la", "--source", "empty"]).refused(&[
        "empty",
        "images/ID.nii.gz",
        "lgemri.nrrd",
    ]);
}

#[test]
fn a_label_map_on_another_grid_is_refused() {
    let shifted = |source: &Path| {
        let label = scans::label(Geometry::isotropic(3.0).unwrap());
        write_label(source.join("labels/a.nii.gz"), &label).unwrap();
    };
    check(shifted, &["labels/a.nii.gz", "mm from those of its image", "--resample-labels"]);
    let smaller = |source: &Path| {
        let label = Volume::new(Array3::<u8>::zeros((20, 18, 11)), scans::oblique());
        write_label(source.join("labels/a.nii.gz"), &label).unwrap();
    };
    check(smaller, &["labels/a.nii.gz", "[20, 18, 11]", "[20, 18, 12]"]);
}

#[test]
fn a_file_that_is_cut_short_is_named() {
    let cut = |source: &Path| {
        let path = source.join("images/a.nii.gz");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    };
    check(cut, &["images/a.nii.gz", "cut short"]);
}

#[test]
fn labels_beyond_the_classes_are_refused() {
    let third_class = |source: &Path| {
        let label = Volume::new(Array3::from_elem(scans::SHAPE, 2u8), scans::oblique());
        write_label(source.join("labels/a.nii.gz"), &label).unwrap();
    };
    check(third_class, &["labels/a.nii.gz", "label 2", "0 and 1"]);
}

#[test]
fn a_list_that_names_a_missing_scan_is_refused() {
    check(|source| std::fs::write(source.join("train.list"), "a\nb\n").unwrap(), &["train.list names b"]);
}

#[test]
fn a_patch_larger_than_the_scans_is_padded() {
    let program = Program::with_phantoms();
    let large = ["--set", "training.patch=[48, 32, 32]", "--set", "training.iterations=1"];
    experiment::run(&program, "run", &large).succeeded();
}

#[test]
fn a_run_folder_that_exists_is_left_alone() {
    let program = Program::with_phantoms();
    std::fs::create_dir(program.path("run")).unwrap();
    std::fs::write(program.path("run/notes.txt"), "mine").unwrap();
    experiment::run(&program, "run", &[]).refused(&["run", "--out"]);
    assert_eq!(std::fs::read_dir(program.path("run")).unwrap().count(), 1);
}

#[test]
fn settings_that_do_not_exist_are_named() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iteratoins=3"]).refused(&["iteratoins"]);
    experiment::run(&program, "run", &["--set", "method.options.lambda=3"]).refused(&["lambda"]);
    experiment::run(&program, "run", &["--method", "magic"]).refused(&["magic", "dual-networks"]);
    experiment::run(&program, "run", &["--set", "training.patch=[15, 16, 16]"]).refused(&["training.patch"]);
    program.run(&["experiment", "nowhere"]).refused(&["nowhere"]);
    assert!(!program.path("run").exists(), "a refused run left its folder behind");
}

#[test]
fn prediction_of_what_is_no_scan_is_refused() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iterations=1"]).succeeded();
    std::fs::write(program.path("text.nii.gz"), "not a scan").unwrap();
    program.run(&["predict", "run", "text.nii.gz", "-o", "out"]).refused(&["text.nii.gz"]);
    program.run(&["predict", "run", "missing.nii", "-o", "out"]).refused(&["missing.nii"]);
    program.run(&["predict", "nowhere", "text.nii.gz", "-o", "out"]).refused(&["nowhere"]);
}

#[test]
fn an_evaluation_goes_on_past_what_it_cannot_read() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iterations=1"]).succeeded();
    let source = program.path("scans");
    scans::write_pair(&source, "a", true);
    scans::write_pair(&source, "b", true);
    std::fs::write(source.join("labels/b.nii.gz"), "not a label map").unwrap();
    let ended = program.run(&["evaluate", "run", "--cases", "scans", "-o", "partly"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    for said in ["labels/b.nii.gz", "1 of 2 scans could not be read", "not among the scores: b"] {
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(program.path("partly/summary.json")).unwrap()).unwrap();
    assert_eq!(summary["unread"], serde_json::json!(["b"]));
    assert!(program.path("partly/predictions/a.nii.gz").exists());
    program.run(&["report", "run", "--evaluation", "../partly"]).succeeded();
    let page = std::fs::read_to_string(program.path("run/report.html")).unwrap();
    assert!(page.contains("scans that could not be read have no part in the scores: b"));
    // Where none can be read, there is nothing to keep.
    let whole = std::fs::read(source.join("labels/a.nii.gz")).unwrap();
    std::fs::write(source.join("labels/a.nii.gz"), "not a label map").unwrap();
    program.run(&["evaluate", "run", "--cases", "scans", "-o", "out"]).refused(&["no scan could be read"]);
    assert!(!program.path("out").exists());
    std::fs::write(source.join("labels/a.nii.gz"), whole).unwrap();
    std::fs::remove_file(source.join("labels/b.nii.gz")).unwrap();
    let ended = program.run(&["evaluate", "run", "--cases", "scans", "-o", "out"]).succeeded();
    assert!(ended.stdout.contains("1 of 2 scans have no label map and are left out"), "{ended:?}");
    assert!(
        program.path("out/predictions/a.nii.gz").exists()
            && !program.path("out/predictions/b.nii.gz").exists()
    );
    std::fs::remove_file(source.join("labels/a.nii.gz")).unwrap();
    program
        .run(&["evaluate", "run", "--cases", "scans", "-o", "none"])
        .refused(&["none of the 2 scans has a label map to be scored by", "predict"]);
    assert!(!program.path("none").exists());
}
