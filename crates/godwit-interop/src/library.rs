//! Which build of libudt a peer uses.

use std::{fmt, process::Command, str::FromStr, sync::OnceLock};

use crate::peer;

/// A build of the C++ library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// Compiled from the sources in the crate `libudt4-sys`. Always there.
    Bundled,
    /// The shared library of Debian's package `libudt0`.
    Debian,
}

impl Library {
    /// Whether a peer can use it here.
    pub fn is_installed(self) -> bool {
        static DEBIAN: OnceLock<bool> = OnceLock::new();
        match self {
            Self::Bundled => true,
            Self::Debian => *DEBIAN.get_or_init(|| {
                let check = Command::new(peer::program()).args(["check", "--library", "debian"]).output();
                check.is_ok_and(|output| output.status.success())
            }),
        }
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bundled => "bundled",
            Self::Debian => "debian",
        })
    }
}

/// The name of no build of libudt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the library must be `bundled` or `debian`")]
pub struct UnknownLibrary;

impl FromStr for Library {
    type Err = UnknownLibrary;

    fn from_str(name: &str) -> Result<Self, UnknownLibrary> {
        match name {
            "bundled" => Ok(Self::Bundled),
            "debian" => Ok(Self::Debian),
            _ => Err(UnknownLibrary),
        }
    }
}

/// Turns each `fn name(library: Library) -> Result` into two tests, `name::bundled` and `name::debian`; the second says that
/// it was skipped where Debian's library is not installed.
#[macro_export]
macro_rules! against_each_library {
    ($($(#[$attribute:meta])* fn $name:ident($library:ident: $type:ty) -> $result:ty $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            fn run($library: $type) -> $result $body

            #[test]
            fn bundled() -> $result {
                run(<$type>::Bundled)
            }

            #[test]
            fn debian() -> $result {
                if !<$type>::Debian.is_installed() {
                    eprintln!("skipped: libudt.so.0 is not installed (Debian: apt-get install libudt0)");
                    return Ok(());
                }
                run(<$type>::Debian)
            }
        }
    )*};
}
