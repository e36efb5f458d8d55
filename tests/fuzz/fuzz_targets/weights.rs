//! PyTorch state dicts and safetensors files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(arrays) = tandem_weights::of_bytes(Path::new("weights.pth"), bytes) {
        let values: usize = arrays.values().map(|array| array.values.len()).sum();
        assert!(values <= bytes.len(), "{values} values of {} bytes", bytes.len());
    }
});
