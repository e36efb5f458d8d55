//! A user's own folder of scans, from `tandem check-data` by way of `tandem prepare-data custom` to a finished run.

use crate::program::Program;
use crate::scans;
use ndarray::{Axis, Slice};
use serde_json::Value;
use std::path::Path;
use tandem_volume::prepared::{Normalisation, PreparedSet, Split};
use tandem_volume::{Orientation, Volume, read_image, read_label, write_image, write_label};

/// A scan whose voxels are raised by `n`, so that no two are the same; its lowest ones fill the plane i = 0 and others. The
/// ball becomes brighter with k.
fn image(n: usize) -> Volume<f32> {
    let (mut array, grid) = scans::image(scans::oblique()).into_parts();
    for ((.., k), value) in array.indexed_iter_mut() {
        *value += (n + if *value > 200.0 { 3 * k } else { 0 }) as f32;
    }
    Volume::new(array, grid)
}

/// `images/` with `labels/`: four labelled scans and two without a label map.
fn pairs(program: &Program) {
    let folder = program.path("hearts");
    for (n, id) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
        scans::write_pair(&folder, id, n < 4);
        write_image(folder.join(format!("images/{id}.nii.gz")), &image(n)).unwrap();
    }
}

/// nnU-Net's layout: CT with two classes, four labelled scans, a test scan with a label map and one without.
fn nnunet(program: &Program) {
    let folder = program.path("Dataset007_Liver");
    for below in ["imagesTr", "labelsTr", "imagesTs", "labelsTs"] {
        std::fs::create_dir_all(folder.join(below)).unwrap();
    }
    let json = r#"{ "channel_names": { "0": "CT" }, "labels": { "background": 0, "liver": 1, "tumour": 2 },
        "numTraining": 4, "file_ending": ".nii.gz" }"#;
    std::fs::write(folder.join("dataset.json"), json).unwrap();
    for n in 0..6 {
        let (images, labels) = if n < 4 { ("imagesTr", "labelsTr") } else { ("imagesTs", "labelsTs") };
        write_image(folder.join(format!("{images}/liver_{n}_0000.nii.gz")), &image(n)).unwrap();
        if n < 5 {
            let (mut array, grid) = scans::label(scans::oblique()).into_parts();
            array.indexed_iter_mut().filter(|((.., k), _)| *k >= 6).for_each(|(_, value)| *value *= 2);
            write_label(folder.join(format!("{labels}/liver_{n}.nii.gz")), &Volume::new(array, grid))
                .unwrap();
        }
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn prepared(program: &Program, name: &str) -> PreparedSet {
    PreparedSet::open(program.path(&format!("data/prepared/{name}"))).unwrap()
}

/// Runs the proposed experiment, as it is but for its length and the width of its networks.
fn run(program: &Program, name: &str) {
    let short = ["--set", "training.iterations=2", "--set", "network.filters=2", "--set", "precision=f32"];
    let ended = program
        .run(&[&["experiment", name, "--profile", "quick", "--out", "run"][..], &short].concat())
        .succeeded();
    assert!(ended.stdout.contains("report.md, metrics.csv"), "{ended:?}");
    assert!(program.path("run/report.md").is_file());
}

#[test]
fn a_plain_folder_goes_from_check_data_to_a_finished_run() {
    let program = Program::new();
    pairs(&program);
    // One scan's axes run otherwise.
    let other: Orientation = "SRP".parse().unwrap();
    let turned = image(1).reoriented(other).unwrap();
    write_image(program.path("hearts/images/b.nii.gz"), &turned).unwrap();
    let turned = scans::label(scans::oblique()).reoriented(other).unwrap();
    write_label(program.path("hearts/labels/b.nii.gz"), &turned).unwrap();
    let checked = program.run(&["check-data", "hearts"]).succeeded();
    for part in ["2 scans have no label map (e to f)", "b  the axes run SRP, in most scans LAS"] {
        assert!(checked.stdout.contains(part), "no {part:?} in {checked:?}");
    }
    let ended = program.run(&["prepare-data", "custom", "--source", "hearts"]).succeeded();
    for part in [
        "plan: 3 labelled scans, 2 unlabelled, 1 to validate",
        "z-scored (not CT)",
        "data/experiments/hearts.toml",
        "it runs with: experiment hearts",
    ] {
        assert!(ended.stdout.contains(part), "no {part:?} in {}", ended.stdout);
    }

    let set = prepared(&program, "hearts");
    assert_eq!(set.manifest().normalisation, [Normalisation::ZScore]);
    assert!(
        set.manifest().description.contains("no crop looked at a label"),
        "{}",
        set.manifest().description
    );
    let [ni, nj, nk] = scans::SHAPE;
    for record in &set.manifest().cases {
        // The plane i = 0 is background by its intensity, in scans with and without a label map.
        assert_eq!(record.shape, [ni - 1, nj, nk], "{}", record.id);
        let cropped = scans::oblique().starting_at([1.0, 0.0, 0.0]).unwrap();
        assert!(set.case(&record.id).unwrap().geometry().same_grid(&cropped, record.shape));
        assert!(
            record.note.as_deref().unwrap().contains("cropped from [20, 18, 12] to [19, 18, 12]"),
            "{:?}",
            record.note
        );
        let case = set.case(&record.id).unwrap();
        let turned = record.note.as_deref().unwrap().contains("axes turned from SRP to LAS");
        assert_eq!(turned, record.id == "b", "{:?}", record.note);
        if record.labelled {
            let label = scans::label(scans::oblique());
            assert_eq!(
                case.read_label().unwrap().unwrap().array(),
                label.array().slice_axis(Axis(0), Slice::from(1..))
            );
        }
    }
    let fingerprint = json(&program.path("data/prepared/hearts/fingerprint.json"));
    assert_eq!((fingerprint["labelled"].as_u64(), fingerprint["unlabelled"].as_u64()), (Some(4), Some(2)));
    assert_eq!(fingerprint["median_spacing"].as_array().unwrap().len(), 3);
    assert!(fingerprint["class_volumes_ml"]["1"][1].as_f64() > Some(0.0), "{fingerprint}");
    let plan = json(&program.path("data/prepared/hearts/plan.json"));
    assert_eq!(plan["method"], "dual-networks");
    assert_eq!(plan["full"]["patch"], serde_json::json!([16, 16, 16]));
    run(&program, "hearts");
    a_scan_and_itself_turned_have_one_prediction(&program);
}

/// Networks see voxels, so that a scan is turned to what they know, and what they say is turned back.
fn a_scan_and_itself_turned_have_one_prediction(program: &Program) {
    assert_eq!(prepared(program, "hearts").manifest().orientation, Some("LAS".parse().unwrap()));
    let (plain, other) = (image(5), "SRP".parse().unwrap());
    std::fs::create_dir(program.path("new")).unwrap();
    write_image(program.path("new/plain.nii.gz"), &plain).unwrap();
    write_image(program.path("new/turned.nii.gz"), &plain.reoriented(other).unwrap()).unwrap();
    let ended = program.run(&["predict", "run", "new", "-o", "masks", "--uncertainty"]).succeeded();
    assert_eq!(ended.stdout.matches("axes turned from SRP to LAS").count(), 1, "{ended:?}");
    assert_eq!(json(&program.path("masks/turned.json"))["axes"], "axes turned from SRP to LAS");
    let [of_plain, of_turned] =
        ["plain", "turned"].map(|id| read_label(program.path(&format!("masks/{id}.nii.gz"))).unwrap());
    assert!(of_plain.array().iter().any(|value| *value != of_plain.array()[[0, 0, 0]]), "nothing to turn");
    let scan = read_image(program.path("new/turned.nii.gz")).unwrap();
    assert_eq!(of_turned.geometry(), scan.geometry());
    assert_eq!(of_turned.array(), of_plain.reoriented(other).unwrap().array());
    let [of_plain, of_turned] = ["plain", "turned"]
        .map(|id| read_image(program.path(&format!("masks/{id}_entropy.nii.gz"))).unwrap());
    assert_eq!(of_turned.geometry(), scan.geometry());
    assert_eq!(of_turned.array(), of_plain.reoriented(other).unwrap().array());
}

#[test]
fn an_nnunet_folder_goes_from_check_data_to_a_finished_run() {
    let program = Program::new();
    nnunet(&program);
    program.run(&["check-data", "Dataset007_Liver"]).succeeded();
    let ended = program
        .run(&["prepare-data", "custom", "--source", "Dataset007_Liver", "--name", "liver", "--crop", "none"])
        .succeeded();
    for part in [
        "3 classes; method supervised-ensemble",
        "channel 0 (CT): window 409 to 429 ",
        "1 test scans without a label map",
    ] {
        assert!(ended.stdout.contains(part), "no {part:?} in {}", ended.stdout);
    }
    let set = prepared(&program, "liver");
    let cases = &set.manifest().cases;
    assert!(matches!(set.manifest().normalisation[..], [Normalisation::Window { low: 409.0, high: 429.0 }]));
    for case in cases {
        assert_eq!((case.shape, case.intensity[0].min), (scans::SHAPE, 0.0));
        assert!((0.85..=1.0).contains(&case.intensity[0].max), "{:?}", case.intensity);
    }
    let listed: Vec<_> = cases.iter().map(|case| (case.id.as_str(), case.split)).collect();
    assert_eq!((listed.len(), listed[4]), (5, ("liver_4", Split::Test)));
    // What is known of test scans before the test are their images.
    let fingerprint = json(&program.path("data/prepared/liver/fingerprint.json"));
    let test = fingerprint["scans"].as_array().unwrap().iter().filter(|scan| scan["split"] == "test");
    assert!(
        test.clone().count() == 2 && test.clone().all(|scan| scan["label_voxels"].is_null()),
        "{fingerprint}"
    );
    run(&program, "liver");
    // A new scan is cut off at the run's window; one that was prepared is not cut off again.
    let scan = "Dataset007_Liver/imagesTs/liver_4_0000.nii.gz";
    let raw = program.run(&["predict", "run", scan, "-o", "raw"]).succeeded();
    assert!(raw.stdout.contains("cut off at 409 and 429"), "{raw:?}");
    let prepared = program
        .run(&["predict", "run", "data/prepared/liver/images/liver_4.nii", "-o", "prepared"])
        .succeeded();
    assert!(!prepared.stdout.contains("cut off"), "{prepared:?}");
    assert!(prepared.stdout.contains("taken as they are, since they look normalised"), "{prepared:?}");
    let label = |path: &str| tandem_volume::read_label(program.path(path)).unwrap();
    assert_eq!(label("raw/liver_4.nii.gz"), label("prepared/liver_4.nii.gz"));
    // Scores of scans as they came are those of the prepared ones: three classes, one window.
    let scores = |cases: &str, out: &str| {
        let ended =
            program.run(&["evaluate", "run", "--cases", cases, "--split", "all", "-o", out]).succeeded();
        (ended.stdout, std::fs::read_to_string(program.path(&format!("{out}/metrics.csv"))).unwrap())
    };
    let (said, of_raw) = scores("Dataset007_Liver", "scores-raw");
    assert!(said.contains("liver_4: raw intensities (mean"), "{said}");
    assert!(said.contains("1 of 3 scans have no label map and are left out"), "{said}");
    assert_eq!(of_raw, scores("data/prepared/liver", "scores-prepared").1);
}

#[test]
fn regions_are_told_to_be_disjoint_classes() {
    let program = Program::new();
    nnunet(&program);
    let custom = ["prepare-data", "custom", "--source", "Dataset007_Liver", "--name"];
    let said = program.run(&[&custom[..], &["plain"]].concat()).succeeded().stdout;
    assert!(!said.contains("regions"), "{said}");
    let json = r#"{ "channel_names": { "0": "CT" }, "labels": { "background": 0, "whole": [1, 2], "core": [2] },
        "numTraining": 4, "file_ending": ".nii.gz" }"#;
    std::fs::write(program.path("Dataset007_Liver/dataset.json"), json).unwrap();
    let said = program.run(&[&custom[..], &["regions"]].concat()).succeeded().stdout;
    for part in ["warning: dataset.json names regions", "0 is background, 1 is whole, 2 is core + whole"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    // The same files with other names are not what was prepared.
    program
        .run(&[&custom[..], &["plain"]].concat())
        .refused(&["with the labels 0 background, 1 liver, 2 tumour, not with"]);
}

/// The Decathlon's layout, each image one file of all channels: those that are prepared as `name`.
fn decathlon(program: &Program, name: &str) {
    let folder = program.path("Task09_Heads");
    for below in ["imagesTr", "labelsTr"] {
        std::fs::create_dir_all(folder.join(below)).unwrap();
    }
    let mut listed = Vec::new();
    for case in &prepared(program, name).manifest().cases {
        let file = format!("{}.nii", case.id);
        for (from, to) in [("images", "imagesTr"), ("labels", "labelsTr")] {
            std::fs::copy(
                program.path(&format!("data/prepared/{name}/{from}/{file}")),
                folder.join(to).join(&file),
            )
            .unwrap();
        }
        listed.push(serde_json::json!({ "image": format!("./imagesTr/{file}"), "label": format!("./labelsTr/{file}") }));
    }
    let json = serde_json::json!({ "modality": { "0": "T1", "1": "T2" }, "labels": { "0": "background", "1": "ball" },
        "training": listed, "test": [] });
    std::fs::write(folder.join("dataset.json"), json.to_string()).unwrap();
}

#[test]
fn several_channels_come_from_several_files_or_from_one() {
    let program = Program::new();
    let folder = program.path("heads");
    for below in ["imagesTr", "labelsTr"] {
        std::fs::create_dir_all(folder.join(below)).unwrap();
    }
    let json = r#"{ "channel_names": { "0": "T1", "1": "T2" }, "labels": { "background": 0, "ball": 1 }, "file_ending": ".nrrd" }"#;
    std::fs::write(folder.join("dataset.json"), json).unwrap();
    for n in 0..3 {
        for channel in 0..2 {
            write_image(
                folder.join(format!("imagesTr/head-{n}_000{channel}.nrrd")),
                &image(n + 10 * channel),
            )
            .unwrap();
        }
        write_label(folder.join(format!("labelsTr/head-{n}.nrrd")), &scans::label(scans::oblique())).unwrap();
    }
    program.run(&["check-data", "heads"]).succeeded();
    let custom = ["prepare-data", "custom", "--crop", "none", "--source"];
    let ended = program.run(&[&custom[..], &["heads", "--window", "0", "500"]].concat()).succeeded();
    assert!(ended.stdout.contains("channel 1 (T2): window 0 to 500"), "{ended:?}");
    let manifest = prepared(&program, "heads").manifest().clone();
    assert_eq!((manifest.channels, manifest.classes), (["T1", "T2"].into(), ["background", "ball"].into()));
    run(&program, "heads");

    // The same from one file of four dimensions a scan.
    decathlon(&program, "heads");
    program.run(&["check-data", "Task09_Heads"]).succeeded();
    program.run(&[&custom[..], &["Task09_Heads", "--window", "0", "1"]].concat()).succeeded();
    let (one, other) = (prepared(&program, "heads"), prepared(&program, "Task09_Heads"));
    for case in &one.manifest().cases {
        let [a, b] = [&one, &other].map(|set| set.case(&case.id).unwrap().read_image().unwrap());
        assert_eq!(a.channels().len(), 2);
        assert!(a.channels().iter().zip(b.channels()).all(|(a, b)| a.array() == b.array()));
    }

    // A channel that lies elsewhere, and one that is missing.
    let moved = image(10).geometry().starting_at([0.0, 0.0, 1.0]).unwrap();
    let elsewhere = Volume::new(image(10).into_parts().0, moved);
    write_image(folder.join("imagesTr/head-0_0001.nrrd"), &elsewhere).unwrap();
    std::fs::remove_file(folder.join("imagesTr/head-1_0001.nrrd")).unwrap();
    let ended = program.run(&["check-data", "heads"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in ["scan head-1 has the channels [0]", "head-0", "corners lie up to 5.000 mm apart"] {
        assert!(ended.stdout.contains(part), "no {part:?} in {}", ended.stdout);
    }
}

#[test]
fn label_maps_beside_their_image_are_resampled_on_request() {
    let program = Program::new();
    pairs(&program);
    let label = scans::label(scans::oblique());
    let moved = label.geometry().starting_at([0.0, 0.0, 0.4]).unwrap();
    write_label(program.path("hearts/labels/b.nii.gz"), &Volume::new(label.into_parts().0, moved)).unwrap();
    let custom = ["prepare-data", "custom", "--source", "hearts"];
    program.run(&custom).refused(&["labels/b.nii.gz", "2.000 mm", "check-data"]);
    program.run(&[&custom[..], &["--resample-labels"]].concat()).succeeded();
    let manifest = prepared(&program, "hearts").manifest().clone();
    assert!(manifest.case("b").unwrap().note.as_deref().unwrap().contains("resampled onto the image's grid"));
}

#[test]
fn what_is_asked_for_is_planned() {
    let program = Program::new();
    pairs(&program);
    let asked = ["--name", "mine", "--spacing", "4", "4", "5", "--window", "-50", "350", "--crop", "none"];
    let command = [&["prepare-data", "custom", "--source", "hearts"][..], &asked].concat();
    program.run(&command).succeeded();
    let definition = std::fs::read_to_string(program.path("data/experiments/mine.toml")).unwrap();
    assert!(definition.contains("spacing_mm = [4.0, 4.0, 5.0]"), "{definition}");
    let window = Normalisation::Window { low: -50.0, high: 350.0 };
    assert_eq!(prepared(&program, "mine").manifest().normalisation, [window]);

    // An edited definition is not overwritten, whatever is prepared anew.
    std::fs::write(program.path("data/experiments/mine.toml"), "edited").unwrap();
    let again = program.run(&[&command[..], &["--force"]].concat()).succeeded();
    assert!(again.stdout.contains("is there already and stays"), "{again:?}");
    assert_eq!(std::fs::read_to_string(program.path("data/experiments/mine.toml")).unwrap(), "edited");
}

#[test]
fn other_scans_or_options_than_those_that_are_prepared_are_told() {
    let program = Program::new();
    pairs(&program);
    let custom =
        |more: &[&str]| program.run(&[&["prepare-data", "custom", "--name", "mine"][..], more].concat());
    let hearts = ["--source", "hearts"];
    custom(&hearts).succeeded();
    let again = custom(&hearts).succeeded();
    assert!(again.stdout.contains("mine: 6 scans, 4 with label maps") && again.stdout.contains("already"));
    custom(&["--source", "nowhere"]).refused(&["no folder nowhere", "--source"]);
    custom(&[]).refused(&["--source DIR"]);
    let with = |more: &[&str]| custom(&[&hearts[..], more].concat());
    with(&["--spacing", "3"]).refused(&["mine was prepared without --spacing 3;", "--force", "--name NAME"]);
    with(&["--crop", "none"]).refused(&["with --crop foreground, not with --crop none"]);
    with(&["--zscore"]).refused(&["without --zscore"]);

    // A label map is mended, a scan is labelled, one comes and one goes: each alone.
    let label = program.path("hearts/labels/b.nii.gz");
    let whole = std::fs::read(&label).unwrap();
    let (mut array, grid) = scans::label(scans::oblique()).into_parts();
    array[[9, 8, 1]] = 1;
    write_label(&label, &Volume::new(array, grid)).unwrap();
    with(&[]).refused(&["another labels/b.nii.gz than hearts has now", "--force"]);
    std::fs::write(&label, whole).unwrap();
    with(&[]).succeeded();
    let new = program.path("hearts/labels/e.nii.gz");
    std::fs::copy(&label, &new).unwrap();
    with(&[]).refused(&["without labels/e.nii.gz"]);
    std::fs::remove_file(new).unwrap();
    let new = program.path("hearts/images/g.nii.gz");
    write_image(&new, &image(7)).unwrap();
    with(&[]).refused(&["without scan g of hearts"]);
    std::fs::rename(new, program.path("hearts/images/f.nii.gz")).unwrap();
    with(&[]).refused(&["another images/f.nii.gz"]);
    std::fs::remove_file(program.path("hearts/images/f.nii.gz")).unwrap();
    with(&[]).refused(&["holds scan f, which is not asked for now"]);
    std::fs::write(program.path("hearts/train.list"), "b\na\nc\nd\ne\n").unwrap();
    with(&["--force", "--spacing", "3"]).succeeded();
    std::fs::write(program.path("hearts/train.list"), "a\nb\nc\nd\ne\n").unwrap();
    with(&["--spacing", "3"]).refused(&["has scan b where hearts lists a now"]);
    std::fs::write(program.path("hearts/train.list"), "b\na\nc\nd\n").unwrap();
    std::fs::write(program.path("hearts/test.list"), "e\n").unwrap();
    std::fs::copy(&label, program.path("hearts/labels/e.nii.gz")).unwrap();
    with(&["--spacing", "3"]).refused(&["has scan e for training, which hearts has for the test now"]);
}

#[test]
fn an_experiment_that_stays_is_compared_with_the_new_plan() {
    let program = Program::new();
    pairs(&program);
    let custom = ["prepare-data", "custom", "--source", "hearts"];
    program.run(&custom).succeeded();
    let same = program.run(&[&custom[..], &["--force"]].concat()).succeeded();
    assert!(same.stdout.contains("stays") && !same.stdout.contains("in the new plan"), "{same:?}");
    let other = program.run(&[&custom[..], &["--force", "--spacing", "4", "4", "5"]].concat()).succeeded();
    let told = "data.spacing_mm is [3.0, 3.5, 5.0] there, and [4.0, 4.0, 5.0] in the new plan";
    assert!(other.stdout.contains(told), "{other:?}");
}

#[test]
fn a_dataset_that_experiments_do_not_find_is_told_with_the_command_that_prepares_it() {
    let program = Program::new();
    pairs(&program);
    let custom = ["prepare-data", "custom", "--source", "hearts", "--name", "mine"];
    let elsewhere = program.run(&[&custom[..], &["--out", "elsewhere"]].concat()).succeeded().stdout;
    assert!(elsewhere.contains("data/prepared; move elsewhere/mine there"), "{elsewhere}");
    assert!(!elsewhere.contains("it runs with"), "{elsewhere}");
    program.run(&["experiment", "mine", "--profile", "quick"]).refused(&[
        "data/prepared holds none of mine; prepare one: prepare-data custom --source DIR --name mine",
    ]);
    let own = program.path("data/prepared").display().to_string();
    let there = program.run(&[&custom[..], &["--out", &own]].concat()).succeeded().stdout;
    assert!(there.contains("it runs with: experiment mine") && !there.contains("move"), "{there}");
}

#[test]
fn what_cannot_be_learnt_from_is_refused_before_anything_is_written() {
    let program = Program::new();
    pairs(&program);
    let custom =
        |more: &[&str]| program.run(&[&["prepare-data", "custom", "--source", "hearts"][..], more].concat());
    custom(&["--window", "5", "5"]).refused(&["--window", "a lower and a higher"]);
    custom(&["--spacing", "1", "2"]).refused(&["--spacing", "three"]);
    custom(&["--spacing", "200"]).refused(&["--spacing", "0 x 0 x 0 voxels", "3 x 3.5 x 5 mm"]);
    custom(&["--name", "la"]).refused(&["la is the name of a benchmark", "--name"]);
    custom(&["--name", "a/b"]).refused(&["cannot name a dataset"]);
    program.run(&["prepare-data", "phantom", "--zscore"]).refused(&["--zscore is for prepare-data custom"]);
    let (array, grid) = image(9).into_parts();
    write_image(program.path("hearts/images/b.nii.gz"), &Volume::new(array * f32::NAN, grid)).unwrap();
    custom(&[]).refused(&["1 errors in hearts", "images/b.nii.gz", "not finite", "check-data"]);
    assert!(!program.path("data").exists(), "something was written");
}
