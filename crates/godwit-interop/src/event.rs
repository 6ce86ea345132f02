//! The lines by which a C++ peer tells what it does: a name, then `key=value` pairs, separated by blanks.

use std::{fmt, str::FromStr};

use crate::PeerError;

/// One line of a peer, for example `received bytes=5 sha256=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event(String);

impl Event {
    /// The line as it was printed.
    pub(crate) fn new(line: String) -> Self {
        Self(line)
    }

    /// The first word.
    pub fn name(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    /// The value of a field.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0.split(' ').skip(1).find_map(|pair| pair.strip_prefix(field)?.strip_prefix('='))
    }

    /// The value of a field, parsed.
    ///
    /// # Errors
    /// It is not there, or does not parse.
    pub fn value<T: FromStr>(&self, field: &'static str) -> Result<T, PeerError> {
        self.value_with(field, |text| text.parse().ok())
    }

    /// The value of a field, parsed by `parse`.
    pub(crate) fn value_with<T>(
        &self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, PeerError> {
        self.text(field).and_then(parse).ok_or_else(|| PeerError::Field { event: self.clone(), field })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let event = Event::new("received megabytes=1 bytes=2".into());
        assert_eq!(event.name(), "received");
        assert_eq!(event.value::<u64>("bytes").unwrap(), 2);
        assert!(event.value::<u64>("byte").is_err());
        assert!(event.value::<u8>("received").is_err());
    }
}
