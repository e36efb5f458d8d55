//! `tandem predict`.

use crate::program::{Program, workspace};
use crate::{experiment, scans};
use std::path::Path;
use tandem_volume::inspect::inspect;
use tandem_volume::{Geometry, Orientation, read_image, read_label, write_image};

/// Largest difference of two affines, in mm.
fn apart(a: [[f64; 4]; 4], b: [[f64; 4]; 4]) -> f64 {
    a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
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
            let worst =
                rows.iter().zip(affine.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(rows.len() == 12 && worst < 1e-6, "{name}: {rows:?} {affine:?}");
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
