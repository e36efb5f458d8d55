//! Ctrl-C and SIGTERM, as a flag that long work looks at.

use crate::output::note;
use crate::screen;
use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// What a shell expects of a program that a signal ended: 128 and the signal's number, 130 for Ctrl-C and 143 for SIGTERM.
static CODE: AtomicU8 = AtomicU8::new(0);

/// From now on the first Ctrl-C or SIGTERM raises the flag; a second one ends the program at once.
pub(crate) fn watch() -> Result<&'static AtomicBool> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot watch for Ctrl-C")?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let code = 128 + u8::try_from(signal).unwrap_or(0);
            CODE.store(code, Ordering::SeqCst);
            if ASKED.swap(true, Ordering::SeqCst) {
                std::process::exit(code.into());
            }
            // On a terminal it stands where the terminal has written ^C. Another thread says it: this one must hear of the second
            // signal even where nobody reads what is said.
            let start = if screen::is_terminal() { '\r' } else { '\n' };
            std::thread::spawn(move || note(format!("{start}stopping after this step (again: at once) ...")));
        }
    });
    Ok(&ASKED)
}

/// From now on the end of standard input raises the flag too.
pub(crate) fn watch_standard_input() {
    std::thread::spawn(|| {
        let ended = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        if ended.is_ok() {
            CODE.store(128 + SIGINT as u8, Ordering::SeqCst);
            ASKED.store(true, Ordering::SeqCst);
        }
    });
}

/// Whether work may go on, for what tells its progress.
pub(crate) fn asked() -> ControlFlow<()> {
    if ASKED.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The exit code of a program that stopped because it was asked to.
pub(crate) fn exit_code() -> ExitCode {
    ExitCode::from(CODE.load(Ordering::SeqCst))
}
