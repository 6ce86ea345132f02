//! Names from elsewhere, made safe to print.

use std::fmt::{self, Write as _};
use std::path::Path;

/// Prints text with everything escaped that could steer a terminal or forge a line of a log: control characters
/// (`\n`, `\t`, `\u{1b}`), bytes that are no UTF-8 (`\xff`), the characters that reorder text, and the backslash itself.
///
/// ```
/// use godwit_files::escape::Escaped;
/// assert_eq!(Escaped::new("a\u{1b}[2Jb\n").to_string(), r"a\u{1b}[2Jb\n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a [u8]);

impl<'a> Escaped<'a> {
    /// Of text or of bytes that should be text.
    pub fn new<T: AsRef<[u8]> + ?Sized>(text: &'a T) -> Self {
        Self(text.as_ref())
    }

    /// Of a file's path.
    pub fn path(path: &'a Path) -> Self {
        Self(path.as_os_str().as_encoded_bytes())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            chunk.valid().chars().try_for_each(|c| write_char(f, c))?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

fn write_char(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\\' => f.write_str("\\\\"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        c if c.is_control() || reorders_text(c) => write!(f, "{}", c.escape_unicode()),
        c => f.write_char(c),
    }
}

/// Line and paragraph separators, and the explicit bidirectional formatting characters of Unicode (UAX #9, section 2).
fn reorders_text(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_names_that_cannot_steer_a_terminal() {
        assert_eq!(Escaped::new("plain näme.txt").to_string(), "plain näme.txt");
        assert_eq!(Escaped::new("\u{1b}[31m\r\n\t\u{7f}\u{9b}").to_string(), r"\u{1b}[31m\r\n\t\u{7f}\u{9b}");
        assert_eq!(Escaped::new("txt\u{202e}exe").to_string(), r"txt\u{202e}exe");
        assert_eq!(Escaped::new(b"a\xffb\\").to_string(), r"a\xffb\\");
    }
}
