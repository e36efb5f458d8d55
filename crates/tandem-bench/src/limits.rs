//! What the machine can do at most.

use anyhow::Result;
use rayon::prelude::*;
use serde_json::json;
use std::time::Instant;
use tandem_ops3d::Device;

/// Values of a block that no cache holds: 256 MiB.
const VALUES: usize = 256 << 18;
/// Values that a task copies.
const CHUNK: usize = 1 << 18;
const COPIES: usize = 9;

/// Prints the limits of arithmetic and memory; of a GPU its name, for PyTorch measures these there.
pub(crate) fn run(device: &Device) -> Result<()> {
    if let Device::Cuda(gpu) = device {
        println!("{}", json!({ "gpu": gpu.to_string(), "threads": rayon::current_num_threads() }));
        return Ok(());
    }
    let limits = json!({
        "path": tandem_ops3d::cpu_path().name(),
        "threads": rayon::current_num_threads(),
        "fma_gflops": tandem_ops3d::limits::fma_gflops(),
        "bf16_gflops": tandem_ops3d::limits::bf16_gflops(),
        "copy_gb_s": copy_gb_s(),
    });
    println!("{limits}");
    Ok(())
}

/// Bytes read and written a second by a copy on all threads, in 10^9; the best of several.
fn copy_gb_s() -> f64 {
    let (from, mut to) = (vec![1.0f32; VALUES], vec![0.0f32; VALUES]);
    let mut copy = || {
        let start = Instant::now();
        to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| to.copy_from_slice(from));
        (2 * VALUES * size_of::<f32>()) as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..COPIES).map(|_| copy()).fold(0.0, f64::max)
}
