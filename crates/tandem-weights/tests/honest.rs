//! Files that PyTorch 2 saved (`tests/peers/import.py --fixtures`), and safetensors files.

use crate::archive::file;
use crate::pickle::{dict, four, whole};
use std::path::{Path, PathBuf};
use tandem_weights::{Array, of_bytes, read};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/honest.pth")
}

#[test]
fn every_kind_and_view_of_a_state_dict_is_read() {
    let arrays = read(&golden()).unwrap();
    let counting = |values: &[f32]| Array { shape: vec![2, 3], values: values.to_vec() };
    for kind in ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"] {
        assert_eq!(arrays[&format!("kinds.{kind}")], counting(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), "{kind}");
    }
    assert_eq!(arrays["kinds.bool"], counting(&[0.0, 1.0, 1.0, 1.0, 1.0, 1.0]));
    // Of `0..24` as (2, 3, 4).
    let view = |index: usize, shape: &[usize], first: &[f32]| {
        let array = &arrays[&format!("views.{index}")];
        assert_eq!(array.shape, shape);
        assert_eq!(array.values.len(), shape.iter().product::<usize>());
        assert_eq!(&array.values[..first.len()], first);
    };
    view(0, &[3, 4], &[12.0, 13.0, 14.0]);
    view(1, &[2, 2, 2], &[4.0, 6.0, 8.0, 10.0, 16.0, 18.0, 20.0, 22.0]);
    view(2, &[4, 2, 3], &[0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 1.0]);
    view(3, &[0, 3], &[]);
    view(4, &[], &[2.5]);
    let weight = &arrays["state_dict.0.weight"];
    assert_eq!(weight.shape, [2, 1, 2, 2, 2]);
    assert_eq!(weight.values, (0..16).map(|value| value as f32 / 8.0).collect::<Vec<_>>());
    assert_eq!(arrays["state_dict.1.num_batches_tracked"], Array { shape: vec![], values: vec![0.0] });
    // Numbers, texts and nothing are no arrays.
    assert_eq!(arrays.len(), 7 + 10 + 5);
}

#[test]
fn what_the_tests_build_is_read_where_it_is_honest() {
    let arrays = of_bytes(Path::new("a.pth"), &file(&whole(&dict(&[("w", four())])))).unwrap();
    assert_eq!(arrays["w"], Array { shape: vec![2, 2], values: vec![1.0, 2.0, 3.0, 4.0] });
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let whole = std::fs::read(golden()).unwrap();
    for length in (0..whole.len()).step_by(7) {
        let message = of_bytes(&golden(), &whole[..length]).unwrap_err().to_string();
        assert!(message.contains("honest.pth: "), "{message}");
    }
}

#[test]
fn a_flipped_bit_is_refused_or_changes_nothing_that_is_read() {
    let whole = std::fs::read(golden()).unwrap();
    let arrays = of_bytes(&golden(), &whole).unwrap();
    let mut refused = 0;
    for bit in (0..8 * whole.len()).step_by(29) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match of_bytes(&golden(), &flipped) {
            Ok(read) => assert_eq!(read, arrays, "bit {bit}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 8 * whole.len() / 29 / 3, "only {refused}");
}

#[test]
fn a_safetensors_file_is_read_and_a_damaged_one_is_not() {
    let header = br#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  "#;
    let values = [1.5f32, -2.0].map(f32::to_le_bytes).concat();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header, &values].concat();
    let path = Path::new("w.safetensors");
    assert_eq!(of_bytes(path, &bytes).unwrap()["w"], Array { shape: vec![2], values: vec![1.5, -2.0] });
    let message = of_bytes(path, &bytes[..bytes.len() - 1]).unwrap_err().to_string();
    assert!(message.starts_with("w.safetensors: is no whole safetensors file"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    assert!(read(folder.path()).is_err());
    assert!(read(&folder.path().join("nowhere.pth")).unwrap_err().to_string().contains("nowhere.pth"));
}

#[test]
fn other_kinds_of_files_are_named() {
    let said = |bytes: &[u8]| of_bytes(Path::new("w.pth"), bytes).unwrap_err().to_string();
    for (bytes, kind) in [(&b"\x80\x02\x8a\x0a"[..], "a bare pickle"), (&tar(), "a tar archive")] {
        let message = said(bytes);
        assert!(message.contains("PyTorch before 1.6") && message.contains(kind), "{message}");
        assert!(message.contains("torch.save(net.state_dict(), FILE)"), "{message}");
    }
    assert!(
        said(b"\x89HDF\r\n\x1a\n        ").contains("neither a PyTorch state dict nor a safetensors file")
    );
    assert!(said(b"").contains("neither"));
}

fn tar() -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[257..262].copy_from_slice(b"ustar");
    bytes
}
