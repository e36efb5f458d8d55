//! `tandem check-data`, with one fault of each kind planted.

use crate::program::{Program, signalled, workspace};
use crate::scans;
use ndarray::Array3;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
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

/// Starts the program on many scans and stops it once it has said how many there are.
fn stopped_while_reading(program: &Program, arguments: &[&str], signal: &str) -> Option<i32> {
    let mut child = program
        .command(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("tandem starts");
    let mut said = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    assert!(line.ends_with("400 scans\n"), "{line}");
    signalled(child, signal).status.code()
}

#[test]
fn ctrl_c_ends_the_reading_of_many_scans_and_leaves_nothing() {
    let program = Program::new();
    let folder = program.path("scans/images");
    std::fs::create_dir_all(&folder).unwrap();
    let one = program.path("one.nii.gz");
    let large =
        Volume::new(Array3::from_shape_fn([96, 96, 48], |(i, j, k)| (i * j + k) as f32), scans::oblique());
    write_image(&one, &large).unwrap();
    for scan in 0..400 {
        std::fs::hard_link(&one, folder.join(format!("scan{scan}.nii.gz"))).unwrap();
    }
    assert_eq!(
        stopped_while_reading(&program, &["check-data", "scans", "--json", "found.json"], "INT"),
        Some(130)
    );
    assert!(!program.path("found.json").exists());
    let prepare = ["prepare-data", "custom", "--source", "scans", "--name", "many"];
    assert_eq!(stopped_while_reading(&program, &prepare, "TERM"), Some(143));
    let prepared = std::fs::read_dir(program.path("data/prepared")).into_iter().flatten().count();
    assert_eq!(prepared, 0);
}
