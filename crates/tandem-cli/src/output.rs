//! What the program tells: people on standard output or, where that belongs to another program, on standard error.

use crate::screen;
use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether standard output belongs to another program.
static FOR_PROGRAMS: AtomicBool = AtomicBool::new(false);

/// From now on standard output is for programs alone.
pub(crate) fn is_for_programs() {
    FOR_PROGRAMS.store(true, Ordering::Relaxed);
}

/// Prints a line. A reader that has gone away (`tandem ... | head`) is no error: the files say the same.
pub(crate) fn say(line: impl Display) {
    if FOR_PROGRAMS.load(Ordering::Relaxed) {
        return note(line);
    }
    screen::above(|| {
        let _ = writeln!(std::io::stdout(), "{line}");
    });
}

/// Prints a line that is no result: a warning, or what the program is about to do.
pub(crate) fn note(line: impl Display) {
    screen::above(|| {
        let _ = writeln!(std::io::stderr(), "{line}");
    });
}
