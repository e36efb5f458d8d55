//! `tandem predict`.

use crate::program::Program;
use crate::{experiment, scans};
use tandem_volume::{read_label, write_image};

#[test]
fn predictions_lie_on_the_grid_of_their_scan() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iterations=1"]).succeeded();
    write_image(program.path("oblique.nii.gz"), &scans::image(scans::oblique())).unwrap();
    let ended = program.run(&["predict", "run", "oblique.nii.gz", "-o", "out"]).succeeded();
    assert!(ended.stdout.contains("z-scored"), "a raw scan must be normalised, and said to be: {ended:?}");
    let label = read_label(program.path("out/oblique.nii.gz")).unwrap();
    assert_eq!(label.shape(), scans::SHAPE);
    assert!(label.geometry().same_grid(&scans::oblique(), scans::SHAPE), "{:?}", label.geometry());
    let apart =
        label.geometry().affine().into_iter().flatten().zip(scans::oblique().affine().into_iter().flatten());
    assert!(apart.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) < 1e-5);
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
