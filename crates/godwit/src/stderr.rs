//! What is said beside the results.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Prints a line on stderr. A reader who has left (`2>&1 | head`) does not stop a transfer, unlike with `eprintln!`.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
