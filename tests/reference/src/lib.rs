//! Where the tests' reference data lies, what a test does without it, and how far its numbers are from those.
#![forbid(unsafe_code)]

mod difference;

pub use difference::{largest_difference, relative_error};

use std::io::Write;
use std::path::PathBuf;

/// A file or folder of the reference data: in `../shared` beside the workspace, or in `TANDEM_SHARED`.
///
/// Where it is absent the caller skips its test: this says so in a line that shows although the test passes.
///
/// # Panics
/// Where it is absent and `TANDEM_REFERENCE=required`.
pub fn reference(name: &str) -> Option<PathBuf> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into();
    let path = PathBuf::from(std::env::var_os("TANDEM_SHARED").unwrap_or_else(beside)).join(name);
    if path.exists() {
        return path.canonicalize().ok();
    }
    let required = std::env::var_os("TANDEM_REFERENCE").is_some_and(|value| value == "required");
    assert!(!required, "TANDEM_REFERENCE=required, but there is no {}", path.display());
    // Straight to the stream: the test harness captures what `eprintln!` writes.
    let _ = writeln!(std::io::stderr(), "skipped: a test needs the reference data {}", path.display());
    None
}
