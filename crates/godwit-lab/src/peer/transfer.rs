//! The two processes of a transfer, ready to be started.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Site;
use crate::network::Side;

/// Who listens is started first; when it is ready, the clock and the other start.
#[derive(Debug)]
pub struct Transfer {
    /// The server, or whoever waits for the other.
    pub listener: Launch,
    /// How to see that it waits.
    pub readiness: Readiness,
    /// The client. The transfer is over when it ends.
    pub connector: Launch,
}

/// A process to be started.
#[derive(Debug)]
pub struct Launch {
    /// Whose host it runs on.
    pub side: Side,
    /// The command, already inside that host's namespace.
    pub command: Command,
    /// Where its standard output goes if that is the file that it receives; otherwise it goes to the log.
    pub received: Option<PathBuf>,
}

/// A listener is ready when its port is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// A TCP port.
    Tcp(u16),
    /// A UDP port.
    Udp(u16),
}

/// Why a transfer could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetUpError {
    /// A file of settings could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file to send could not be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `ssh-keygen` made no keys.
    #[error("ssh-keygen made no key at {0}")]
    NoKey(PathBuf),
}

impl Launch {
    /// A process on a side's host.
    pub(crate) fn new(site: &Site, side: Side, program: impl AsRef<std::ffi::OsStr>) -> Self {
        Self::bare(side, site.host(side).command(program), site.scratch)
    }

    /// A process with nothing of the caller's environment: no proxy, no settings of ours, no locale.
    pub(crate) fn bare(side: Side, mut command: Command, home: &Path) -> Self {
        command.env_clear().env("PATH", SEARCH_PATH).env("HOME", home).env("LC_ALL", "C");
        command.current_dir(home).stdin(Stdio::null());
        Self { side, command, received: None }
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<std::ffi::OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }
}

/// Where programs are looked for, here and by the peers.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
