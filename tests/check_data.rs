//! `tandem check-data`, with one fault of each kind planted.

use crate::program::{Program, workspace};
use crate::scans;
use ndarray::Array3;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tandem_volume::{Geometry, Volume, write_image, write_label};

/// A folder in nnU-Net's layout with `sound` labelled scans `sound_0`, `sound_1` ... that differ in their voxels.
fn nnunet(program: &Program, sound: usize) -> PathBuf {
    let folder = program.path("scans");
    for below in ["imagesTr", "labelsTr"] {
        std::fs::create_dir_all(folder.join(below)).unwrap();
    }
    let json = r#"{ "channel_names": { "0": "T1" }, "labels": { "background": 0, "ball": 1 }, "file_ending": ".nii.gz" }"#;
    std::fs::write(folder.join("dataset.json"), json).unwrap();
    for n in 0..sound {
        add(&folder, &format!("sound_{n}"), n, |image| image, Some(|label| label));
    }
    folder
}

type Change<T> = fn(Volume<T>) -> Volume<T>;

/// Adds scan `id`, whose voxels are raised by `n`, after a change of its image and, where it has one, of its label map.
fn add(folder: &Path, id: &str, n: usize, image: Change<f32>, label: Option<Change<u8>>) {
    let (array, grid) = scans::image(scans::oblique()).into_parts();
    let raised = Volume::new(array + n as f32, grid);
    write_image(folder.join(format!("imagesTr/{id}_0000.nii.gz")), &image(raised)).unwrap();
    if let Some(change) = label {
        let path = folder.join(format!("labelsTr/{id}.nii.gz"));
        write_label(path, &change(scans::label(scans::oblique()))).unwrap();
    }
}

fn with_voxel(volume: Volume<f32>, value: f32) -> Volume<f32> {
    let (mut array, grid) = volume.into_parts();
    array[[1, 2, 3]] = value;
    Volume::new(array, grid)
}

fn on<T: Clone>(volume: Volume<T>, grid: Geometry) -> Volume<T> {
    Volume::new(volume.into_parts().0, grid)
}

/// Changes the bytes of a file.
fn damage(path: PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn every_kind_of_fault_is_found_in_one_run() {
    let program = Program::new();
    let folder = nnunet(&program, 4);
    let same = |label| label;
    add(&folder, "cut", 10, |image| image, Some(same));
    damage(folder.join("imagesTr/cut_0000.nii.gz"), |bytes| bytes.truncate(bytes.len() / 2));
    add(&folder, "checksum", 11, |image| image, Some(same));
    damage(folder.join("labelsTr/checksum.nii.gz"), |bytes| {
        let at = bytes.len() - 8;
        bytes[at] ^= 1;
    });
    add(&folder, "nan", 12, |image| with_voxel(image, f32::NAN), Some(same));
    add(&folder, "infinite", 13, |image| with_voxel(image, f32::INFINITY), Some(same));
    add(
        &folder,
        "flat",
        14,
        |image| Volume::new(Array3::ones(scans::SHAPE), image.geometry().clone()),
        Some(same),
    );
    add(
        &folder,
        "empty",
        15,
        |image| image,
        Some(|label| Volume::new(Array3::zeros(scans::SHAPE), label.geometry().clone())),
    );
    add(
        &folder,
        "unknown",
        16,
        |image| image,
        Some(|label| {
            let (array, grid) = label.into_parts();
            Volume::new(array * 2, grid)
        }),
    );
    add(&folder, "fraction", 17, |image| image, None);
    let half = with_voxel(scans::image(scans::oblique()), 0.5);
    write_image(folder.join("labelsTr/fraction.nii.gz"), &half).unwrap();
    add(
        &folder,
        "shifted",
        18,
        |image| image,
        Some(|label| {
            let grid = label.geometry().starting_at([0.0, 0.0, 0.1]).unwrap();
            on(label, grid)
        }),
    );
    add(
        &folder,
        "almost",
        19,
        |image| image,
        Some(|label| {
            let grid = label.geometry().starting_at([0.0, 0.0, 0.001]).unwrap();
            on(label, grid)
        }),
    );
    add(&folder, "twin", 0, |image| image, Some(same));
    add(
        &folder,
        "coarse",
        20,
        |image| on(image, Geometry::new([3.0, 3.5, 50.0], [0.0; 3], scans::oblique().direction()).unwrap()),
        None,
    );
    add(&folder, "turned", 21, |image| on(image, Geometry::with_spacing([3.0, 3.5, 5.0]).unwrap()), None);
    write_label(folder.join("labelsTr/lonely.nii.gz"), &scans::label(scans::oblique())).unwrap();

    let ended = program.run(&["check-data", "scans", "--json", "found.json"]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let found: Value =
        serde_json::from_str(&std::fs::read_to_string(program.path("found.json")).unwrap()).unwrap();
    let findings = found["findings"].as_array().unwrap();
    let told: Vec<[&str; 3]> = findings
        .iter()
        .map(|finding| ["severity", "kind", "scan"].map(|field| finding[field].as_str().unwrap()))
        .collect();
    let expected = [
        ["error", "unreadable", "checksum"],
        ["error", "unreadable", "cut"],
        ["error", "not-finite", "infinite"],
        ["error", "not-finite", "nan"],
        ["error", "constant", "flat"],
        ["error", "grid", "shifted"],
        ["error", "label-value", "fraction"],
        ["error", "unknown-label", "unknown"],
        ["error", "label-without-image", "-"],
        ["error", "duplicate", "twin"],
        ["warning", "empty-label", "empty"],
        ["warning", "spacing", "coarse"],
        ["warning", "orientation", "turned"],
        ["note", "unlabelled", "coarse"],
        ["note", "unlabelled", "turned"],
    ];
    assert_eq!(told, expected);
    assert_eq!((found["errors"].as_u64(), found["warnings"].as_u64()), (Some(10), Some(3)));
    assert_eq!(found["layout"], "nn-unet");
    // What was read of the sound scans is there too.
    let sound = found["scans"].as_array().unwrap().iter().find(|scan| scan["id"] == "sound_0").unwrap();
    assert_eq!(sound["shape"], Value::from(scans::SHAPE.to_vec()));
    assert!(sound["label_voxels"]["1"].as_u64() > Some(0), "{sound}");

    // The table says the same, the worst first, each in a sentence.
    for part in [
        "labelsTr/checksum.nii.gz: the packed file is damaged",
        "1 voxels are not finite, the first (1, 2, 3) (NaN)",
        "all voxels are 1",
        "the corners lie up to 0.500 mm from those of its image",
        "labelsTr/fraction.nii.gz: voxel [1, 2, 3] has the value 0.5, but",
        "voxels have the label 2, but known are 0 background, 1 ball",
        "twin has the same voxels as sound_0",
        "labelsTr/lonely.nii.gz is a label map without an image",
        "2 scans have no label map (coarse to turned)",
        "10 errors, 3 warnings in 17 scans",
    ] {
        assert!(ended.stdout.contains(part), "no {part:?} in {}", ended.stdout);
    }
    let first = ended.stdout.lines().position(|line| line.starts_with("warning")).unwrap();
    assert!(ended.stdout.lines().skip(first).all(|line| !line.starts_with("error")), "{}", ended.stdout);
}

#[test]
fn a_sound_folder_passes_and_warnings_alone_pass_too() {
    let program = Program::new();
    let folder = nnunet(&program, 3);
    let ended = program.run(&["check-data", "scans"]).succeeded();
    assert!(ended.stdout.contains("nnU-Net raw data, 3 scans"), "{ended:?}");
    assert!(ended.stdout.contains("0 errors, 0 warnings in 3 scans"), "{ended:?}");
    add(&folder, "unlabelled", 7, |image| image, None);
    let ended = program.run(&["check-data", "scans"]).succeeded();
    assert!(ended.stdout.contains("unlabelled has no label map: an unlabelled scan"), "{ended:?}");
    assert!(ended.stdout.contains("0 errors, 0 warnings in 4 scans"), "{ended:?}");
    add(
        &folder,
        "empty",
        8,
        |image| image,
        Some(|label| Volume::new(Array3::zeros(scans::SHAPE), label.geometry().clone())),
    );
    let ended = program.run(&["check-data", "scans"]).succeeded();
    assert!(ended.stdout.contains("0 errors, 1 warnings in 5 scans"), "{ended:?}");
}

/// `images/` with `labels/`: a scan for each of these numbers, whose label map has it in the ball; or none.
fn pairs(program: &Program, folder: &str, numbers: &[Option<u8>]) {
    let folder = program.path(folder);
    for (n, number) in numbers.iter().enumerate() {
        let id = format!("scan_{n}");
        scans::write_pair(&folder, &id, false);
        let (array, grid) = scans::image(scans::oblique()).into_parts();
        let raised = Volume::new(array + n as f32, grid);
        write_image(folder.join(format!("images/{id}.nii.gz")), &raised).unwrap();
        if let Some(number) = number {
            let (array, grid) = scans::label(scans::oblique()).into_parts();
            let label = Volume::new(array * *number, grid);
            write_label(folder.join(format!("labels/{id}.nii.gz")), &label).unwrap();
        }
    }
}

#[test]
fn what_prepare_data_refuses_is_an_error_of_check_data() {
    let program = Program::new();
    let check = |folder: &str, words: &str| {
        let checked = program.run(&["check-data", folder]);
        assert_eq!(checked.code, Some(1), "{checked:#?}");
        assert!(checked.stdout.contains(words) && checked.stdout.contains("1 errors, "), "{checked:#?}");
        program.run(&["prepare-data", "custom", "--source", folder]).refused(&["1 errors in", words]);
    };
    pairs(&program, "one", &[Some(1), None, None]);
    check("one", "only one scan for training has a label map that can be read");
    pairs(&program, "four", &[Some(4), Some(4), None]);
    check("four", "the labels are [0, 4], and most numbers between are nothing");
    pairs(&program, "mask", &[Some(255), Some(255), None]);
    check("mask", "the labels are [0, 255], and most numbers between are nothing");
    pairs(&program, "empty", &[Some(0), Some(0), None]);
    check("empty", "no label map for training has a voxel above 0");
    let json = nnunet(&program, 3).join("dataset.json");
    let ignored =
        std::fs::read_to_string(&json).unwrap().replace("\"ball\": 1", "\"ball\": 1, \"ignore\": 2");
    std::fs::write(json, ignored).unwrap();
    check("scans", "label 2 is called `ignore`");
    assert!(!program.path("data").exists(), "something was written");
}

#[test]
fn each_class_is_counted_and_a_stray_voxel_of_one_is_told() {
    let program = Program::new();
    pairs(&program, "scans", &[Some(1), Some(1), Some(1)]);
    let clean = program.run(&["check-data", "scans"]).succeeded();
    assert!(clean.stdout.contains("0 errors, 0 warnings in 3 scans"), "{clean:?}");
    let path = program.path("scans/labels/scan_1.nii.gz");
    let (mut array, grid) = scans::label(scans::oblique()).into_parts();
    let ball = array.iter().filter(|value| **value == 1).count();
    array[[0, 0, 0]] = 2;
    write_label(path, &Volume::new(array, grid)).unwrap();

    let ended = program.run(&["check-data", "scans", "--json", "found.json"]).succeeded();
    for part in [
        "classes in the label maps for training:".to_owned(),
        format!("{} voxels in 3 scans", 3 * ball),
        "1 voxels in 1 scans".to_owned(),
        "warning  scan_1  label 2 is in the label map of scan_1 alone, with 1 voxels".to_owned(),
        "0 errors, 1 warnings in 3 scans".to_owned(),
    ] {
        assert!(ended.stdout.contains(&part), "no {part:?} in {}", ended.stdout);
    }
    let found: Value =
        serde_json::from_str(&std::fs::read_to_string(program.path("found.json")).unwrap()).unwrap();
    let stray = serde_json::json!({ "label": 2, "name": null, "voxels": 1, "scans": 1 });
    assert_eq!((&found["classes"][2], &found["findings"][0]["kind"]), (&stray, &Value::from("rare-class")));
}

#[test]
fn the_pancreas_download_is_read_as_slices_and_label_maps_that_say_no_place() {
    let program = Program::new();
    let golden = workspace().join("crates/tandem-volume/tests/golden/dicom/explicit");
    let series = program.path("download/PANCREAS_0001/study/series");
    std::fs::create_dir_all(&series).unwrap();
    for file in std::fs::read_dir(golden).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), series.join(file.file_name())).unwrap();
    }
    let mut array = Array3::zeros([16, 12, 5]);
    array[[8, 6, 2]] = 1u8;
    let label = Volume::new(array, Geometry::isotropic(1.0).unwrap());
    write_label(program.path("download/label0001.nii.gz"), &label).unwrap();
    let ended = program.run(&["check-data", "download"]).succeeded();
    assert!(ended.stdout.contains("NIH Pancreas-CT (DICOM), 1 scans"), "{ended:?}");
    program.run(&["prepare-data", "custom", "--source", "download"]).refused(&["do not say where they lie"]);
    std::fs::remove_file(series.join("3.dcm")).unwrap();
    let ended = program.run(&["check-data", "download"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("1 slice(s) are missing"), "{ended:?}");
}

#[test]
fn what_is_no_folder_of_scans_is_refused() {
    let program = Program::new();
    program.run(&["check-data", "nowhere"]).refused(&["nowhere", "no such folder"]);
    std::fs::create_dir(program.path("notes")).unwrap();
    program.run(&["check-data", "notes"]).refused(&["notes", "labels/ID.nii.gz", "dataset.json"]);
}

#[test]
fn real_scans_pass() {
    let Some(shared) = tandem_reference::reference("la-h5") else { return };
    let ended = Program::new().run(&["check-data", shared.to_str().unwrap()]).succeeded();
    assert!(ended.stdout.contains("left atrium benchmark (HDF5), 2 scans"), "{ended:?}");
    assert!(ended.stdout.contains("0 errors, 0 warnings"), "{ended:?}");
}
