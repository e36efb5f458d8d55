//! Ctrl-C, as a flag that long work looks at.

use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// What a shell expects of a program that ended because of Ctrl-C.
pub(crate) const EXIT_CODE: u8 = 130;

/// From now on the first Ctrl-C (or SIGTERM) raises the flag; a second one ends the program at once.
pub(crate) fn watch() -> Result<&'static AtomicBool> {
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(EXIT_CODE.into());
        }
        eprintln!("\nstopping after this step (again: at once) ...");
    })
    .context("cannot watch for Ctrl-C")?;
    Ok(&ASKED)
}
