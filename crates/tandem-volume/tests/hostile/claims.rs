//! Headers that are sound numbers, but no scan's.
use std::io::Write;

use crate::reading::Folder;
use crate::specimen::{self, Specimen};

/// Checks that the file with `bytes` in the specimen's place is refused for the reason `expected`.
fn refused(specimen: &Specimen, bytes: &[u8], what: &str, expected: &str) {
    match Folder::new(specimen).read(bytes, what) {
        Ok(_) => panic!("{} with {what} was read", specimen.name),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains(expected), "{} with {what}: {error} lacks {expected:?}", specimen.name);
        }
    }
}

fn patched(specimen: &Specimen, offset: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = specimen.bytes.clone();
    bytes[offset..offset + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn sides_that_no_scan_has_are_refused_in_nifti() {
    let (one, two) = (specimen::nifti_1(), specimen::nifti_2());
    for (sides, expected) in [
        ([0i64, 5, 4], "at least one voxel"),
        ([-6, 5, 4], "at least one voxel"),
        ([32767, 32767, 32767], "more memory than the limit"),
        ([32767, 1, 1], "cut short"),
        ([i64::MAX, i64::MAX, i64::MAX], "more than any memory"),
        ([1 << 62, 4, 1], "more than any memory"),
        ([i64::MIN, 5, 4], "at least one voxel"),
    ] {
        let wide: Vec<u8> = sides.iter().flat_map(|side| side.to_le_bytes()).collect();
        refused(&two, &patched(&two, 24, &wide), &format!("sides {sides:?}"), expected);
        if sides.iter().all(|&side| i16::try_from(side).is_ok()) {
            let narrow: Vec<u8> = sides.iter().flat_map(|&side| (side as i16).to_le_bytes()).collect();
            refused(&one, &patched(&one, 42, &narrow), &format!("sides {sides:?}"), expected);
        }
    }
}

#[test]
fn grids_that_no_scan_has_are_refused_in_nifti() {
    let one = specimen::nifti_1();
    let by_sform = one.bytes[280..328].to_vec();
    for value in [0.0, f32::NAN, f32::INFINITY] {
        // The first column of the sform.
        let mut sform = by_sform.clone();
        for row in 0..3 {
            sform[16 * row..16 * row + 4].copy_from_slice(&value.to_le_bytes());
        }
        refused(&one, &patched(&one, 280, &sform), &format!("an sform column of {value}"), "spacing");
        // The same by the qform: without an sform the spacing counts.
        let mut bytes = patched(&one, 80, &value.to_le_bytes());
        bytes[254..256].fill(0);
        refused(&one, &bytes, &format!("a spacing of {value}"), "spacing");
    }
    // Two columns alike: no inverse.
    let mut sform = by_sform.clone();
    for row in 0..3 {
        let first: Vec<u8> = sform[16 * row..16 * row + 4].to_vec();
        sform[16 * row + 4..16 * row + 8].copy_from_slice(&first);
    }
    refused(&one, &patched(&one, 280, &sform), "a singular sform", "right angles");
}

#[test]
fn voxels_that_begin_elsewhere_are_refused_in_nifti() {
    let (one, two) = (specimen::nifti_1(), specimen::nifti_2());
    for (offset, expected) in [
        (-1i64, "vox_offset"),
        (12, "vox_offset"),
        (600, "cut short"),
        (1 << 20, "cut short"),
        (1 << 40, "vox_offset"),
        (i64::MAX, "vox_offset"),
        (i64::MIN, "vox_offset"),
    ] {
        let what = format!("voxels from byte {offset}");
        refused(&one, &patched(&one, 108, &(offset as f32).to_le_bytes()), &what, expected);
        refused(&two, &patched(&two, 168, &offset.to_le_bytes()), &what, expected);
    }
}

#[test]
fn lies_in_text_headers_are_refused() {
    let lies = [
        ("SIZES", "0 5 4", "positive"),
        ("SIZES", "-6 5 4", "positive"),
        ("SIZES", "6 5", "positive"),
        ("SIZES", "100000 100000 100000", "more memory than the limit"),
        ("SIZES", "4294967296 4294967296 4294967296", "more than any memory"),
        ("SIZES", "99999999999999999999 5 4", "positive"),
        ("SIZES", "6 5 5", "cut short"),
        ("FILE", "../scan.raw", "outside the header's folder"),
        ("FILE", "/etc/hostname", "outside the header's folder"),
        ("FILE", "sub/../../scan.raw", "outside the header's folder"),
        ("FILE", "scan.nii", "put it beside the header"),
    ];
    let nrrd = [
        ("SIZES", "sizes: 6 5 4", "sizes: "),
        ("FILE", "data file: scan.raw", "data file: "),
        ("VECTORS", "(0.5,0,0) (0,0.75,0) (0,0,2)", ""),
    ];
    let metaimage = [
        ("SIZES", "DimSize = 6 5 4", "DimSize = "),
        ("FILE", "ElementDataFile = scan.raw", "ElementDataFile = "),
        ("VECTORS", "ElementSpacing = 0.5 0.75 2", "ElementSpacing = "),
    ];
    let vectors_of_nrrd = [
        ("VECTORS", "(0,0,0) (0,0.75,0) (0,0,2)", "spacing"),
        ("VECTORS", "(nan,0,0) (0,0.75,0) (0,0,2)", "spacing"),
        ("VECTORS", "(inf,0,0) (0,0.75,0) (0,0,2)", "spacing"),
        ("VECTORS", "(0.5,0,0) (0.5,0,0) (0,0,2)", "right angles"),
    ];
    let vectors_of_metaimage = [
        ("VECTORS", "0 0.75 2", "spacing"),
        ("VECTORS", "-0.5 0.75 2", "spacing"),
        ("VECTORS", "nan 0.75 2", "spacing"),
        ("VECTORS", "inf 0.75 2", "spacing"),
    ];
    for (specimen, fields, vectors) in [
        (specimen::nrrd_detached(), nrrd, vectors_of_nrrd),
        (specimen::metaimage_detached(), metaimage, vectors_of_metaimage),
    ] {
        let header = String::from_utf8(specimen.bytes.clone()).unwrap();
        for (field, value, expected) in lies.iter().chain(&vectors) {
            let (_, sound, prefix) = fields.iter().find(|(name, ..)| name == field).unwrap();
            assert!(header.contains(sound), "{header} lacks {sound}");
            let lie = header.replace(sound, &format!("{prefix}{value}"));
            refused(&specimen, lie.as_bytes(), &format!("{prefix}{value}"), expected);
        }
    }
}

#[test]
fn a_wrong_checksum_is_noticed() {
    let gzip = specimen::nifti_1_gzipped();
    let zlib = specimen::metaimage();
    let nrrd = specimen::nrrd();
    for (specimen, from_end) in [(gzip, 8), (nrrd, 8), (zlib, 4)] {
        let at = specimen.bytes.len() - from_end;
        let bytes = patched(&specimen, at, &[!specimen.bytes[at]]);
        refused(&specimen, &bytes, "a wrong checksum", "damaged");
    }
}

#[test]
fn bombs_stop_at_what_the_header_promises() {
    let gzip = specimen::nifti_1_gzipped();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&specimen::nifti_1().bytes).unwrap();
    for _ in 0..256 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    refused(&gzip, &encoder.finish().unwrap(), "a bomb behind the voxels", "goes on for more than");
    let plain = specimen::nifti_1();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let large: Vec<u8> = [200i16; 3].iter().flat_map(|side| side.to_le_bytes()).collect();
    encoder.write_all(&patched(&plain, 42, &large)).unwrap();
    refused(&gzip, &encoder.finish().unwrap(), "a claim that no packing holds", "packed ones can hold");
}

#[test]
fn hdf5_claims_are_checked() {
    for name in ["inflated.h5", "empty_chunks.h5"] {
        let specimen = specimen::hdf5(name);
        refused(&specimen, &specimen.bytes, name, "more memory than the limit");
    }
}

#[test]
fn fractional_labels_are_no_labels() {
    let dir = tempfile::tempdir().unwrap();
    let one = specimen::nifti_1();
    let halved = patched(&one, 112, &0.5f32.to_le_bytes()); // scl_slope
    let nifti = dir.path().join("label.nii");
    std::fs::write(&nifti, halved).unwrap();
    let as_floats = |specimen: Specimen, raw: &str| {
        let text = String::from_utf8(specimen.bytes).unwrap();
        let text = text.replace("MET_UCHAR", "MET_FLOAT").replace("unsigned char", "float\nendian: little");
        let path = dir.path().join(specimen.name);
        std::fs::write(&path, text).unwrap();
        std::fs::write(dir.path().join(raw), [0, 0, 0x20, 0x3f].repeat(120)).unwrap(); // 0.625
        path
    };
    let nrrd = as_floats(specimen::nrrd_detached(), "scan.raw");
    let metaimage = as_floats(specimen::metaimage_detached(), "scan.raw");
    for path in [nifti, nrrd, metaimage] {
        assert!(tandem_volume::read_image(&path).is_ok());
        let message = tandem_volume::read_label(&path).unwrap_err().to_string();
        assert!(message.contains("labels are whole numbers in 0..=255; is this the label map?"), "{message}");
    }
}
