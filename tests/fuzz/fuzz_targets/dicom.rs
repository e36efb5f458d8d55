//! One slice of a DICOM series of three.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tandem_fuzz::Reader;

macro_rules! slice {
    ($name:literal) => {
        include_bytes!(concat!("../../../crates/tandem-volume/tests/golden/dicom/explicit/", $name))
    };
}

static READER: LazyLock<Reader> = LazyLock::new(|| Reader::of_series(&[slice!("2.dcm"), slice!("4.dcm")]));

fuzz_target!(|bytes: &[u8]| READER.read(bytes));
