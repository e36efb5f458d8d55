use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::{inspect, read_label};

/// The series that `tests/peers/dicom_fixtures.py` makes.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dicom").join(name)
}

/// A folder with the slices `ks` of a golden series, each changed by `change`.
fn folder(name: &str, ks: &[usize], change: impl Fn(usize, &mut Vec<u8>)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for &k in ks {
        let file = format!("{}.dcm", 5 - k);
        let mut bytes = fs::read(golden(name).join(&file)).unwrap();
        change(k, &mut bytes);
        fs::write(dir.path().join(file), bytes).unwrap();
    }
    dir
}

/// Puts `new` where the bytes `old` are; both have one length.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let places = bytes.windows(old.len()).enumerate().filter(|(_, window)| *window == old);
    let places: Vec<usize> = places.map(|(place, _)| place).collect();
    let [place] = places[..] else { panic!("{old:?} is there {} times", places.len()) };
    bytes[place..place + new.len()].copy_from_slice(new);
}

fn fault(folder: &Path) -> SeriesFault {
    match read_series(folder, None) {
        Err(Error::Series { fault, .. }) => *fault,
        other => panic!("{other:?}"),
    }
}

fn message(folder: &Path) -> String {
    read_series(folder, None).unwrap_err().to_string()
}

const ALL: [usize; 5] = [0, 1, 2, 3, 4];
const ENCODINGS: [&str; 6] = ["implicit", "explicit", "big-endian", "rle", "jpeg-lossless", "jpeg-2000"];

#[test]
fn every_encoding_is_one_volume_in_its_place() {
    let turn = 20f64.to_radians();
    // LPS of the script, x and y turned to RAS: rows, columns, and their cross product.
    let axes = [[-turn.cos(), -turn.sin(), 0.0], [0.0, 0.0, -1.0], [turn.sin(), -turn.cos(), 0.0]];
    for name in ENCODINGS {
        let volume = read_series(golden(name), None).unwrap();
        assert_eq!(volume.shape(), [16, 12, 5], "{name}");
        for ((i, j, k), &value) in volume.array().indexed_iter() {
            let [i, j, k] = [i as f32, j as f32, k as f32];
            let stored = 37.0 * i - 29.0 * j + 211.0 * k + 3.0 * i * j - 1000.0;
            assert_eq!(value, stored * (1.0 + k / 4.0) - 10.0 * k, "{name} {i} {j} {k}");
        }
        let grid = volume.geometry();
        for (found, expected) in grid.spacing().into_iter().zip([0.5, 0.75, 2.5]) {
            assert!((found - expected).abs() < 1e-8, "{name}: {found}");
        }
        for index in [[0.0; 3], [15.0, 0.0, 0.0], [0.0, 11.0, 0.0], [0.0, 0.0, 4.0]] {
            let scaled = [index[0] * 0.5, index[1] * 0.75, index[2] * 2.5];
            let at = |n: usize| axes[0][n] * scaled[0] + axes[1][n] * scaled[1] + axes[2][n] * scaled[2];
            let expected = [30.0 + at(0), -12.5 + at(1), 40.0 + at(2)];
            let found = grid.position(index);
            assert!((0..3).all(|n| (found[n] - expected[n]).abs() < 1e-6), "{name} {found:?} {expected:?}");
        }
    }
}

#[test]
fn a_series_is_inspected_like_a_file() {
    let found = inspect(golden("explicit")).unwrap();
    assert_eq!((found.format.as_str(), found.shape), ("DICOM", [16, 12, 5]));
    assert_eq!(found.grid.unwrap().orientation.to_string(), "LIP");
    let volume = read_series(golden("explicit"), None).unwrap();
    let sum: f64 = volume.array().iter().map(|&value| f64::from(value)).sum();
    assert_eq!((found.voxels.sum, found.voxels.not_finite), (sum, 0));
    for (name, value) in [
        ("slices", "5"),
        ("first slice", "5.dcm"),
        ("TransferSyntaxUID (0002,0010)", "1.2.840.10008.1.2.1"),
        ("Modality (0008,0060)", "CT"),
        ("Rows (0028,0010)", "12"),
        ("PixelSpacing (0028,0030)", "0.75\\0.5"),
    ] {
        let claim = found.claims.iter().find(|claim| claim.0 == name);
        assert_eq!(claim.map(|claim| claim.1.as_str()), Some(value), "{name}");
    }
}

#[test]
fn a_series_of_segments_is_a_label_map() {
    let dir = folder("explicit", &[0], |_, bytes| {
        let voxels = bytes.len() - 16 * 12 * 2;
        bytes[voxels..].as_chunks_mut().0.iter_mut().for_each(|voxel| *voxel = [7, 0]);
    });
    let label = read_label(dir.path()).unwrap();
    assert_eq!(label.shape(), [16, 12, 1]);
    assert!(label.array().iter().all(|&class| class == 7));
    let message = read_label(golden("explicit")).unwrap_err().to_string();
    assert!(message.contains("is this the label map?"), "{message}");
}

#[test]
fn a_folder_of_several_series_is_listed_and_one_is_picked() {
    let dir = folder("explicit", &ALL, |k, bytes| {
        if k >= 3 {
            replace(bytes, b"UI\x08\x001.2.3.4\0", b"UI\x08\x001.2.3.9\0");
        }
    });
    fs::write(dir.path().join("README.txt"), "not a slice").unwrap();
    let listed: Vec<(String, usize)> = series_in(dir.path())
        .unwrap()
        .iter()
        .map(|series| {
            assert_eq!((series.modality(), series.description()), ("CT", "fixture"));
            (series.uid().to_owned(), series.slice_count())
        })
        .collect();
    assert_eq!(listed, [("1.2.3.4".to_owned(), 3), ("1.2.3.9".to_owned(), 2)]);
    assert_eq!(read_series(dir.path(), None).unwrap().shape(), [16, 12, 3]);
    let claims = inspect(dir.path()).unwrap().claims;
    let other = ("another series".to_owned(), "1.2.3.9 (CT \"fixture\", 2 slices)".to_owned());
    assert_eq!(claims.last(), Some(&other));
    let second = read_series(dir.path(), Some("1.2.3.9")).unwrap();
    let whole = read_series(golden("explicit"), None).unwrap();
    assert_eq!(second.array(), whole.array().slice_axis(ndarray::Axis(2), (3..).into()));
    let unknown = read_series(dir.path(), Some("1.2")).unwrap_err().to_string();
    assert!(unknown.contains("no series 1.2 among") && unknown.contains("1.2.3.9 (CT"), "{unknown}");
    fs::remove_file(dir.path().join("5.dcm")).unwrap();
    assert!(message(dir.path()).contains("several series are the largest"));
}

/// A folder where the slices `ks` have the Series Instance UIDs 1.2.3.5, 1.2.3.6 ..., which are not that of the series.
fn with_strays(present: &[usize], ks: &[usize]) -> TempDir {
    folder("explicit", present, |k, bytes| {
        if let Some(n) = ks.iter().position(|&stray| stray == k) {
            let uid = format!("UI\x08\x001.2.3.{}\0", 5 + n);
            replace(bytes, b"UI\x08\x001.2.3.4\0", uid.as_bytes());
        }
    })
}

#[test]
fn a_slice_with_a_damaged_uid_is_named() {
    // At either end, in a gap, between two, and two at once; `5 - k` is the file's number.
    for (present, strays, file) in [
        (&ALL[..], &[0][..], "5.dcm"),
        (&ALL, &[4], "1.dcm"),
        (&ALL, &[2], "3.dcm"),
        (&[1, 2, 3], &[2], "3.dcm"),
        (&ALL, &[3, 4], "2.dcm"),
        (&[0, 1, 2, 3], &[1, 2], "4.dcm"),
    ] {
        let dir = with_strays(present, strays);
        let SeriesFault::StraySlice { file: found, uid, series } = fault(dir.path()) else {
            panic!("{strays:?}");
        };
        assert_eq!((found.as_str(), uid.as_str(), series.as_str()), (file, "1.2.3.5", "1.2.3.4"));
        assert!(
            message(dir.path()).contains("SeriesInstanceUID (0020,000E) is probably damaged; correct it")
        );
        assert!(read_series(dir.path(), Some("1.2.3.4")).is_err());
        assert_eq!(read_series(dir.path(), Some("1.2.3.5")).unwrap().shape(), [16, 12, 1]);
    }
}

#[test]
fn a_single_slice_of_another_scan_is_no_stray() {
    // In the place of another slice; far off; of another kind, name or grid.
    let copied = with_strays(&[0, 1, 2], &[]);
    let again = with_strays(&[1], &[1]);
    fs::copy(again.path().join("4.dcm"), copied.path().join("again.dcm")).unwrap();
    assert_eq!(read_series(copied.path(), None).unwrap().shape(), [16, 12, 3]);
    let far = with_strays(&[0, 1, 4], &[4]);
    assert_eq!(read_series(far.path(), None).unwrap().shape(), [16, 12, 2]);
    for (old, new) in [
        (&b"CS\x02\0CT"[..], &b"CS\x02\0PT"[..]),
        (b"fixture", b"locator"),
        (b"DS\x08\x000.75\\0.5", b"DS\x08\x000.75\\0.6"),
    ] {
        let dir = with_strays(&ALL, &[4]);
        let path = dir.path().join("1.dcm");
        let mut bytes = fs::read(&path).unwrap();
        replace(&mut bytes, old, new);
        fs::write(&path, bytes).unwrap();
        assert_eq!(read_series(dir.path(), None).unwrap().shape(), [16, 12, 4], "{new:?}");
    }
}

#[test]
fn missing_slices_are_counted() {
    let dir = folder("explicit", &[0, 1, 2, 4], |_, _| {});
    let expected = SeriesFault::MissingSlices {
        missing: 1,
        gap_mm: 5.0,
        spacing_mm: 2.5,
        before: "3.dcm".into(),
        after: "1.dcm".into(),
    };
    let found = fault(dir.path());
    assert_eq!(found.to_string(), expected.to_string());
    assert!(message(dir.path()).contains("1 slice(s) are missing: 3.dcm and 1.dcm lie 5.000 mm apart"));
}

#[test]
fn a_tilted_gantry_is_refused_with_its_angle() {
    let SeriesFault::GantryTilt { degrees } = fault(&golden("tilted")) else { panic!("no tilt") };
    assert!((degrees - 15.0).abs() < 1e-4, "{degrees}");
    assert!(message(&golden("tilted")).contains("stacked at 15.00 degrees"));
}

#[test]
fn a_slice_that_is_there_twice_is_named() {
    let dir = folder("explicit", &ALL, |_, _| {});
    fs::copy(dir.path().join("3.dcm"), dir.path().join("again.dcm")).unwrap();
    let message = message(dir.path());
    assert!(message.contains("3.dcm and again.dcm lie at the same position"), "{message}");
}

/// The position of slice 2, as the file has it.
fn position_of_slice_2() -> [String; 3] {
    let turn = 20f64.to_radians();
    let at = |value: f64| format!("{value:.9}").chars().take(16).collect();
    [at(-30.0 - 5.0 * turn.sin()), at(12.5 + 5.0 * turn.cos()), at(40.0)]
}

/// A folder where slice 2 has moved by some mm in x, y, z.
fn with_slice_2_moved(by: [f64; 3]) -> TempDir {
    let old = position_of_slice_2();
    let new: Vec<String> = old
        .iter()
        .zip(by)
        .map(|(text, by)| format!("{:.9}", text.parse::<f64>().unwrap() + by)[..text.len()].to_owned())
        .collect();
    folder("explicit", &ALL, |k, bytes| {
        if k == 2 {
            replace(bytes, old.join("\\").as_bytes(), new.join("\\").as_bytes());
        }
    })
}

#[test]
fn uneven_slices_are_refused_with_their_distances() {
    let turn = 20f64.to_radians();
    let along = |mm: f64| [-mm * turn.sin(), mm * turn.cos(), 0.0];
    let dir = with_slice_2_moved(along(0.6));
    let message = message(dir.path());
    assert!(
        message.contains("unevenly spaced: 1.900 to 3.100 mm apart, the farthest 4.dcm and 3.dcm"),
        "{message}"
    );
    // A twentieth of the spacing is what headers lose.
    assert!(read_series(with_slice_2_moved(along(0.12)).path(), None).is_ok());
}

#[test]
fn a_slice_beside_the_others_is_refused() {
    let dir = with_slice_2_moved([0.0, 0.0, 1.5]);
    assert_eq!(fault(dir.path()), SeriesFault::Sideways { file: "3.dcm".into(), shift_mm: 1.5 });
}

#[test]
fn slices_of_several_kinds_are_told_apart() {
    for (old, new, attribute) in [
        (&b"DS\x08\x000.75\\0.5"[..], &b"DS\x08\x000.75\\0.6"[..], "PixelSpacing (0028,0030)"),
        (b"\x28\x00\x10\x00US\x02\x00\x0c\x00", b"\x28\x00\x10\x00US\x02\x00\x0b\x00", "Rows (0028,0010)"),
        (b"\x28\x00\x11\x00US\x02\x00\x10\x00", b"\x28\x00\x11\x00US\x02\x00\x0f\x00", "Columns (0028,0011)"),
    ] {
        let dir = folder("explicit", &ALL, |k, bytes| {
            if k == 3 {
                replace(bytes, old, new)
            }
        });
        let message = message(dir.path());
        assert!(message.contains(&format!("1.dcm and 2.dcm differ in {attribute}")), "{message}");
    }
}

#[test]
fn one_slice_is_as_thick_as_it_says() {
    let dir = folder("explicit", &[1], |_, _| {});
    let volume = read_series(dir.path(), None).unwrap();
    assert_eq!(volume.shape(), [16, 12, 1]);
    assert!((volume.geometry().spacing()[2] - 2.5).abs() < 1e-8);
}

#[test]
fn missing_and_wrong_attributes_are_named() {
    // Tags in the order of the file, little endian, each made one that nobody reads.
    for (tag, name) in [
        ([0x20, 0, 0x0e, 0], "SeriesInstanceUID (0020,000E) is missing"),
        ([0x20, 0, 0x32, 0], "ImagePositionPatient (0020,0032) is missing"),
        ([0x20, 0, 0x37, 0], "ImageOrientationPatient (0020,0037) is missing"),
        ([0x28, 0, 0x02, 0], "SamplesPerPixel (0028,0002) is missing"),
        ([0x28, 0, 0x10, 0], "Rows (0028,0010) is missing"),
        ([0x28, 0, 0x30, 0], "PixelSpacing (0028,0030) is missing"),
        ([0x28, 0, 0x00, 1], "BitsAllocated (0028,0100) is missing"),
        ([0x28, 0, 0x03, 1], "PixelRepresentation (0028,0103) is missing"),
        ([0xe0, 0x7f, 0x10, 0], "PixelData (7FE0,0010) is missing"),
    ] {
        let dir = folder("explicit", &ALL, |k, bytes| {
            if k == 4 {
                let vr = bytes.windows(4).position(|window| window == tag).unwrap();
                bytes[vr + 2] = 0xf7;
            }
        });
        let message = message(dir.path());
        assert!(message.contains("1.dcm: ") && message.contains(name), "{name}: {message}");
    }
    for (old, new, expected) in [
        (&b"US\x02\x00\x0c\x00"[..], &b"US\x02\x00\x00\x00"[..], "Rows (0028,0010) is 0"),
        (b"MONOCHROME2 ", b"YBR_FULL_422", "only grey images"),
        (b"0.75\\0.5", b"0.75\\x.5", "PixelSpacing (0028,0030) does not hold 2 finite"),
        (b"0.75\\0.5", b"0.75\\0  ", "the spacing [0.0, 0.75"),
        (b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.4\0", "transfer syntax 1.2.840.10008.1.2.4"),
    ] {
        let dir = folder("explicit", &[0], |_, bytes| {
            let place = bytes.windows(old.len()).position(|window| window == old).unwrap();
            bytes[place..place + new.len()].copy_from_slice(new);
        });
        let message = message(dir.path());
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn a_folder_without_images_says_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    assert!(message(dir.path()).contains("give the folder that holds the slices"));
    fs::write(dir.path().join("1.dcm"), "short").unwrap();
    assert!(message(dir.path()).contains("1.dcm: this is not a DICOM file"));
}

#[test]
fn short_files_are_refused_whatever_they_hold() {
    for name in ENCODINGS {
        let whole = fs::read(golden(name).join("3.dcm")).unwrap();
        let dir = folder(name, &[], |_, _| {});
        for length in (0..whole.len() - 1).step_by(7).chain([whole.len() - 2]) {
            fs::write(dir.path().join("3.dcm"), &whole[..length]).unwrap();
            let result = read_series(dir.path(), None);
            assert!(result.is_err(), "{name} {length} of {}", whole.len());
            assert!(result.unwrap_err().to_string().contains("3.dcm: "), "{name} {length}");
        }
    }
}

#[test]
fn giant_sides_are_refused_before_memory_is_taken() {
    let sides = |bytes: &mut Vec<u8>| {
        for tag in [0x10, 0x11] {
            let place = bytes.windows(6).position(|window| window == [0x28, 0, tag, 0, b'U', b'S']).unwrap();
            bytes[place + 8..place + 10].fill(0xff);
        }
    };
    let plain = folder("explicit", &[0], |_, bytes| sides(bytes));
    assert!(message(plain.path()).contains("5.dcm: the file is cut short"), "{}", message(plain.path()));
    for name in ["rle", "jpeg-lossless", "jpeg-2000"] {
        let packed = folder(name, &[0], |_, bytes| sides(bytes));
        let message = message(packed.path());
        assert!(message.contains("5.dcm: the header claims [65535, 65535, 1] voxels"), "{message}");
    }
    // A frame that claims more than its header.
    let jpeg = folder("jpeg-lossless", &[0], |_, bytes| {
        let frame = bytes.windows(2).position(|window| window == [0xff, 0xc3]).unwrap();
        bytes[frame + 5..frame + 9].fill(0xff);
    });
    assert!(
        message(jpeg.path()).contains("a frame of 65535 rows and 65535 columns"),
        "{}",
        message(jpeg.path())
    );
    let jpeg_2000 = folder("jpeg-2000", &[0], |_, bytes| {
        let frame = bytes.windows(4).position(|window| window == [0xff, 0x4f, 0xff, 0x51]).unwrap();
        bytes[frame + 8..frame + 16].fill(0x7f);
    });
    assert!(
        message(jpeg_2000.path()).contains("a frame of 2139062143 rows"),
        "{}",
        message(jpeg_2000.path())
    );
}

#[test]
fn no_damaged_byte_ends_the_program() {
    for name in ENCODINGS {
        let dir = folder(name, &[], |_, _| {});
        let whole = fs::read(golden(name).join("3.dcm")).unwrap();
        let mut refused = 0;
        for position in (128..whole.len()).step_by(3) {
            let mut damaged = whole.clone();
            damaged[position] ^= 0xff;
            fs::write(dir.path().join("3.dcm"), &damaged).unwrap();
            refused += u32::from(read_series(dir.path(), None).is_err());
        }
        assert!(refused > 20, "{name}: {refused}");
    }
}
