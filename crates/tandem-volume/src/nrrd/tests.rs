use super::*;
use crate::gzip::packed;

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
    read(&path, Budget::default())
}

#[test]
fn raw_and_gzipped_voxels_are_read_in_both_byte_orders() {
    let image = read_parts(HEADER, &voxels()).unwrap().into_volume(Path::new("scan")).unwrap();
    assert_eq!(image.shape(), [3, 2, 2]);
    for ((i, j, k), &value) in image.array().indexed_iter() {
        assert_eq!(value, (i + 3 * (j + 2 * k)) as f32 - 5.0);
    }
    let gzip = HEADER.replace("raw", "gzip");
    assert_eq!(read_parts(&gzip, &packed(&voxels())).unwrap().into_volume(Path::new("scan")).unwrap(), image);
    let swapped: Vec<u8> = voxels().chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    assert_eq!(
        read_parts(&HEADER.replace("little", "big"), &swapped)
            .unwrap()
            .into_volume(Path::new("scan"))
            .unwrap(),
        image
    );
    assert_eq!(
        read_parts(&HEADER.replace('\n', "\r\n"), &voxels()).unwrap().into_volume(Path::new("scan")).unwrap(),
        image
    );
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
        ("dimension: 3", "dimension: 5", "5 dimensions"),
        ("dimension: 3", "dimension: 4", "first or the last must hold the channels"),
        ("sizes: 3 2 2", "sizes: 3 0 2", "sizes"),
        ("sizes: 3 2 2\n", "", "`sizes` is missing"),
        ("type: short", "type: block", "voxel type"),
        ("endian: little\n", "", "endian"),
        ("encoding: raw", "encoding: hex", "encoding"),
        ("encoding: raw", "encoding: raw\ndata file: a.raw", "no file; put it beside"),
        ("encoding: raw", "encoding: raw\ndata file: ../scan.nrrd", "outside the header's folder"),
        ("encoding: raw", "encoding: raw\ndatafile: LIST", "several files"),
        ("encoding: raw", "encoding: raw\ndata file: a%03d.raw 1 9 1", "several files"),
        ("kinds: domain", "kinds: vector", "kinds"),
        ("kinds: ", "space units: \"mm\" \"mm\" \"s\"\nkinds: ", "space units"),
        ("encoding: raw", "encoding: raw\nbyte skip: x", "byte skip"),
        ("encoding: raw", "encoding: gzip\nbyte skip: -1", "byte skip"),
        ("encoding: raw", "encoding: raw\nline skip: 2", "line skip"),
        ("encoding: raw", "encoding: raw\nbyte skip: 9223372036854775807", "cut short"),
        ("left-posterior-superior", "scanner-xyz", "space"),
        ("(0,-0.5,0)", "none", "space directions"),
        ("(0,-0.5,0)", "(0,0,0)", "spacing"),
        ("(1,2,3)", "(1,2)", "space origin"),
        ("# a comment", "what is this", "field: value"),
        ("\n\n", "\n", "binary data"),
    ] {
        let message = read_parts(&HEADER.replacen(from, to, 1), &voxels()).unwrap_err().to_string();
        assert!(message.contains(expected), "{from:?} -> {to:?}: {message} lacks {expected:?}");
    }
}

#[test]
fn a_short_file_is_refused_before_memory_is_taken() {
    let error = |header: &str, voxels: &[u8]| read_parts(header, voxels).unwrap_err().to_string();
    assert!(error(HEADER, &voxels()[..23]).contains("cut short"));
    assert!(error(&HEADER[..HEADER.find("sizes").unwrap()], &[]).contains("cut short"));
    assert!(error(&HEADER.replace("3 2 2", "1000 1000 1000"), &voxels()).contains("cut short"));
    assert!(
        error(&HEADER.replace("3 2 2", "30000 30000 30000"), &voxels())
            .contains("more memory than the limit")
    );
    let gzip = HEADER.replace("raw", "gzip");
    let gz = packed(&voxels());
    assert!(error(&gzip.replace("3 2 2", "1000 1000 1000"), &gz).contains("packed ones can hold"));
    assert!(error(&gzip, &gz[..gz.len() - 3]).contains("cut short"));
    let mut wrong = gz.clone();
    *wrong.iter_mut().rev().nth(5).unwrap() ^= 1; // the checksum
    assert!(error(&gzip, &wrong).contains("damaged"));
}

#[test]
fn detached_voxels_are_read_from_the_headers_folder() {
    let dir = tempfile::tempdir().unwrap();
    let header = dir.path().join("scan.nhdr");
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let read_as = |fields: &str| {
        // A detached header needs no empty line at its end.
        write("scan.nhdr", HEADER.trim_end().replace("encoding: raw", fields).as_bytes());
        read(&header, Budget::default()).map(Stored::into_image)
    };
    let attached = read_parts(HEADER, &voxels()).unwrap().into_image();
    write("a b.raw", &voxels());
    assert_eq!(read_as("encoding: raw\ndata file: a b.raw").unwrap(), attached);
    write("a.raw.gz", &packed(&voxels()));
    assert_eq!(read_as("encoding: gzip\ndatafile: ./a.raw.gz").unwrap(), attached);
    write("long.raw", &[&[9; 5], &voxels()[..]].concat());
    assert_eq!(read_as("encoding: raw\ndata file: long.raw\nbyte skip: 5").unwrap(), attached);
    assert_eq!(read_as("encoding: raw\ndata file: long.raw\nbyteskip: -1").unwrap(), attached);
    write("long.raw.gz", &packed(&[&[9; 5], &voxels()[..]].concat()));
    assert_eq!(read_as("encoding: gzip\ndata file: long.raw.gz\nbyte skip: 5").unwrap(), attached);
    write("short.raw", &voxels()[1..]);
    let short = read_as("encoding: raw\ndata file: short.raw").unwrap_err().to_string();
    assert!(short.contains("short.raw: the file is cut short (23 of 24 bytes)"), "{short}");
}

#[test]
fn units_become_mm() {
    let header = HEADER.replace("kinds: ", "space units: \"cm\" \"cm\" \"cm\"\nkinds: ");
    let grid = read_parts(&header, &voxels()).unwrap().geometry;
    assert_eq!((grid.spacing(), grid.origin()), ([5.0, 5.0, 20.0], [-10.0, -20.0, 30.0]));
}

#[test]
fn channels_lie_before_or_behind_the_axes_of_space() {
    let stored = |sizes: &str, kinds: &str, directions: &str| {
        let header = HEADER
            .replace("dimension: 3", "dimension: 4")
            .replace("sizes: 3 2 2", &format!("sizes: {sizes}"))
            .replace("kinds: domain domain domain\n", kinds)
            .replace("(0.5,0,0) (0,-0.5,0) (0,0,2)", directions);
        let two = [voxels(), voxels()].concat();
        read_parts(&header, &two)
    };
    let before = "none (0.5,0,0) (0,-0.5,0) (0,0,2)";
    let behind = "(0.5,0,0) (0,-0.5,0) (0,0,2) none";
    let single = read_parts(HEADER, &voxels()).unwrap().geometry;
    for kinds in ["", "kinds: vector domain domain domain\n"] {
        let image = stored("2 3 2 2", kinds, before).unwrap().into_image();
        assert_eq!((image.shape(), image.geometry()), ([3, 2, 2], &single));
        for (channel, volume) in image.channels().iter().enumerate() {
            for ((i, j, k), &value) in volume.array().indexed_iter() {
                // The values -5 to 6, twice, in the order of the file.
                let place = channel + 2 * (i + 3 * (j + 2 * k));
                assert_eq!(value, (place % 12) as f32 - 5.0);
            }
        }
    }
    for kinds in ["", "kinds: domain domain domain list\n"] {
        let image = stored("3 2 2 2", kinds, behind).unwrap().into_image();
        assert_eq!((image.shape(), image.geometry()), ([3, 2, 2], &single));
        let expected = read_parts(HEADER, &voxels()).unwrap().into_image();
        assert!(image.channels().iter().all(|channel| channel == &expected.channels()[0]));
    }
    for (sizes, kinds, directions) in [
        ("3 2 2", "", before),
        ("0 3 2 2", "", before),
        ("3 2 2 2", "kinds: domain vector domain domain\n", behind),
        ("3 2 2 2", "kinds: domain domain domain domain\n", behind),
    ] {
        assert!(stored(sizes, kinds, directions).is_err(), "{sizes} {kinds} {directions}");
    }
}
