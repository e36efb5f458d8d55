//! NRRD.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tandem_fuzz::Reader;

static READER: LazyLock<Reader> = LazyLock::new(|| Reader::of_file("scan.nrrd"));

fuzz_target!(|bytes: &[u8]| READER.read(bytes));
