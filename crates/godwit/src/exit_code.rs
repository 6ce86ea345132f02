//! The exit codes, and the one place that decides which.

use godwit_files::client::Fault;

use crate::error::CommandError;
use crate::signals::StopSignal;

/// What a shell sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitCode {
    Success = 0,
    Failed = 1,
    Usage = 2,
    Network = 3,
    Integrity = 4,
    Interrupted = 130,
    Terminated = 143,
}

/// Stands below every `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
    0  success
    1  failed: the server refused (HTTP status), a file is in the way, disk full, …
    2  wrong usage: unknown option, malformed URL, a URL that gives no file name
    3  network: cannot resolve or connect, timed out, connection lost
    4  integrity: wrong or (with --require-digest) missing SHA-256
  130  ended by SIGINT (Ctrl-C); an unfinished download keeps its .part
  143  ended by SIGTERM; likewise";

impl ExitCode {
    pub(crate) fn of(error: &CommandError) -> Self {
        match error {
            CommandError::Url { .. } | CommandError::Usage(_) => Self::Usage,
            CommandError::Download { error, .. } => error.fault().into(),
            CommandError::Upload { error, .. } => error.fault().into(),
            CommandError::List { error, .. } => error.fault().into(),
            CommandError::Cat(error) => error.fault().into(),
            CommandError::Perf(error) => error.fault().into(),
            CommandError::Demo(error) => error.fault().into(),
            CommandError::Several { first, .. } => Self::of(first),
            CommandError::Bind(_) | CommandError::OpenRoot(_) | CommandError::Runtime(_) | CommandError::Print(_) => {
                Self::Failed
            }
            CommandError::Stopped(StopSignal::Interrupt) => Self::Interrupted,
            CommandError::Stopped(StopSignal::Terminate) => Self::Terminated,
        }
    }
}

impl From<Fault> for ExitCode {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Usage => Self::Usage,
            Fault::Network => Self::Network,
            Fault::Integrity => Self::Integrity,
            Fault::Other => Self::Failed,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
