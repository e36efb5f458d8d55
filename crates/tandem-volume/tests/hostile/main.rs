//! Every reader on damaged and lying files: no panic, no hang, no memory beyond the limit, and an error that names the
//! file and a remedy.
//!
//! `TANDEM_SOAK=full` (`cargo xtask soak hostile`) makes ten times the mutations, and flips every bit of an HDF5 file.
#![forbid(unsafe_code)]

mod claims;
mod mutation;
mod reading;
mod specimen;

use mutation::Generator;
use reading::Folder;
use specimen::Specimen;

/// Whether the full amount is asked for.
fn is_full() -> bool {
    std::env::var_os("TANDEM_SOAK").is_some_and(|value| value == "full")
}

/// A damaged copy of a specimen in every way, one after another.
fn check(specimen: &Specimen) {
    let folder = Folder::new(specimen);
    assert!(folder.read(&specimen.bytes, "as it is").is_ok(), "{}: the specimen is sound", specimen.name);

    let length = specimen.bytes.len();
    let beyond = (1..=50).map(|n| 1024 + n * length.saturating_sub(1024) / 51);
    for end in (0..length.min(1024)).chain(beyond.filter(|&end| end < length)) {
        // What is cut off may be padding: only a panic, a delay or a bad message is wrong.
        let _ = folder.read(&specimen.bytes[..end], &format!("cut at {end}"));
    }

    let mut refused = 0;
    let header = if is_full() { specimen.bits.end } else { specimen.bits.end.min(2048) };
    for bit in 8 * specimen.bits.start..8 * header {
        let mut bytes = specimen.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match folder.read(&bytes, &format!("bit {bit} flipped")) {
            Err(_) => refused += 1,
            // One bit makes no slice of a series go unnoticed.
            Ok([.., slices]) => assert!(!specimen.is_series || slices == 3, "bit {bit}: {slices} slices"),
        }
    }
    assert!(refused > 50, "{}: only {refused} flipped bits were noticed", specimen.name);

    let mutations = if is_full() { 10_000 } else { 1_000 };
    for seed in 0..mutations {
        let bytes = Generator::new(seed).mutated(&specimen.bytes);
        let _ = folder.read(&bytes, &format!("mutation {seed}"));
    }
    reading::check_memory();
}

#[test]
fn nifti_1() {
    check(&specimen::nifti_1());
}

#[test]
fn nifti_1_gzipped() {
    check(&specimen::nifti_1_gzipped());
}

#[test]
fn nifti_2() {
    check(&specimen::nifti_2());
}

#[test]
fn nifti_pair() {
    check(&specimen::nifti_pair());
}

#[test]
fn nrrd() {
    check(&specimen::nrrd());
}

#[test]
fn nrrd_detached() {
    check(&specimen::nrrd_detached());
}

#[test]
fn metaimage() {
    check(&specimen::metaimage());
}

#[test]
fn metaimage_detached() {
    check(&specimen::metaimage_detached());
}

#[test]
fn hdf5_gzipped() {
    check(&specimen::hdf5("shuffled.h5"));
}

#[test]
fn hdf5_contiguous() {
    check(&specimen::hdf5("contiguous.h5"));
}

#[cfg(feature = "dicom")]
#[test]
fn dicom_explicit() {
    check(&specimen::dicom("explicit"));
}

#[cfg(feature = "dicom")]
#[test]
fn dicom_rle() {
    check(&specimen::dicom("rle"));
}

#[cfg(feature = "dicom")]
#[test]
fn dicom_jpeg_lossless() {
    check(&specimen::dicom("jpeg-lossless"));
}

#[cfg(feature = "dicom")]
#[test]
fn dicom_jpeg_2000() {
    check(&specimen::dicom("jpeg-2000"));
}
