//! `tandem prepare-data`.

use crate::program::Program;
use crate::scans;
use ndarray::{Array3, Axis, concatenate};
use tandem_reference::largest_difference;
use tandem_volume::prepared::{PreparedSet, Split};
use tandem_volume::{Volume, write_image, write_label};

fn prepared(program: &Program, name: &str) -> PreparedSet {
    PreparedSet::open(program.path(&format!("data/prepared/{name}"))).expect("a prepared set")
}

#[test]
fn phantoms_are_a_function_of_their_seed() {
    let digest = |seed: &str| {
        let program = Program::new();
        program.run(&["prepare-data", "--cases", "2", "--spacing", "5", "--seed", seed]).succeeded();
        prepared(&program, "phantom").digest().to_owned()
    };
    let first = digest("3");
    assert_eq!(first, digest("3"));
    assert_ne!(first, digest("4"));
}

#[test]
fn the_last_fifth_of_the_phantoms_is_the_test_list() {
    let program = Program::with_phantoms();
    let set = prepared(&program, "phantom");
    let test: Vec<bool> = set.manifest().cases.iter().map(|case| case.split == Split::Test).collect();
    assert_eq!(test, [false, false, false, false, false, false, false, true]);
    assert!(set.manifest().cases.iter().all(|case| case.labelled && case.foreground_voxels > Some(0)));
}

#[test]
fn what_is_prepared_stays_until_it_is_forced() {
    let program = Program::with_phantoms();
    let before = prepared(&program, "phantom").digest().to_owned();
    let again = program.run(&["prepare-data", "--cases", "8", "--spacing", "4"]).succeeded();
    assert!(again.stdout.contains("prepared already"), "{again:?}");
    program.run(&["prepare-data", "--cases", "2", "--spacing", "4"]).refused(&[
        "phantom was prepared with --cases 8, not with --cases 2",
        "--force",
        "--out DIR",
    ]);
    program.run(&["prepare-data", "--cases", "8", "--spacing", "4", "--seed", "2"]).refused(&["--seed 1337"]);
    // Earlier versions kept no options; how many phantoms there are shows all the same.
    std::fs::remove_file(program.path("data/prepared/phantom/options.json")).unwrap();
    program.run(&["prepare-data", "--cases", "2"]).refused(&["with --cases 8, not with --cases 2"]);
    let again = program.run(&["prepare-data", "--cases", "8"]).succeeded();
    assert!(
        again.stdout.contains("kept no options") && again.stdout.contains("prepared already"),
        "{again:?}"
    );
    assert_eq!(prepared(&program, "phantom").digest(), before);
    program.run(&["prepare-data", "--cases", "2", "--spacing", "5", "--force"]).succeeded();
    assert_eq!(prepared(&program, "phantom").manifest().cases.len(), 2);
    let names: Vec<_> = std::fs::read_dir(program.path("data/prepared")).unwrap().flatten().collect();
    assert_eq!(names.len(), 1, "something was left beside the prepared set: {names:?}");
}

#[test]
fn pairs_keep_their_lists_their_grid_and_their_missing_labels() {
    let program = Program::new();
    let source = program.path("scans");
    for (id, labelled) in [("a", true), ("b", false), ("c", true), ("left-out", true)] {
        scans::write_pair(&source, id, labelled);
    }
    std::fs::write(source.join("train.list"), "c\nb\n").unwrap();
    std::fs::write(source.join("test.list"), "a\n").unwrap();
    let ended = program.run(&["prepare-data", "la", "--source", "scans"]).succeeded();
    assert!(ended.stdout.contains("1 scans of scans are in no list"), "{ended:?}");

    let set = prepared(&program, "la");
    let cases = &set.manifest().cases;
    let listed: Vec<_> = cases.iter().map(|case| (case.id.as_str(), case.split, case.labelled)).collect();
    assert_eq!(listed, [("c", Split::Train, true), ("b", Split::Train, false), ("a", Split::Test, true)]);
    assert!(cases[0].note.as_deref().unwrap_or_default().contains("z-scored"), "{:?}", cases[0].note);
    assert_eq!(cases[0].sources.len(), 2);
    let case = set.case("c").unwrap();
    assert!(case.geometry().same_grid(&scans::oblique(), scans::SHAPE));
    assert_eq!(case.read_label().unwrap().unwrap().array(), scans::label(scans::oblique()).array());
}

#[test]
fn left_atria_are_checked_as_any_scans_are() {
    let program = Program::new();
    let source = program.path("scans");
    for id in ["a", "b", "c"] {
        scans::write_pair(&source, id, id == "a");
    }
    let prepare =
        |more: &[&str]| program.run(&[&["prepare-data", "la", "--source", "scans"][..], more].concat());
    let image = |id: &str| source.join(format!("images/{id}.nii.gz"));
    std::fs::copy(image("a"), image("twin")).unwrap();
    prepare(&[]).refused(&["1 errors in scans", "twin has the same voxels as a", "check-data"]);
    std::fs::remove_file(image("twin")).unwrap();

    let (mut array, grid) = scans::image(scans::oblique()).into_parts();
    array[[1, 2, 3]] = f32::NAN;
    write_image(image("c"), &Volume::new(array, grid)).unwrap();
    prepare(&[]).refused(&["images/c.nii.gz", "1 voxels are not finite, the first (1, 2, 3) (NaN)"]);
    // Of the first scans alone, the last one is not looked at.
    prepare(&["--cases", "2"]).succeeded();
    assert_eq!(prepared(&program, "la").manifest().cases.len(), 2);
    std::fs::remove_file(image("c")).unwrap();

    let label = |id: &str| source.join(format!("labels/{id}.nii.gz"));
    std::fs::copy(label("a"), label("lonely")).unwrap();
    prepare(&["--force"]).refused(&["labels/lonely.nii.gz is a label map without an image"]);
    std::fs::remove_file(label("lonely")).unwrap();
    std::fs::remove_file(label("a")).unwrap();
    prepare(&["--force"]).refused(&["no scan for training has a label map"]);
    assert_eq!(prepared(&program, "la").manifest().cases.len(), 2, "what was there is gone");
}

#[test]
fn the_benchmarks_files_agree_with_the_pairs_made_from_them() {
    let Some(shared) = tandem_reference::reference("la-h5") else { return };
    let program = Program::new();
    let source = shared.to_str().unwrap();
    program.run(&["prepare-data", "la", "--source", source]).succeeded();
    let set = prepared(&program, "la");
    assert_eq!(set.manifest().cases.len(), 2);
    for record in &set.manifest().cases {
        let pair = shared.with_file_name("la");
        let image = tandem_volume::read_image(pair.join(format!("images/{}.nii.gz", record.id))).unwrap();
        let label = tandem_volume::read_label(pair.join(format!("labels/{}.nii.gz", record.id))).unwrap();
        let case = set.case(&record.id).unwrap();
        assert_eq!(record.spacing, [0.625; 3]);
        assert_eq!(case.read_label().unwrap().unwrap().array(), label.array());
        let prepared = case.read_image().unwrap().into_channels().swap_remove(0);
        let farthest =
            largest_difference(prepared.array().as_slice().unwrap(), image.array().as_slice().unwrap());
        // The pairs hold 8-bit codes that restore the z-scores.
        assert!(farthest < 1e-6, "{}: {farthest}", record.id);
    }
}

#[test]
fn label_maps_on_another_grid_are_resampled_on_request_only() {
    let program = Program::new();
    let source = program.path("scans");
    scans::write_pair(&source, "a", true);
    scans::write_pair(&source, "b", true);
    // The same ball, on a grid that begins two voxels earlier along j and is stored from the other end of i.
    let (array, grid) = scans::label(scans::oblique()).into_parts();
    let wider = concatenate![Axis(1), Array3::zeros((20, 2, 12)), array];
    let wider = Volume::new(wider, grid.starting_at([0.0, -2.0, 0.0]).unwrap());
    let turned = wider.reoriented("RAS".parse().unwrap()).unwrap();
    write_label(source.join("labels/b.nii.gz"), &turned).unwrap();

    let arguments = ["prepare-data", "la", "--source", "scans"];
    program.run(&arguments).refused(&[
        "labels/b.nii.gz",
        "[20, 20, 12]",
        "[20, 18, 12]",
        "--resample-labels",
    ]);
    let moved = Volume::new(
        scans::label(scans::oblique()).into_parts().0,
        grid.starting_at([0.1, 0.0, 0.0]).unwrap(),
    );
    write_label(source.join("labels/a.nii.gz"), &moved).unwrap();
    program.run(&arguments).refused(&["2 errors", "labels/a.nii.gz", "0.300 mm", "--resample-labels"]);
    scans::write_pair(&source, "a", true);

    program.run(&["prepare-data", "la", "--source", "scans", "--resample-labels"]).succeeded();
    let set = prepared(&program, "la");
    let note = |id: &str| set.manifest().case(id).unwrap().note.clone().unwrap_or_default();
    assert!(!note("a").contains("resampled"), "{}", note("a"));
    assert!(
        note("b").contains("z-scored") && note("b").contains("label map of [20, 20, 12] voxels resampled")
    );
    assert!(note("b").contains("mm apart"), "{}", note("b"));
    let label = set.case("b").unwrap().read_label().unwrap().unwrap();
    assert_eq!(label.array(), scans::label(scans::oblique()).array());
}
