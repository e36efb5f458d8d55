//! The LA benchmark's HDF5.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tandem_fuzz::Reader;

static READER: LazyLock<Reader> = LazyLock::new(|| Reader::of_file("scan.h5"));

fuzz_target!(|bytes: &[u8]| READER.read(bytes));
