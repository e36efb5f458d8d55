use std::io::Write;

use super::*;

const HEADER: &str = "NRRD0004\n# a comment\ntype: short\ndimension: 3\nspace: left-posterior-superior\n\
    sizes: 3 2 2\nspace directions: (0.5,0,0) (0,-0.5,0) (0,0,2)\nkinds: domain domain domain\nendian: little\n\
    encoding: raw\nspace origin: (1,2,3)\nwho:=somebody\n\n";

fn voxels() -> Vec<u8> {
    (0..12i16).flat_map(|value| (value - 5).to_le_bytes()).collect()
}

fn read_parts(header: &str, voxels: &[u8]) -> Result<Stored> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scan.nrrd");
    std::fs::write(&path, [header.as_bytes(), voxels].concat()).unwrap();
    read(&path)
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn raw_and_gzipped_voxels_are_read_in_both_byte_orders() {
    let image = read_parts(HEADER, &voxels()).unwrap().into_image();
    assert_eq!(image.shape(), [3, 2, 2]);
    for ((i, j, k), &value) in image.array().indexed_iter() {
        assert_eq!(value, (i + 3 * (j + 2 * k)) as f32 - 5.0);
    }
    let packed = HEADER.replace("raw", "gzip");
    assert_eq!(read_parts(&packed, &gzipped(&voxels())).unwrap().into_image(), image);
    let swapped: Vec<u8> = voxels().chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    assert_eq!(read_parts(&HEADER.replace("little", "big"), &swapped).unwrap().into_image(), image);
    assert_eq!(read_parts(&HEADER.replace('\n', "\r\n"), &voxels()).unwrap().into_image(), image);
}

#[test]
fn spaces_become_ras() {
    for (space, x, y) in [("left-posterior-superior", -1.0, -1.0), ("LAS", -1.0, 1.0), ("RAS", 1.0, 1.0)] {
        let header = HEADER.replace("left-posterior-superior", space);
        let grid = read_parts(&header, &voxels()).unwrap().geometry;
        assert_eq!(grid.spacing(), [0.5, 0.5, 2.0]);
        assert_eq!(grid.origin(), [x, 2.0 * y, 3.0], "{space}");
        assert_eq!(grid.direction(), [[x, 0.0, 0.0], [0.0, -y, 0.0], [0.0, 0.0, 1.0]], "{space}");
    }
}

#[test]
fn spacings_alone_are_enough() {
    let header = HEADER
        .replace("space: left-posterior-superior\n", "")
        .replace("space directions: (0.5,0,0) (0,-0.5,0) (0,0,2)", "spacings: 0.5 0.6 2");
    assert_eq!(read_parts(&header, &voxels()).unwrap().geometry.spacing(), [0.5, 0.6, 2.0]);
}

#[test]
fn what_is_not_read_is_named() {
    for (from, to, expected) in [
        ("NRRD0004", "XRRD0004", "not a NRRD file"),
        ("dimension: 3", "dimension: 4", "4 dimensions"),
        ("sizes: 3 2 2", "sizes: 3 0 2", "sizes"),
        ("sizes: 3 2 2\n", "", "`sizes` is missing"),
        ("type: short", "type: block", "voxel type"),
        ("endian: little\n", "", "endian"),
        ("encoding: raw", "encoding: hex", "encoding"),
        ("encoding: raw", "encoding: raw\ndata file: a.raw", "another file"),
        ("encoding: raw", "encoding: raw\nbyte skip: 4", "byte skip"),
        ("left-posterior-superior", "scanner-xyz", "space"),
        ("(0,-0.5,0)", "none", "space directions"),
        ("(0,-0.5,0)", "(0,0,0)", "spacing"),
        ("(1,2,3)", "(1,2)", "space origin"),
        ("# a comment", "what is this", "field: value"),
        ("\n\n", "\n", "no empty line"),
    ] {
        let message = read_parts(&HEADER.replacen(from, to, 1), &voxels()).unwrap_err().to_string();
        assert!(message.contains(expected), "{from:?} -> {to:?}: {message} lacks {expected:?}");
    }
}

#[test]
fn a_short_file_is_refused_before_memory_is_taken() {
    let error = |header: &str, voxels: &[u8]| read_parts(header, voxels).unwrap_err().to_string();
    assert!(error(HEADER, &voxels()[..23]).contains("cut short"));
    assert!(error(&HEADER.replace("3 2 2", "30000 30000 30000"), &voxels()).contains("cut short"));
    let packed = HEADER.replace("raw", "gzip");
    let gz = gzipped(&voxels());
    assert!(error(&packed.replace("3 2 2", "30000 30000 30000"), &gz).contains("gzipped ones can hold"));
    assert!(error(&packed, &gz[..gz.len() - 3]).contains("cut short"));
    let mut wrong = gz.clone();
    *wrong.iter_mut().rev().nth(5).unwrap() ^= 1; // the checksum
    assert!(error(&packed, &wrong).contains("damaged"));
}
