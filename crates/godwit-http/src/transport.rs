//! The byte streams that HTTP runs over, and their URL schemes.

use std::fmt;

/// The port of a `udt://` URL without one, and the one that `godwit serve` listens on.
pub const DEFAULT_PORT: u16 = 9000;

/// What carries the bytes of a connection. A closed set: whoever matches on it handles all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDT 4 over UDP; `udt://` URLs.
    Udt,
    /// TCP; `http://` URLs.
    Tcp,
}

impl Transport {
    /// The transport of a URL scheme, in any case: `udt` or `http`.
    #[must_use]
    pub fn from_scheme(scheme: &str) -> Option<Self> {
        [Self::Udt, Self::Tcp].into_iter().find(|transport| scheme.eq_ignore_ascii_case(transport.scheme()))
    }

    /// The URL scheme, in lower case.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Udt => "udt",
            Self::Tcp => "http",
        }
    }

    /// The port of a URL that names none: 80 for `http://` as everywhere (RFC 9110 section 4.2.1), 9000 for `udt://`.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udt => DEFAULT_PORT,
            Self::Tcp => 80,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udt => "UDT",
            Self::Tcp => "TCP",
        })
    }
}
