//! Pancreas-CT, from a download's folders to scores.

use crate::experiment;
use crate::program::Program;
use ndarray::Array3;
use std::path::Path;
use tandem_volume::dicom::{SeriesNames, write_series};
use tandem_volume::prepared::{PreparedSet, Split};
use tandem_volume::{Geometry, Volume, read_image, read_label, write_label};

fn prepared(program: &Program, name: &str) -> PreparedSet {
    PreparedSet::open(program.path(&format!("data/prepared/{name}"))).expect("a prepared set")
}

/// Five phantoms of 5 mm are prepared; the download that they were read from is in `download`.
fn with_download() -> Program {
    let program = Program::new();
    let arguments =
        ["prepare-data", "pancreas-phantom", "--cases", "5", "--spacing", "5", "--download", "download"];
    program.run(&arguments).succeeded();
    program
}

/// Writes scan `number` of a download below `folder`: a CT, and its label map with the axes `axes`.
fn write_scan(folder: &Path, number: u32, image: &Volume<f32>, label: &Volume<u8>, axes: &str) {
    let study = folder.join(format!("Pancreas-CT/PANCREAS_{number:04}/study"));
    let labels = folder.join("labels");
    std::fs::create_dir_all(&study).unwrap();
    std::fs::create_dir_all(&labels).unwrap();
    let uid = format!("2.25.{number}");
    let names = SeriesNames { patient: "P", description: "test", uid: &uid };
    write_series(study.join("series"), image, &names, |k| format!("{:03}.dcm", 999 - k)).unwrap();
    let label = label.reoriented(axes.parse().unwrap()).unwrap();
    write_label(labels.join(format!("label{number:04}.nii.gz")), &label).unwrap();
}

#[test]
fn a_download_is_prepared_by_either_recipe() {
    let program = with_download();
    let phantoms = prepared(&program, "pancreas-phantom");
    let manifest = phantoms.manifest();
    for part in
        ["Synthetic", "not of patients", "MC-Net's recipe", "The crop looked at the label map of every scan"]
    {
        assert!(manifest.description.contains(part), "{}", manifest.description);
    }
    assert_eq!(manifest.classes, ["background", "pancreas"].into());
    let test: Vec<bool> = manifest.cases.iter().map(|case| case.split == Split::Test).collect();
    assert_eq!(test, [false, false, false, false, true]);
    for case in &manifest.cases {
        assert_eq!((case.spacing, case.highest_label, &case.note), ([1.0; 3], Some(1), &None), "{}", case.id);
        // 31 x 31 x 30 voxels of 5 mm; every slice is kept.
        assert_eq!(case.shape[2], 150, "{}", case.id);
        assert!(
            case.intensity[0].mean.abs() < 1e-4 && (case.intensity[0].sd - 1.0).abs() < 1e-4,
            "{}",
            case.id
        );
        assert_eq!(case.sources.len(), 2);
    }

    // The phantoms' download, taken for a real one, is the same scans.
    program.run(&["prepare-data", "pancreas", "--source", "download"]).succeeded();
    let scans = prepared(&program, "pancreas");
    assert_eq!(scans.manifest().cases, manifest.cases);
    assert!(scans.manifest().description.contains("NIH Pancreas-CT"));

    program
        .run(&["prepare-data", "pancreas", "--source", "download", "--recipe", "coranet", "--cases", "3"])
        .succeeded();
    let coranet = prepared(&program, "pancreas-coranet");
    assert_eq!(coranet.manifest().cases.len(), 3);
    for case in &coranet.manifest().cases {
        assert!(case.shape.iter().all(|&side| side >= 96) && case.shape[2] < 150, "{:?}", case.shape);
        assert!(case.intensity[0].min >= 0.0 && case.intensity[0].max <= 1.0, "{:?}", case.intensity);
        let other = manifest.cases.iter().find(|other| other.id == case.id).unwrap();
        assert_eq!(case.foreground_voxels, other.foreground_voxels, "both take the nearest voxel's label");
    }
}

#[test]
fn scans_that_the_archive_removed_and_copies_on_both_sides_are_named() {
    let program = Program::new();
    let grid =
        Geometry::new([3.0; 3], [0.0; 3], [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]).unwrap();
    let shape = [12, 11, 10];
    let image = Volume::new(Array3::from_shape_fn(shape, |(i, j, k)| (8 * i + j + k) as f32), grid.clone());
    let label =
        Volume::new(Array3::from_shape_fn(shape, |(i, j, k)| u8::from(i > 4 && j > 3 && k > 2)), grid);
    for number in (1..=82).filter(|number| *number != 25) {
        write_scan(&program.path("scans"), number, &image, &label, "LAS");
    }
    let run = |more: &[&str]| {
        let arguments = [&["prepare-data", "pancreas", "--source", "scans", "--force"], more].concat();
        program.run(&arguments).succeeded().stdout
    };
    let said = run(&[]);
    assert!(
        said.contains(
            "1 of the 82 scans of split mcf-0 are not in scans: PANCREAS_0025 (the archive removed"
        ),
        "{said}"
    );
    assert!(
        said.contains("PANCREAS_0002 of the training list and PANCREAS_0070 of the test list are one CT"),
        "{said}"
    );
    let cases = prepared(&program, "pancreas").manifest().cases.clone();
    let test = cases.iter().filter(|case| case.split == Split::Test).count();
    assert_eq!((cases.len(), test, cases[24].id.as_str()), (81, 20, "PANCREAS_0026"));

    let said = run(&["--split", "coranet"]);
    assert!(!said.contains("one CT") && !said.contains("are not in"), "{said}");
    let cases = prepared(&program, "pancreas").manifest().cases.clone();
    assert_eq!((cases.len(), cases[61].id.as_str(), cases[61].split), (80, "PANCREAS_0063", Split::Train));
}

#[test]
fn what_was_assumed_of_a_label_map_is_said() {
    let program = with_download();
    let path = program.path("download/labels/label0003.nii.gz");
    let label = read_label(&path).unwrap();
    let grid = label.geometry();
    let elsewhere = Geometry::new(grid.spacing(), [0.0; 3], grid.direction()).unwrap();
    write_label(&path, &Volume::new(label.array().clone(), elsewhere)).unwrap();
    let said = program.run(&["prepare-data", "pancreas", "--source", "download"]).succeeded().stdout;
    assert!(
        said.contains("1 of 5 scans have a note in manifest.json; PANCREAS_0003: the label map's header"),
        "{said}"
    );
    let (moved, whole) = (prepared(&program, "pancreas"), prepared(&program, "pancreas-phantom"));
    let voxels = |set: &PreparedSet| set.case("PANCREAS_0003").unwrap().read_label().unwrap();
    assert_eq!(voxels(&moved), voxels(&whole));

    write_label(&path, &Volume::new(Array3::<u8>::zeros([31, 31, 29]), grid.clone())).unwrap();
    program.run(&["prepare-data", "pancreas", "--source", "download", "--force"]).refused(&[
        "PANCREAS_0003",
        "label0003.nii.gz",
        "[31, 31, 30]",
    ]);
}

#[test]
fn an_experiment_trains_on_the_phantoms_to_its_end() {
    let program = Program::new();
    program.run(&["prepare-data", "pancreas-phantom", "--cases", "8", "--spacing", "5"]).succeeded();
    let left: Vec<_> = std::fs::read_dir(program.path("data/prepared")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "the download was left: {left:?}");
    for name in ["pancreas-10pct", "pancreas-20pct"] {
        let ended = experiment::run_definition(&program, name, name, &[]).succeeded();
        let first = ended.stdout.lines().next().unwrap_or_default();
        assert!(first.contains(name) && first.contains("synthetic"), "{first}");
        let report = std::fs::read_to_string(program.path(name).join("report.md")).unwrap();
        assert!(report.contains("pancreas-phantom"), "{report}");
    }
}

#[test]
fn options_of_other_datasets_are_refused() {
    let program = Program::new();
    for (arguments, words) in [
        (&["pancreas"][..], &["prepare-data pancreas --source DIR"][..]),
        (&["pancreas", "--source", "nowhere"], &["nowhere", "--source"]),
        (
            &["pancreas", "--source", ".", "--spacing", "2"],
            &["--spacing is for prepare-data phantom", "data.spacing_mm"],
        ),
        (&["pancreas", "--source", "."], &["holds no scans", "PANCREAS_0001"]),
        (
            &["la", "--source", ".", "--recipe", "coranet"],
            &["--recipe is for prepare-data pancreas, pancreas-phantom"],
        ),
        (
            &["pancreas-phantom", "--split", "mcf-1"],
            &["--split is for prepare-data pancreas, not for pancreas-phantom"],
        ),
        (&["pancreas-phantom", "--source", "."], &["--source is for prepare-data la", "phantoms are made"]),
        (&["pancreas-phantom", "--download", "."], &["exists already"]),
        (&["pancreas-phantom", "--spacing", "2", "2", "3"], &["--spacing", "one number"]),
        (
            &["pancreas", "--source", ".", "--resample-labels"],
            &["--resample-labels is for prepare-data la, custom"],
        ),
        (&["pancreas", "--source", ".", "--window", "-125", "275"], &["--window is for prepare-data custom"]),
        (&["custom", "--source", ".", "--recipe", "coranet"], &["--recipe is for", "not for custom"]),
        (&["custom", "--source", ".", "--cases", "3"], &["--cases is for", "train.list"]),
        (&["phantom", "--resample-labels"], &["--resample-labels is for prepare-data la, custom"]),
        (&["phantom", "--download", "x"], &["--download is for prepare-data pancreas-phantom"]),
    ] {
        program.run(&[&["prepare-data"], arguments].concat()).refused(words);
    }
    assert_eq!(std::fs::read_dir(program.path("")).unwrap().count(), 0, "something was left");
}

/// The CT series and the abdominal CT of the reference data, as scans 1 and 2 of a download.
fn real_scans(folder: &Path) -> Option<[Volume<f32>; 2]> {
    let (series, scans) =
        (tandem_reference::reference("scans/dicom-ct")?, tandem_reference::reference("scans/ct")?);
    // The series as it is; its label map is a box in it, as nobody drew one.
    let first = read_image(&series).unwrap();
    let of_box = |(i, j, k): (usize, usize, usize)| {
        u8::from((30..60).contains(&i) && (50..70).contains(&j) && (5..12).contains(&k))
    };
    let label = Volume::new(Array3::from_shape_fn(first.array().dim(), of_box), first.geometry().clone());
    write_scan(folder, 1, &first, &label, "SAR");
    let copied = folder.join("Pancreas-CT/PANCREAS_0001/study/series");
    std::fs::remove_dir_all(&copied).unwrap();
    std::fs::create_dir(&copied).unwrap();
    for file in std::fs::read_dir(series).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), copied.join(file.file_name())).unwrap();
    }
    // The abdominal CT as slices; class 7 of its segmentation is the pancreas. Padding below -1024 HU is air.
    let second = read_image(scans.join("ct.nii.gz")).unwrap().reoriented("LPS".parse().unwrap()).unwrap();
    let second = Volume::new(second.array().mapv(|hu| hu.max(-1024.0)), second.geometry().clone());
    let label = read_label(scans.join("segmentation.nii.gz")).unwrap();
    let label = Volume::new(label.array().mapv(|class| u8::from(class == 7)), label.geometry().clone());
    write_scan(folder, 2, &second, &label, "RAS");
    Some([first, second])
}

#[test]
fn real_scans_go_through_both_recipes() {
    let program = Program::new();
    let Some(scans) = real_scans(&program.path("scans")) else { return };
    std::fs::write(program.path("scans/train.list"), "PANCREAS_0001\nPANCREAS_0002\n").unwrap();
    for recipe in ["mc-net", "coranet"] {
        program.run(&["prepare-data", "pancreas", "--source", "scans", "--recipe", recipe]).succeeded();
    }
    let [mc_net, coranet] = ["pancreas", "pancreas-coranet"].map(|name| prepared(&program, name));
    for (n, scan) in scans.iter().enumerate() {
        let [a, b] = [&mc_net, &coranet].map(|set| &set.manifest().cases[n]);
        let millimetres = [0, 1, 2]
            .map(|axis| (scan.shape()[axis] as f64 * scan.geometry().spacing()[axis] + 1e-9) as usize);
        assert_eq!((a.spacing, b.spacing, a.shape[2]), ([1.0; 3], [1.0; 3], millimetres[2]), "{}", a.id);
        assert!(
            a.shape.iter().zip(millimetres).all(|(&side, whole)| side <= whole),
            "{:?} {millimetres:?}",
            a.shape
        );
        assert!(
            a.intensity[0].mean.abs() < 1e-4 && (a.intensity[0].sd - 1.0).abs() < 1e-4,
            "{:?}",
            a.intensity
        );
        assert!(
            b.intensity[0].min >= 0.0 && b.intensity[0].max <= 1.0 && b.intensity[0].max > 0.5,
            "{:?}",
            b.intensity
        );
        assert!(b.shape.iter().all(|&side| side >= 96), "{:?}", b.shape);
        // The label map keeps its size and its place.
        let cases = [&mc_net, &coranet].map(|set| set.case(&a.id).unwrap().read_label().unwrap().unwrap());
        let old = read_label(program.path(&format!("scans/labels/label{:04}.nii.gz", n + 1))).unwrap();
        let centre = |label: &Volume<u8>| {
            let marked = label.array().indexed_iter().filter(|(_, class)| **class > 0);
            let places =
                marked.map(|((i, j, k), _)| label.geometry().position([i as f64, j as f64, k as f64]));
            let (count, sum) = places.fold((0.0, [0.0; 3]), |(count, sum): (f64, [f64; 3]), place| {
                (count + 1.0, [0, 1, 2].map(|axis| sum[axis] + place[axis]))
            });
            (count, sum.map(|sum| sum / count))
        };
        let (voxels, place) = centre(&old);
        let volume = voxels * old.geometry().spacing().iter().product::<f64>();
        for case in &cases {
            let (voxels, found) = centre(case);
            assert!((voxels - volume).abs() < 0.05 * volume, "{}: {voxels} {volume}", a.id);
            // The nearest voxel rounds half a voxel of the scan one way.
            assert!(
                (0..3).all(|axis| (found[axis] - place[axis]).abs() < 1.0),
                "{}: {found:?} {place:?}",
                a.id
            );
        }
    }
}
