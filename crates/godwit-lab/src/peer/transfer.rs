//! The two processes of a transfer, ready to be started.

use std::io;
use std::path::PathBuf;
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
    /// Whether its standard output is the file that it receives; otherwise it goes to the log.
    pub is_stdout_received: bool,
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
    /// A process on a side's host, with nothing of the caller's environment: no proxy, no settings of ours, no locale.
    pub(crate) fn new(site: &Site, side: Side, program: impl AsRef<std::ffi::OsStr>) -> Self {
        let mut command = site.host(side).command(program);
        command.env_clear().env("PATH", SEARCH_PATH).env("HOME", site.scratch).env("LC_ALL", "C");
        command.current_dir(site.scratch).stdin(Stdio::null());
        Self { side, command, is_stdout_received: false }
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<std::ffi::OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }
}

/// Where programs are looked for, here and by the peers.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
