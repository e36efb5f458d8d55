use std::fs;

use ndarray::Array3;

use super::*;
use crate::{Geometry, Image, Subject, Volume};

const SHAPE: [usize; 3] = [9, 7, 5];

fn voxel([i, j, k]: [i64; 3]) -> f32 {
    let inside = [i, j, k].iter().zip(SHAPE).all(|(&x, side)| (0..side as i64).contains(&x));
    if inside { (1 + i + 10 * j + 100 * k) as f32 } else { 0.0 }
}

fn subject(id: &str, labelled: bool) -> Subject {
    let grid = Geometry::new(
        [0.625, 0.625, 1.25],
        [1.0, 2.0, 3.0],
        [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    );
    let grid = grid.unwrap();
    let image = Array3::from_shape_fn(SHAPE, |(i, j, k)| voxel([i as i64, j as i64, k as i64]));
    let label = labelled.then(|| Volume::new(image.mapv(|value| (value as usize % 3) as u8), grid.clone()));
    Subject::new(id, Volume::new(image, grid), label).unwrap()
}

fn add(writer: &mut Writer, subject: &Subject) -> crate::Result<()> {
    let sources = vec![Source { file: "made up".into(), sha256: None }];
    writer.add(NewCase { subject, split: Split::Train, sources, note: None })
}

fn prepared() -> (tempfile::TempDir, PreparedSet) {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(dir.path().join("set"), "test", "numbers by position").unwrap();
    add(&mut writer, &subject("b", true)).unwrap();
    add(&mut writer, &subject("a", false)).unwrap();
    let set = writer.finish().unwrap();
    (dir, set)
}

#[test]
fn what_is_added_is_read() {
    let (dir, set) = prepared();
    let ids: Vec<_> = set.manifest().cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids, ["b", "a"]);
    let record = &set.manifest().cases[0];
    assert_eq!((record.shape, record.spacing, record.labelled), (SHAPE, [0.625, 0.625, 1.25], true));
    let expected = subject("b", true);
    let foreground = expected.label().unwrap().array().iter().filter(|&&value| value > 0).count();
    assert_eq!((record.foreground_voxels, record.highest_label), (Some(foreground as u64), Some(2)));

    let case = set.case("b").unwrap();
    assert_eq!(case.shape(), SHAPE);
    assert_eq!(&case.read_image().unwrap(), expected.image());
    assert_eq!(set.subject("b").unwrap(), expected);
    assert_eq!(case.read_label().unwrap().as_ref(), expected.label());
    assert_eq!(set.case("a").unwrap().read_label().unwrap(), None);
    assert_eq!(set.manifest().cases[1].highest_label, None);

    let again = PreparedSet::open(dir.path().join("set")).unwrap();
    assert_eq!((again.manifest(), again.digest()), (set.manifest(), set.digest()));
    assert_eq!(set.digest().len(), 64);
}

#[test]
fn every_patch_is_the_volume_inside_and_zero_outside() {
    let (_dir, set) = prepared();
    let case = set.case("b").unwrap();
    let sizes = [[1, 1, 1], [4, 3, 2], SHAPE, [12, 12, 12]];
    for size in sizes {
        for start in [[0, 0, 0], [2, 3, 1], [-3, -2, -1], [7, 6, 4], [-20, 0, 0], [0, 50, 0], [8, -1, -11]] {
            let (image, label) = case.read_patch(start, size).unwrap();
            assert_eq!(image.shape(), [[1].as_slice(), &size].concat());
            for ((_, i, j, k), &value) in image.indexed_iter() {
                let at = [start[0] + i as i64, start[1] + j as i64, start[2] + k as i64];
                assert_eq!(value, voxel(at), "{start:?} {size:?} {at:?}");
                let label = label.as_ref().unwrap()[[i, j, k]];
                assert_eq!(usize::from(label), value as usize % 3);
            }
        }
    }
    for start in [[i64::MIN, 0, 0], [0, i64::MAX, 0]] {
        assert!(case.read_patch(start, [2, 2, 2]).unwrap().0.iter().all(|&value| value == 0.0));
    }
}

#[test]
fn impossible_patches_are_refused() {
    let (_dir, set) = prepared();
    let case = set.case("a").unwrap();
    for size in [[0, 1, 1], [usize::MAX, 2, 2], [1 << 40, 1 << 40, 1]] {
        assert!(case.read_patch([0; 3], size).unwrap_err().to_string().contains("no patch"), "{size:?}");
    }
}

#[test]
fn a_file_that_shrank_is_named() {
    let (dir, set) = prepared();
    let path = dir.path().join("set/images/b.nii");
    let case = set.case("b").unwrap();
    let length = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 4).unwrap();
    assert!(case.read_patch([0; 3], [2, 2, 2]).is_ok(), "the first planes are still there");
    for error in [case.read_image().unwrap_err(), set.case("b").unwrap_err()] {
        let message = error.to_string();
        assert!(message.contains("b.nii: the file is cut short"), "{message}");
    }
}

#[test]
fn files_that_are_not_what_the_manifest_says_are_refused() {
    let (dir, set) = prepared();
    let path = dir.path().join("set/images/b.nii");
    crate::write_label(&path, subject("b", true).label().unwrap()).unwrap();
    assert!(set.case("b").unwrap_err().to_string().contains("not unscaled F32"));
    let small = Volume::new(Array3::<f32>::zeros([2, 2, 2]), Geometry::isotropic(1.0).unwrap());
    crate::write_image(&path, &small).unwrap();
    assert!(set.case("b").unwrap_err().to_string().contains("but the manifest says [9, 7, 5] and 1"));
    fs::remove_file(&path).unwrap();
    assert!(set.case("b").unwrap_err().to_string().contains("b.nii"));
    assert!(set.case("c").unwrap_err().to_string().contains("no case \"c\""));
}

#[test]
fn an_unfinished_folder_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(dir.path().join("set"), "test", "").unwrap();
    add(&mut writer, &subject("a", true)).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    drop(writer);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_existing_folder_is_left_alone() {
    let (dir, set) = prepared();
    let again = Writer::create(dir.path().join("set"), "test", "");
    assert!(again.unwrap_err().to_string().contains("exists already"));
    // One that appears while the cases are written.
    let mut writer = Writer::create(dir.path().join("other"), "test", "").unwrap();
    add(&mut writer, &subject("a", true)).unwrap();
    fs::create_dir(dir.path().join("other")).unwrap();
    assert!(writer.finish().unwrap_err().to_string().contains("exists already"));
    assert_eq!(PreparedSet::open(dir.path().join("set")).unwrap().digest(), set.digest());
}

#[test]
fn cases_that_cannot_be_read_again_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(dir.path().join("set"), "test", "").unwrap();
    let grid = Geometry::isotropic(1.0).unwrap();
    let nan = Volume::new(Array3::from_elem([2, 2, 2], f32::NAN), grid);
    let nan = Subject::new("nan", nan, None).unwrap();
    assert!(add(&mut writer, &nan).unwrap_err().to_string().contains("NaN"));
    assert!(add(&mut writer, &subject("../a", true)).unwrap_err().to_string().contains("case name"));
    add(&mut writer, &subject("a", true)).unwrap();
    assert!(add(&mut writer, &subject("a", false)).unwrap_err().to_string().contains("there twice"));
    assert_eq!(writer.finish().unwrap().manifest().cases.len(), 1);
}

/// A subject whose second and third channels are the first one, 1000 and 2000 higher.
fn three_channels(id: &str) -> Subject {
    let (id, image, label) = subject(id, true).into_parts();
    let first = &image.channels()[0];
    let channel = |n: usize| Volume::new(first.array() + 1000.0 * n as f32, first.geometry().clone());
    Subject::new(id, Image::new((0..3).map(channel).collect()).unwrap(), label).unwrap()
}

#[test]
fn every_channel_of_a_patch_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::create(dir.path().join("set"), "test", "").unwrap();
    let mut writer = writer.with_channels(["t1", "t2", "flair"]).unwrap();
    add(&mut writer, &three_channels("a")).unwrap();
    let set = writer.finish().unwrap();
    assert_eq!(set.subject("a").unwrap(), three_channels("a"));
    assert_eq!(set.manifest().channels, Names::from(["t1", "t2", "flair"]));
    let intensity = &set.manifest().cases[0].intensity;
    assert_eq!(intensity.iter().map(|of| of.min).collect::<Vec<_>>(), [1.0, 1001.0, 2001.0]);

    let case = set.case("a").unwrap();
    assert_eq!(case.channels(), 3);
    for (start, size) in [([2, 3, 1], [4, 3, 2]), ([-3, -2, -1], [12, 12, 12]), ([7, 6, 4], [1, 2, 3])] {
        let (image, _) = case.read_patch(start, size).unwrap();
        for ((channel, i, j, k), &value) in image.indexed_iter() {
            let inside = voxel([start[0] + i as i64, start[1] + j as i64, start[2] + k as i64]);
            let expected = if inside > 0.0 { inside + 1000.0 * channel as f32 } else { 0.0 };
            assert_eq!(value, expected, "{start:?} {size:?} channel {channel}");
        }
    }
}

#[test]
fn a_folder_has_one_number_of_channels_and_knows_its_classes() {
    let dir = tempfile::tempdir().unwrap();
    let writer = |name: &str| Writer::create(dir.path().join(name), "test", "").unwrap();
    let mut mixed = writer("mixed");
    add(&mut mixed, &subject("a", true)).unwrap();
    let message = add(&mut mixed, &three_channels("b")).unwrap_err().to_string();
    assert!(message.contains("\"b\" has 3 channel(s), but those of the folder have 1"), "{message}");
    let manifest = mixed.finish().unwrap().manifest().clone();
    assert_eq!((manifest.channels, manifest.classes), (Names::Numbered(1), Names::Numbered(3)));

    let mut named = writer("named").with_classes(["background", "liver"]).unwrap();
    let message = add(&mut named, &subject("a", true)).unwrap_err().to_string();
    assert!(message.contains("\"a\" holds label 2, but the folder has 2 classes"), "{message}");
    assert!(writer("twice").with_channels(["t1", "t1"]).is_err());
}
