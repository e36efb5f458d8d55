//! `tandem export`, `tandem import`, and `tandem predict` with a model folder.

use crate::program::{Program, workspace};
use crate::{experiment, scans};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tandem_volume::write_image;

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

/// A V-Net of one filter that PyTorch saved.
fn state_dict() -> String {
    workspace().join("crates/tandem-training/tests/golden/import/vnet.pth").display().to_string()
}

#[test]
fn a_run_travels_as_a_model_folder() {
    let program = Program::with_phantoms();
    experiment::run(&program, "run", &["--set", "training.iterations=1"]).succeeded();
    write_image(program.path("scan.nii.gz"), &scans::image(scans::oblique())).unwrap();
    let said = program.run(&["export", "run", "--onnx", "-o", "models/la"]).succeeded().stdout;
    let listed = "models/la: model.json, vnet.safetensors, vnet.onnx, resnet34.safetensors, resnet34.onnx, README.md, LICENSE";
    assert!(said.contains(listed), "{said}");
    program.run(&["predict", "run", "scan.nii.gz", "-o", "of-run"]).succeeded();
    // Elsewhere, without the run.
    fs::rename(program.path("models/la"), program.path("moved")).unwrap();
    fs::rename(program.path("run"), program.path("gone")).unwrap();
    program.run(&["predict", "moved", "scan.nii.gz", "-o", "of-model"]).succeeded();
    let label = |folder: &str| fs::read(program.path(folder).join("scan.nii.gz")).unwrap();
    assert!(label("of-run") == label("of-model"));

    program.run(&["export", "gone", "-o", "moved"]).refused(&["moved", "exists already"]);
    program
        .run(&["export", "nowhere", "-o", "new"])
        .refused(&["nowhere", "no run folder and no model folder"]);
    fs::remove_file(program.path("moved/resnet34.safetensors")).unwrap();
    program.run(&["predict", "moved", "scan.nii.gz", "-o", "no"]).refused(&[
        "moved/resnet34.safetensors",
        "networks[1].file",
        "export the model again",
    ]);
    assert!(!program.path("new").exists() && !program.path("no").exists());
}

#[test]
fn a_state_dict_of_pytorch_becomes_a_model_that_predicts() {
    let program = Program::new();
    let file = state_dict();
    let more = ["--spacing", "3", "3", "3", "--patch", "16", "16", "16", "--classes", "background,atrium"];
    let import = [&["import", &file, "--network", "vnet", "-o", "model"], &more[..]].concat();
    let said = program.run(&import).succeeded().stdout;
    assert!(said.contains("a vnet of 1 filters, 1 channel(s), 2 classes"), "{said}");
    write_image(program.path("scan.nii.gz"), &scans::image(scans::oblique())).unwrap();
    program.run(&["predict", "model", "scan.nii.gz", "-o", "out"]).succeeded();
    assert!(program.path("out/scan.nii.gz").exists());
    program.run(&["export", "model", "--onnx", "-o", "again"]).succeeded();
    assert!(program.path("again/vnet.onnx").exists());
    program.run(&["import", &file, "--network", "resnet34", "-o", "no"]).refused(&["vnet.pth", "--network"]);
}

/// A file that would run a command, in a folder whose every byte is compared afterwards. What else is refused, and why, is tested
/// beside the reader.
#[test]
fn a_hostile_file_runs_nothing_and_leaves_nothing() {
    let program = Program::new();
    let honest = fs::read(state_dict()).unwrap();
    let command = format!("touch {}", program.path("pwned").display());
    let call = [
        &b"\x80\x02cposix\nsystem\nX"[..],
        &(command.len() as u32).to_le_bytes(),
        command.as_bytes(),
        b"\x85R.",
    ]
    .concat();
    let name = b"vnet/data.pkl";
    let at = honest.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    let padding = usize::from(u16::from_le_bytes([honest[at - name.len() - 2], honest[at - name.len() - 1]]));
    let mut evil = honest.clone();
    evil[at + padding..][..call.len()].copy_from_slice(&call);
    // With the checksum that its author would have given it.
    let directory = evil.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let size = u32::from_le_bytes(*evil[directory + 24..].first_chunk().unwrap()) as usize;
    let checksum = crc32(&evil[at + padding..][..size]).to_le_bytes();
    evil[directory + 16..][..4].copy_from_slice(&checksum);
    fs::write(program.path("evil.pth"), evil).unwrap();
    let cut = &honest[..honest.len() / 2];
    fs::write(program.path("cut.pth"), cut).unwrap();
    let before = files(&program.path(""));
    let import = |file: &str| program.run(&["import", file, "--network", "vnet", "-o", "model"]);
    import("evil.pth").refused(&[
        "evil.pth: is refused",
        "\"posix.system\"",
        "torch.save(net.state_dict(), FILE)",
    ]);
    import("cut.pth").refused(&["cut.pth", "cut short"]);
    import("nowhere.pth").refused(&["nowhere.pth"]);
    assert!(files(&program.path("")) == before);
}

/// The checksum of zip archives, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
