//! `tandem predict`.

use crate::program::{Program, signalled, workspace};
use crate::{experiment, scans};
use ndarray::Array3;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use tandem_reference::largest_difference;
use tandem_volume::inspect::inspect;
use tandem_volume::{Geometry, Orientation, Volume, read_image, read_label, write_image};

/// Largest difference of two affines, in mm.
fn apart(a: [[f64; 4]; 4], b: [[f64; 4]; 4]) -> f64 {
    largest_difference(a.as_flattened(), b.as_flattened())
}

/// Numbers of header fields as they stand in a file.
fn claims(path: &Path, fields: &[&str]) -> Vec<f64> {
    let found = inspect(path).unwrap().claims;
    let field =
        |name: &&str| found.iter().find(|(known, _)| known == name).expect("a header field").1.clone();
    let text: String = fields.iter().map(field).collect::<Vec<_>>().join(" ");
    let numbers = text.split(|c: char| " ,()[]".contains(c)).filter(|part| !part.is_empty());
    numbers.map(|number| number.parse().expect("a number")).collect()
}

#[test]
fn predictions_lie_on_the_grid_of_their_scan() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iterations=1"]).succeeded();
    // Numbers that f32 does not hold.
    let oblique = scans::oblique();
    let origin = [-123.456_789_012, 212.345_678_901, -98.765_432_109];
    let oblique = Geometry::new([3.1, 3.500_000_1, 4.999_999_9], origin, oblique.direction()).unwrap();
    for name in ["oblique.nii.gz", "turned.nrrd"] {
        write_image(program.path(name), &scans::image(oblique.clone())).unwrap();
    }
    let series = workspace().join("crates/tandem-volume/tests/golden/dicom/explicit");
    let mut scans = vec![program.path("oblique.nii.gz"), program.path("turned.nrrd"), series];
    scans.extend(tandem_reference::reference("scans/dicom-ct"));
    if let Some(folder) = tandem_reference::reference("scans/orientations") {
        let heads = ["ASL", "IRP", "LAS", "LPS", "PIR", "RAS", "RPI", "SAL"];
        scans.extend(heads.map(|name| folder.join(format!("{name}.nii.gz"))));
    }
    let names: Vec<&str> = scans.iter().map(|scan| scan.to_str().unwrap()).collect();
    let arguments = [&["predict", "run", "-o", "out"], &names[..]].concat();
    let ended = program.run(&arguments).succeeded();
    assert!(ended.stdout.contains("z-scored"), "a raw scan must be normalised, and said to be: {ended:?}");

    for scan in &scans {
        let name = scan.file_name().unwrap().to_str().unwrap();
        // NIfTI-1 in, NIfTI-1 out; what is more precise comes back as NRRD.
        let is_nifti = name.ends_with(".nii.gz");
        let output =
            if is_nifti { name.to_owned() } else { format!("{}.nrrd", name.trim_end_matches(".nrrd")) };
        let (input, label) =
            (read_image(scan).unwrap(), read_label(program.path("out").join(&output)).unwrap());
        assert_eq!(label.shape(), input.shape(), "{name}");
        assert!(apart(label.geometry().affine(), input.geometry().affine()) < 1e-6, "{name}");
        let (before, after) = (Orientation::of(input.geometry()), Orientation::of(label.geometry()));
        assert_eq!(before, after, "{name}");
        if is_nifti {
            // The affine that any other program finds in the file.
            let rows = claims(&program.path("out").join(&output), &["srow_x", "srow_y", "srow_z"]);
            let affine = input.geometry().affine();
            let worst = largest_difference(&rows, affine[..3].as_flattened());
            assert!(worst < 1e-6, "{name}: {rows:?} {affine:?}");
        }
    }
    let fields = ["space directions", "space origin"];
    assert_eq!(
        claims(&program.path("out/turned.nrrd"), &fields),
        claims(&program.path("turned.nrrd"), &fields)
    );
}

#[test]
fn a_prepared_scan_is_not_normalised_twice() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iterations=2"]).succeeded();
    let id =
        std::fs::read_dir(program.path("run/predictions")).unwrap().flatten().next().unwrap().file_name();
    let id = id.to_str().unwrap().strip_suffix(".nii.gz").unwrap().to_owned();
    let scan = format!("data/prepared/phantom/images/{id}.nii");
    let ended = program.run(&["predict", "run", &scan, "-o", "out"]).succeeded();
    assert!(!ended.stdout.contains("z-scored"), "{ended:?}");
    let of_run = read_label(program.path(&format!("run/predictions/{id}.nii.gz"))).unwrap();
    assert_eq!(read_label(program.path(&format!("out/{id}.nii.gz"))).unwrap(), of_run);
}

/// The rows of `volumes.csv` below its headings, each up to its class: `id,file,class`.
fn rows(program: &Program, folder: &str) -> Vec<String> {
    let text = experiment::read(program.path(folder).join("volumes.csv"));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("id,file,class,voxels,ml"));
    lines.map(|line| line.rsplitn(3, ',').nth(2).expect("five cells").to_owned()).collect()
}

/// A folder of three scans, `b` of which is damaged.
fn batch(program: &Program) {
    fs::create_dir(program.path("scans")).unwrap();
    for name in ["a.nii.gz", "b.nii.gz", "c.nrrd"] {
        write_image(program.path("scans").join(name), &scans::image(scans::oblique())).unwrap();
    }
    let whole = fs::read(program.path("scans/b.nii.gz")).unwrap();
    fs::write(program.path("scans/b.nii.gz"), &whole[..whole.len() / 2]).unwrap();
}

#[test]
fn a_batch_goes_on_past_what_cannot_be_read_and_the_same_command_does_what_is_left() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iterations=1"]).succeeded();
    batch(&program);
    let command = ["predict", "run", "scans", "-o", "out"];
    let first = program.run(&command);
    assert_eq!(first.code, Some(3), "{first:#?}");
    assert!(
        first.stderr.contains("scans/b.nii.gz: ") && first.stderr.contains("1 of 3 scans failed"),
        "{first:#?}"
    );
    assert!(first.stdout.contains("[1/3] scans/a.nii.gz -> out/a.nii.gz: "), "{first:#?}");
    assert_eq!(rows(&program, "out"), ["a,a.nii.gz,left atrium", "c,c.nrrd,left atrium"]);
    for name in ["a.nii.gz", "a.png", "a.json", "c.nrrd", "c.png", "c.json"] {
        assert!(program.path("out").join(name).exists(), "{name}");
    }

    let time = || fs::metadata(program.path("out/a.nii.gz")).unwrap().modified().unwrap();
    let (before, csv) = (time(), program.path("out/volumes.csv"));
    fs::remove_file(&csv).unwrap();
    write_image(program.path("scans/b.nii.gz"), &scans::image(scans::oblique())).unwrap();
    let second = program.run(&command).succeeded();
    assert!(second.stdout.starts_with("2 of 3 scans are done already by the same networks"), "{second:#?}");
    assert!(second.stdout.contains("[3/3] scans/b.nii.gz"), "{second:#?}");
    assert_eq!(time(), before);
    assert_eq!(
        rows(&program, "out"),
        ["a,a.nii.gz,left atrium", "c,c.nrrd,left atrium", "b,b.nii.gz,left atrium"]
    );

    // A scan from elsewhere joins them.
    write_image(program.path("d.mha.nrrd"), &scans::image(scans::oblique())).unwrap();
    program.run(&["predict", "run", "d.mha.nrrd", "-o", "out"]).succeeded();
    assert_eq!(rows(&program, "out").len(), 4);
    // All of them fail: an error like any other.
    fs::write(program.path("e.nii"), "").unwrap();
    fs::write(program.path("f.nii"), "").unwrap();
    program.run(&["predict", "run", "e.nii", "f.nii", "-o", "out"]).refused(&["all 2 scans failed"]);
}

#[test]
fn what_is_there_is_replaced_on_request_only() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iterations=1"]).succeeded();
    experiment::run(&program, "other", &["--set", "training.iterations=1", "--seed", "2"]).succeeded();
    write_image(program.path("a.nii.gz"), &scans::image(scans::oblique())).unwrap();
    // Without --out, into predictions/.
    program.run(&["predict", "run", "a.nii.gz"]).succeeded();
    let again = program.run(&["predict", "run", "a.nii.gz"]).succeeded();
    assert!(again.stdout.starts_with("the scan is done already"), "{again:#?}");
    let words = ["predictions: a was made", "choose another --out, or replace it with --overwrite"];
    program.run(&["predict", "other", "a.nii.gz"]).refused(&[words[0], "by other networks (run)", words[1]]);
    let settings = ["predict", "run", "a.nii.gz", "--largest-component"];
    program.run(&settings).refused(&[words[0], "with other settings", words[1]]);
    program.run(&[&settings[..], &["--overwrite"]].concat()).succeeded();
    fs::write(program.path("predictions/mine.nii.gz"), "drawn by hand").unwrap();
    write_image(program.path("mine.nii.gz"), &scans::image(scans::oblique())).unwrap();
    program
        .run(&["predict", "run", "mine.nii.gz"])
        .refused(&["mine.nii.gz is there, but no ", "--overwrite"]);
    assert_eq!(experiment::read(program.path("predictions/mine.nii.gz")), "drawn by hand");
    program.run(&["predict", "run", "scans-that-are-not-there"]).refused(&["scans-that-are-not-there"]);
}

#[test]
fn maps_say_what_the_networks_are_unsure_of() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iterations=3"]).succeeded();
    write_image(program.path("a.nii.gz"), &scans::image(scans::oblique())).unwrap();
    let predict = |out: &str, more: &[&str]| {
        program.run(&[&["predict", "run", "a.nii.gz", "--out", out], more].concat()).succeeded();
        read_label(program.path(out).join("a.nii.gz")).unwrap()
    };
    let plain = predict("plain", &[]);
    let label = predict("maps", &["--uncertainty", "--probabilities"]);
    assert_eq!(label, plain);
    let map = |folder: &str, name: &str| {
        let map = read_image(program.path(folder).join(format!("a_{name}.nii.gz"))).unwrap();
        assert_eq!((map.shape(), map.geometry()), (label.shape(), label.geometry()), "{name}");
        map.into_parts().0
    };
    let [background, atrium] = ["probability_0", "probability_1"].map(|name| map("maps", name));
    let (entropy, disagreement) = (map("maps", "entropy"), map("maps", "disagreement"));
    for (at, &p) in atrium.indexed_iter() {
        let q = background[at];
        assert!((p + q - 1.0).abs() < 1e-5, "{at:?}: {p} {q}");
        assert_eq!(label.array()[at], u8::from(p > q), "{at:?}");
        let expected = -[p, q].iter().filter(|p| **p > 0.0).map(|p| p * p.log2()).sum::<f32>();
        assert!((entropy[at] - expected).abs() < 1e-4, "{at:?}: {} {expected}", entropy[at]);
        assert!((0.0..=1.0).contains(&disagreement[at]));
    }
    // Two networks after three steps are not of one mind.
    assert!(disagreement.iter().any(|value| *value > 0.01));

    // Mirror images are another mean, of the same kind.
    predict("mirrored", &["--tta", "mirror", "--probabilities"]);
    let mirrored = map("mirrored", "probability_1");
    let apart = largest_difference(mirrored.as_slice().unwrap(), atrium.as_slice().unwrap());
    assert!(apart > 1e-4 && mirrored.iter().all(|p| (0.0..=1.0).contains(p)), "{apart}");
    // Of the whole label map, the largest component is a part, in one piece by definition.
    let largest = predict("largest", &["--largest-component"]);
    let foreground = |label: &Volume<u8>| label.array().iter().filter(|voxel| **voxel == 1).count();
    assert!(largest.array().iter().zip(plain.array()).all(|(largest, all)| largest <= all));
    assert!(foreground(&largest) > 0 || foreground(&plain) == 0);
    assert!(fs::read_dir(program.path("maps")).unwrap().flatten().all(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        !name.ends_with(".partial")
    }));
}

#[test]
fn a_batch_that_is_stopped_goes_on() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iterations=1"]).succeeded();
    fs::create_dir(program.path("scans")).unwrap();
    for n in 0..6 {
        let geometry = Geometry::isotropic(4.0).unwrap();
        let array = Array3::from_shape_fn((96, 64, 64), |(i, j, k)| ((i * j + k * n) % 255) as f32);
        write_image(program.path(&format!("scans/{n}.nii")), &Volume::new(array, geometry)).unwrap();
    }
    let command = ["predict", "run", "scans", "-o", "out"];
    let child = program.command(&command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !program.path("out/1.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let stopped: crate::program::Ended = signalled(child, "INT").into();
    assert_eq!(stopped.code, Some(130), "{stopped:#?}");
    assert!(stopped.stderr.contains("the same command goes on"), "{stopped:#?}");
    let ended = program.run(&command).succeeded();
    assert!(ended.stdout.contains(" of 6 scans are done already"), "{ended:#?}");
    assert_eq!(rows(&program, "out").len(), 6);
}

#[test]
fn the_program_explains_itself_to_people_and_shells() {
    let program = Program::new();
    let help = program.run(&["--help"]).succeeded().stdout;
    for line in ["Masks of your scans:", "Training:", "Exit codes:", "TANDEM_HOME"] {
        assert!(help.contains(line), "{line}: {help}");
    }
    assert!(program.run(&["predict", "--help"]).succeeded().stdout.contains("Examples:"));
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = program.run(&["completions", shell]).succeeded().stdout;
        assert!(script.contains("largest-component"), "{shell}");
    }
    program.run(&["man", "man"]).succeeded();
    assert!(experiment::read(program.path("man/tandem-predict.1")).contains("uncertainty"));
    assert_eq!(program.run(&["predict"]).code, Some(2));
}
