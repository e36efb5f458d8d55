use tempfile::TempDir;

use super::*;

/// A folder of empty files; those named with a text hold it.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn empty<'a>(files: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    files.iter().map(|name| (*name, "")).collect()
}

fn open(files: &[(&str, &str)]) -> Result<ScanFolder> {
    ScanFolder::open(folder(files).path())
}

/// Each scan as `id images label split`.
fn shown(found: &ScanFolder) -> Vec<String> {
    let line = |scan: &ScanFiles| {
        let label = scan.label.as_deref().unwrap_or("-");
        format!("{} {} {label} {:?}", scan.id, scan.images.join(","), scan.split)
    };
    found.scans().iter().map(line).collect()
}

fn faults(found: &ScanFolder) -> Vec<String> {
    found.faults().iter().map(Fault::to_string).collect()
}

const NNUNET: &str = r#"{
    "channel_names": { "1": "T2", "0": "T1" }, "labels": { "background": 0, "liver": 1, "whole": [1, 2] },
    "numTraining": 2, "file_ending": ".nrrd"
}"#;

#[test]
fn nnunet_has_a_file_for_each_channel() {
    let mut files = empty(&[
        "imagesTr/a_1_0000.nrrd",
        "imagesTr/a_1_0001.nrrd",
        "imagesTr/b_0000.nrrd",
        "imagesTr/b_0001.nrrd",
        "labelsTr/a_1.nrrd",
        "imagesTs/t_0000.nrrd",
        "imagesTs/t_0001.nrrd",
        "imagesTr/notes.txt",
    ]);
    files.push(("dataset.json", NNUNET));
    let found = open(&files).unwrap();
    assert_eq!(found.layout(), Layout::NnUnet);
    assert_eq!(
        shown(&found),
        [
            "a_1 imagesTr/a_1_0000.nrrd,imagesTr/a_1_0001.nrrd labelsTr/a_1.nrrd Train",
            "b imagesTr/b_0000.nrrd,imagesTr/b_0001.nrrd - Train",
            "t imagesTs/t_0000.nrrd,imagesTs/t_0001.nrrd - Test",
        ]
    );
    assert_eq!(found.channels(), ["T1", "T2"]);
    let labels: Vec<_> = found.labels().iter().map(|(value, name)| (*value, name.as_str())).collect();
    assert_eq!(labels, [(0, "background"), (1, "liver + whole"), (2, "whole")]);
    assert!(found.has_regions());
    assert!(faults(&found).is_empty(), "{:?}", found.faults());
}

#[test]
fn what_does_not_fit_together_in_nnunet_is_told_at_once() {
    let mut files = empty(&[
        "imagesTr/a_0000.nrrd",
        "imagesTr/b_0000.nrrd",
        "imagesTr/b_0001.nrrd",
        "imagesTr/plain.nrrd",
        "labelsTr/gone.nrrd",
        "imagesTs/b_0000.nrrd",
        "imagesTs/b_0001.nrrd",
    ]);
    files.push(("dataset.json", NNUNET));
    let told = faults(&open(&files).unwrap());
    for (told, part) in told.iter().zip([
        "imagesTr/plain.nrrd has no number of a channel",
        "scan a has the channels [0], but dataset.json names 2",
        "labelsTr/gone.nrrd is a label map without an image",
        "both imagesTr/b_0000.nrrd and imagesTs/b_0000.nrrd are scan b",
    ]) {
        assert!(told.starts_with(part), "{told}");
    }
    assert_eq!(told.len(), 4);
}

#[test]
fn version_1_of_nnunet_is_told_from_the_decathlon_by_its_images() {
    let json = r#"{ "modality": { "0": "CT" }, "labels": { "0": "background", "1": "spleen" },
        "training": [{ "image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz" }] }"#;
    let mut files = empty(&["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"]);
    files.push(("dataset.json", json));
    let found = open(&files).unwrap();
    assert_eq!(found.layout(), Layout::NnUnet);
    assert_eq!(shown(&found), ["a imagesTr/a_0000.nii.gz labelsTr/a.nii.gz Train"]);
    assert!(!found.has_regions());
    assert_eq!(
        (found.channels(), found.labels().get(&1)),
        (&["CT".to_owned()][..], Some(&"spleen".to_owned()))
    );
}

#[test]
fn the_decathlon_lists_its_files() {
    let json = r#"{ "modality": { "0": "MRI" }, "labels": { "0": "background", "1": "atrium" },
        "training": [{ "image": "./imagesTr/la_2.nii.gz", "label": "./labelsTr/la_2.nii.gz" },
                     { "image": "./imagesTr/la_3.nii.gz", "label": "./labelsTr/la_3.nii.gz" },
                     { "image": "./imagesTr/la_4.nii.gz", "label": "./labelsTr/la_4.nii.gz" }],
        "test": ["./imagesTs/la_1.nii.gz"] }"#;
    let mut files = empty(&[
        "imagesTr/la_2.nii.gz",
        "labelsTr/la_2.nii.gz",
        "imagesTr/la_3.nii.gz",
        "labelsTr/la_4.nii.gz",
        "imagesTs/la_1.nii.gz",
        "imagesTr/._la_2.nii.gz",
    ]);
    files.push(("dataset.json", json));
    let found = open(&files).unwrap();
    assert_eq!(found.layout(), Layout::Decathlon);
    assert_eq!(
        shown(&found),
        [
            "la_2 imagesTr/la_2.nii.gz labelsTr/la_2.nii.gz Train",
            "la_3 imagesTr/la_3.nii.gz - Train",
            "la_1 imagesTs/la_1.nii.gz - Test",
        ]
    );
    let missing: Vec<&str> = found.faults().iter().map(Fault::file).collect();
    assert_eq!(missing, ["labelsTr/la_3.nii.gz", "imagesTr/la_4.nii.gz"]);
}

#[test]
fn no_description_leads_out_of_its_folder() {
    for image in ["../a.nii.gz", "/a.nii.gz", "imagesTr/../../a.nii.gz"] {
        let json = format!(r#"{{ "training": [{{ "image": "{image}" }}] }}"#);
        let message = open(&[("dataset.json", &json)]).unwrap_err().to_string();
        assert!(message.contains("outside of the folder"), "{message}");
    }
}

#[test]
fn a_wrong_description_says_what_to_correct() {
    for (json, part) in [
        ("{", "not a dataset's description"),
        (r#"{ "channel_names": { "1": "CT" } }"#, "number the channels in order"),
        (r#"{ "channel_names": { "0": "CT" }, "labels": { "liver": 300 } }"#, "the label \"liver\""),
        (r#"{ "channel_names": { "0": "CT" }, "labels": { "liver": 0.5 } }"#, "0..=255"),
        (r#"{ "channel_names": { "0": "RGB" }, "file_ending": ".png" }"#, "convert the scans"),
    ] {
        let message = open(&[("dataset.json", json)]).unwrap_err().to_string();
        assert!(message.contains("dataset.json: ") && message.contains(part), "{message}");
    }
}

#[test]
fn a_description_alone_is_no_folder_of_scans() {
    let message = open(&[("dataset.json", NNUNET)]).unwrap_err().to_string();
    assert!(message.contains("none of the images that it describes"), "{message}");
}

#[test]
fn pairs_need_no_description() {
    let files = empty(&[
        "images/b.nii.gz",
        "images/a.mha",
        "images/a.nrrd",
        "labels/b.nii",
        "labels/c.nii",
        "images/.hidden.nii",
    ]);
    let found = open(&files).unwrap();
    assert_eq!(found.layout(), Layout::Pairs);
    assert_eq!(shown(&found), ["a images/a.nrrd - Train", "b images/b.nii.gz labels/b.nii Train"]);
    assert_eq!(
        faults(&found),
        [
            "both images/a.mha and images/a.nrrd are scan a; remove one",
            "labels/c.nii is a label map without an image; add the image or remove the label map",
        ]
    );
}

#[test]
fn a_scan_that_cannot_be_prepared_by_its_name_is_told() {
    let told = faults(&open(&empty(&["images/case 1.nii", "images/b.nii"])).unwrap());
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("images/case 1.nii: the case name \"case 1\" needs letters"), "{told:?}");
}

#[test]
fn the_left_atrium_has_a_folder_for_each_scan() {
    let benchmark = open(&empty(&["b/mri_norm2.h5", "a/mri_norm2.h5", "c/other.h5"])).unwrap();
    assert_eq!(benchmark.layout(), Layout::LaBenchmark);
    assert_eq!(
        shown(&benchmark),
        ["a a/mri_norm2.h5 a/mri_norm2.h5 Train", "b b/mri_norm2.h5 b/mri_norm2.h5 Train"]
    );
    let challenge = open(&empty(&["a/lgemri.nrrd", "b/lgemri.nrrd", "a/laendo.nrrd"])).unwrap();
    assert_eq!(challenge.layout(), Layout::LaChallenge);
    assert_eq!(shown(&challenge), ["a a/lgemri.nrrd a/laendo.nrrd Train", "b b/lgemri.nrrd - Train"]);
    assert_eq!(challenge.labels().keys().collect::<Vec<_>>(), [&0, &255]);
}

#[test]
fn the_pancreas_lies_below_the_folders_of_its_archive() {
    let found = open(&empty(&[
        "manifest-1/Pancreas-CT/PANCREAS_0002/study/series/1-001.dcm",
        "manifest-1/Pancreas-CT/PANCREAS_0001/study/series/1-001.dcm",
        "manifest-1/Pancreas-CT/PANCREAS_0003/study/notes.txt",
        "manifest-1/Pancreas-CT/PANCREAS_0004/study/a/1.dcm",
        "manifest-1/Pancreas-CT/PANCREAS_0004/study/b/1.dcm",
        "labels/label0001.nii.gz",
        "labels/label0025.nii.gz",
        "labels/._label0002.nii.gz",
    ]))
    .unwrap();
    assert_eq!(found.layout(), Layout::PancreasCt);
    let series = |id: &str, name: &str| format!("manifest-1/Pancreas-CT/{id}/study/{name}");
    assert_eq!(
        shown(&found),
        [
            format!("PANCREAS_0001 {} labels/label0001.nii.gz Train", series("PANCREAS_0001", "series")),
            format!("PANCREAS_0002 {} - Train", series("PANCREAS_0002", "series")),
            format!("PANCREAS_0004 {} - Train", series("PANCREAS_0004", "a")),
        ]
    );
    let told = faults(&found);
    for (told, part) in told.iter().zip([
        "manifest-1/Pancreas-CT/PANCREAS_0003 holds no .dcm files".to_owned(),
        format!("both {} and {} are", series("PANCREAS_0004", "a"), series("PANCREAS_0004", "b")),
        "labels/label0025.nii.gz is a label map without an image".to_owned(),
    ]) {
        assert!(told.starts_with(&part), "{told}");
    }
    assert_eq!(told.len(), 3);
}

/// Three pairs with lists.
fn listed(lists: &[(&'static str, &'static str)]) -> Result<ScanFolder> {
    let mut files = empty(&["images/a.nii", "images/b.nii", "images/c.nii"]);
    files.extend(lists);
    open(&files)
}

#[test]
fn lists_give_order_and_division() {
    let found = listed(&[("train.list", "c\n\na \n"), ("test.list", "b\n")]).unwrap();
    assert_eq!(shown(&found), ["c images/c.nii - Train", "a images/a.nii - Train", "b images/b.nii - Test"]);
    let found = listed(&[("train.list", "c\n")]).unwrap();
    assert!(found.unlisted().iter().map(|scan| scan.id.as_str()).eq(["a", "b"]));
    let first = listed(&[]).unwrap().first(2);
    assert!(shown(&first).len() == 2 && first.unlisted()[0].id == "c" && first.scan("c").is_some());
    assert!(["a", "c"].iter().all(|id| found.scan(id).is_some()) && found.scan("x").is_none());
    let found = listed(&[]).unwrap();
    assert_eq!(found.scans().iter().map(|scan| scan.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_an_id() {
    let found = listed(&[("train.list", "\u{feff}c\r\na\r\n"), ("test.list", "\u{feff}b")]).unwrap();
    assert!(faults(&found).is_empty(), "{:?}", found.faults());
    assert_eq!(shown(&found).len(), 3);
}

#[test]
fn wrong_lists_are_told() {
    let found = listed(&[("train.list", "a\nx\n"), ("test.list", "a\n")]).unwrap();
    assert_eq!(
        faults(&found),
        [
            "train.list names x, but there is no such scan; add it or strike it off",
            "test.list names a, which train.list names too; strike one off",
        ]
    );
    let twice = listed(&[("train.list", "a\nb\na\n")]).unwrap();
    assert_eq!(faults(&twice), ["train.list names a for the second time; strike one off"]);
    let message = listed(&[("test.list", "a\n")]).unwrap_err().to_string();
    assert!(message.contains("no train.list"), "{message}");
}

#[test]
fn a_folder_of_something_else_says_what_it_needs() {
    let message = open(&empty(&["notes.txt"])).unwrap_err().to_string();
    assert!(message.contains("labels/ID.nii.gz") && message.contains("dataset.json"), "{message}");
    let message = ScanFolder::open("/nowhere/at/all").unwrap_err().to_string();
    assert!(message.contains("no such folder"), "{message}");
}
