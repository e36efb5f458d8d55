//! `tandem inspect`.

use crate::program::{Program, workspace};
use crate::scans;
use serde_json::Value;
use tandem_reference::largest_difference;
use tandem_volume::write_image;

#[test]
fn a_scan_is_described_for_people_and_for_programs() {
    let program = Program::new();
    write_image(program.path("scan.nrrd"), &scans::image(scans::oblique())).unwrap();
    let said = program.run(&["inspect", "scan.nrrd"]).succeeded().stdout;
    for part in ["NRRD", &format!("{:?}", scans::SHAPE), "spacing", "orientation", "left-posterior-superior"]
    {
        assert!(said.contains(part), "{said} lacks {part:?}");
    }
    let json = program.run(&["inspect", "scan.nrrd", "--json"]).succeeded().stdout;
    let found: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["shape"], Value::from(scans::SHAPE.to_vec()));
    let affine: Vec<Vec<f64>> = serde_json::from_value(found["grid"]["affine"].clone()).unwrap();
    let expected = scans::oblique().affine();
    let apart = largest_difference(&affine.concat(), expected.as_flattened());
    assert!(apart < 1e-12, "{affine:?} {expected:?}");
}

#[test]
fn a_folder_of_slices_is_described_as_one_scan() {
    let program = Program::new();
    let series = workspace().join("crates/tandem-volume/tests/golden/dicom/explicit");
    let folder = program.path("series");
    std::fs::create_dir(&folder).unwrap();
    for file in std::fs::read_dir(series).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let said = program.run(&["inspect", "series"]).succeeded().stdout;
    for part in ["DICOM", "[16, 12, 5]", "LIP", "  slices: 5", "  Modality (0008,0060): CT"] {
        assert!(said.contains(part), "{said} lacks {part:?}");
    }
    std::fs::remove_file(folder.join("3.dcm")).unwrap();
    program.run(&["inspect", "series"]).refused(&[
        "series",
        "1 slice(s) are missing",
        "export the whole series",
    ]);
}

#[test]
fn what_is_no_scan_is_refused() {
    let program = Program::new();
    std::fs::write(program.path("text.mha"), "not a scan").unwrap();
    program.run(&["inspect", "text.mha"]).refused(&["text.mha", "Field = value"]);
    program.run(&["inspect", "missing.nii"]).refused(&["missing.nii"]);
    program.run(&["inspect", "missing"]).refused(&["missing: No such file", "check the path"]);
    std::fs::write(program.path("scan.png"), "not a scan").unwrap();
    program.run(&["inspect", "scan.png"]).refused(&["scan.png", "convert the file"]);
}
