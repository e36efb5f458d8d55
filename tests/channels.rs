//! Scans of two channels and label maps of three classes, from the prepared folder to the label map of a new scan.

use crate::experiment;
use crate::program::Program;
use ndarray::{Array3, Zip};
use serde_json::Value;
use std::path::Path;
use tandem_volume::prepared::{NewCase, Source, Split, Writer};
use tandem_volume::{Geometry, Image, Subject, Volume, read_label, write_image};

const SHAPE: [usize; 3] = [22, 20, 18];

fn grid() -> Geometry {
    let (sin, cos) = 0.3f64.sin_cos();
    let direction = [[-cos, -sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]];
    Geometry::new([3.0, 3.5, 4.0], [31.0, -42.5, 17.25], direction).expect("a sound grid")
}

/// Two balls, one a class, each of which shows in one channel only; `number` moves them.
fn scan(number: usize) -> Subject {
    let ball = |centre: [f64; 3]| {
        Array3::from_shape_fn(SHAPE, |(i, j, k)| {
            let square = |index: usize, axis: usize| (index as f64 - centre[axis]).powi(2);
            square(i, 0) + square(j, 1) + square(k, 2) < 14.0
        })
    };
    let shift = number as f64 * 0.6;
    let balls = [ball([6.0 + shift, 9.0, 8.0]), ball([15.0, 9.0 + shift, 10.0])];
    let texture =
        |(i, j, k): (usize, usize, usize)| ((3 * i + 5 * j + 7 * k + number) % 11) as f32 / 10.0 - 0.9;
    let channel = |ball: &Array3<bool>| {
        let mut array = Array3::from_shape_fn(SHAPE, texture);
        Zip::from(&mut array).and(ball).for_each(|voxel, &inside| *voxel += if inside { 3.0 } else { 0.0 });
        Volume::new(array, grid())
    };
    let image = Image::new(balls.iter().map(channel).collect()).unwrap();
    let mut label = Array3::zeros(SHAPE);
    for (class, ball) in (1..).zip(&balls) {
        Zip::from(&mut label)
            .and(ball)
            .for_each(|voxel, &inside| *voxel = if inside { class } else { *voxel });
    }
    Subject::new(format!("case{number}"), image, Some(Volume::new(label, grid()))).unwrap()
}

/// A program with the prepared set `pair`: seven scans to train on, one for the test.
fn program() -> Program {
    program_with(|_, label| label)
}

/// The same, with other labels: what `relabelled` makes of a scan's number and a voxel's label.
fn program_with(relabelled: impl Fn(usize, u8) -> u8) -> Program {
    let program = Program::new();
    std::fs::create_dir_all(program.path("data/prepared")).unwrap();
    let writer = Writer::create(program.path("data/prepared/pair"), "pair", "Balls.").unwrap();
    let mut writer = writer
        .with_channels(["t1", "flair"])
        .unwrap()
        .with_classes(["background", "liver", "spleen"])
        .unwrap();
    for number in 0..8 {
        let split = if number < 7 { Split::Train } else { Split::Test };
        let sources = vec![Source { file: "made up".into(), sha256: None }];
        let (id, image, label) = scan(number).into_parts();
        let label = label.map(|label| {
            let (array, grid) = label.into_parts();
            Volume::new(array.mapv(|value| relabelled(number, value)), grid)
        });
        let subject = Subject::new(id, image, label).unwrap();
        writer.add(NewCase { subject: &subject, split, sources, note: None }).unwrap();
    }
    writer.finish().unwrap();
    program
}

fn train(program: &Program, out: &str, more: &[&str]) {
    let mut settings = vec!["--set", "data.dataset=[\"pair\"]"];
    settings.extend(more);
    experiment::run(program, out, &settings).succeeded();
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn two_channels_and_three_classes_go_all_the_way() {
    let program = program();
    train(&program, "run", &[]);
    let config: Value = serde_json::from_str(&read(&program.path("run/config.json"))).unwrap();
    assert_eq!(config["data"]["channels"], Value::from(vec!["t1", "flair"]));
    assert_eq!(config["data"]["classes"], Value::from(vec!["background", "liver", "spleen"]));

    // Two cases on two grids, by two networks and their ensemble, all of it and the largest component, each class and
    // their mean.
    let metrics = read(&program.path("run/metrics.csv"));
    for class in ["liver", "spleen", "mean"] {
        let rows = metrics.lines().filter(|line| line.split(',').nth(4) == Some(class));
        assert_eq!(rows.count(), 2 * 2 * 3 * 2, "{class}: {metrics}");
    }
    assert_eq!(metrics.lines().count(), 1 + 3 * 2 * 2 * 3 * 2);
    let report = read(&program.path("run/report.html"));
    assert!(report.contains("Pictures show the first of the 2 channels: t1."));
    let report = read(&program.path("run/report.md"));
    assert!(report.contains("| ensemble | spleen | ") && report.contains("| ensemble | mean | "), "{report}");
    assert!(report.contains("| ensemble (largest) | mean | "), "{report}");

    let arguments = ["evaluate", "run", "--cases", "data/prepared/pair", "--split", "test", "-o", "test"];
    let said = program.run(&arguments).succeeded().stdout;
    assert!(said.contains("spleen") && said.contains("mean"), "{said}");
    let label = read_label(program.path("test/predictions/case7.nii.gz")).unwrap();
    assert_eq!(label.shape(), SHAPE);
    assert!(label.array().iter().all(|&class| class < 3));
}

#[test]
fn a_scan_is_given_as_one_file_or_as_the_files_of_its_channels() {
    let program = program();
    train(&program, "run", &["--set", "training.iterations=2"]);
    let joined = "data/prepared/pair/images/case7.nii";
    let said =
        program.run(&["predict", "run", joined, "-o", "joined", "--intensities", "prepared"]).succeeded();
    assert!(said.stdout.contains("liver ") && said.stdout.contains(", spleen "), "{said:?}");
    let expected = read_label(program.path("joined/case7.nii.gz")).unwrap();
    assert_eq!((expected.shape(), expected.geometry().same_grid(&grid(), SHAPE)), (SHAPE, true));

    std::fs::create_dir(program.path("imagesTs")).unwrap();
    for (number, channel) in scan(7).image().channels().iter().enumerate() {
        write_image(program.path(&format!("imagesTs/case7_000{number}.nii.gz")), channel).unwrap();
    }
    // Both files named, as a shell names all files of a folder: still one scan.
    let files = ["imagesTs/case7_0000.nii.gz", "imagesTs/case7_0001.nii.gz"];
    let arguments = ["predict", "run", files[0], files[1], "-o", "files", "--intensities", "prepared"];
    program.run(&arguments).succeeded();
    let maps = std::fs::read_dir(program.path("files")).unwrap().flatten();
    let maps = maps.filter(|entry| entry.file_name().to_string_lossy().ends_with(".nii.gz"));
    assert_eq!(maps.count(), 1);
    assert_eq!(read_label(program.path("files/case7.nii.gz")).unwrap(), expected);

    std::fs::remove_file(program.path(files[1])).unwrap();
    let alone = ["predict", "run", files[0], "-o", "alone"];
    program.run(&alone).refused(&[
        "case7_0000.nii.gz",
        "has 1 channel(s)",
        "trained on 2",
        "CASE_0001.nii.gz",
    ]);
    // The second channel on a grid of its own.
    let moved = Volume::new(Array3::<f32>::zeros(SHAPE), Geometry::isotropic(3.0).unwrap());
    write_image(program.path(files[1]), &moved).unwrap();
    program.run(&alone).refused(&["case7_0001.nii.gz", "mm apart"]);
}

#[test]
fn every_method_takes_several_channels_and_classes() {
    let program = program();
    for method in ["dual-networks-released", "mcf", "supervised-ensemble"] {
        train(&program, method, &["--method", method, "--set", "training.iterations=1"]);
    }
    let bf16 = ["--set", "training.iterations=1", "--set", "precision=bf16"];
    train(&program, "bf16", &bf16);
}

#[test]
fn settings_that_contradict_the_data_are_refused() {
    let program = program();
    let refused = |setting: &str, words: &[&str]| {
        let settings = ["--set", "data.dataset=[\"pair\"]", "--set", setting];
        experiment::run(&program, "run", &settings).refused(words);
    };
    refused("data.channels=1", &["data.channels is 1", "the prepared scans have 2"]);
    for wrong in ["data.classes=2", "data.classes=7", "data.classes=[\"a\", \"b\"]"] {
        refused(wrong, &["data.classes is ", "the prepared scans have 3", "leave it out"]);
    }
    assert!(!program.path("run").exists());
}

#[test]
fn classes_that_no_labelled_scan_has_are_told_and_do_not_end_the_run() {
    let once = ["--set", "data.dataset=[\"pair\"]", "--set", "training.iterations=1"];
    // The last two of seven scans validate, the first two are labelled.
    let only_validated = program_with(|number, label| if number < 5 { label.min(1) } else { label });
    let ended = experiment::run(&only_validated, "run", &once).succeeded();
    let told =
        "warning: no labelled scan of this run has a label above 1, so the networks cannot learn spleen; ";
    assert!(ended.stderr.contains(told), "{ended:#?}");
    let ended = experiment::run(&only_validated, "json", &[&once[..], &["--json"]].concat()).succeeded();
    let warning = ended.stdout.lines().find(|line| line.contains("\"kind\":\"warning\"")).unwrap_or_default();
    assert!(warning.contains("cannot learn spleen"), "{ended:#?}");

    let empty = program_with(|number, label| if number < 5 { 0 } else { label });
    let ended = experiment::run(&empty, "run", &once).succeeded();
    assert!(ended.stderr.contains("can learn nothing but background"), "{ended:#?}");
    let ended = experiment::run(&program(), "run", &once).succeeded();
    assert!(!ended.stderr.contains("no labelled scan"), "{ended:#?}");
}
