//! What the program tells its user, on standard output.

use std::fmt::Display;
use std::io::Write;

/// Prints a line. A reader that has gone away (`tandem ... | head`) is no error: the files say the same.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
