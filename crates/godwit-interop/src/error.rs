//! What can go wrong with a C++ peer.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use crate::Event;

/// Why a C++ peer could not be started, or did not do what it was started for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The binary is not where cargo puts it.
    #[error("cannot start {path}: {source}; build it with `cargo build -p godwit-interop --bin cpp-peer`")]
    Start {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A call of libudt failed in the peer.
    #[error("libudt's {call} failed in the C++ peer with code {code}")]
    Udt {
        /// The function of libudt's API.
        call: String,
        /// Its error code: 1000 times the class, plus the detail.
        code: i32,
    },
    /// The peer ended in another way than by its own decision, or before it did what was waited for.
    #[error("the C++ peer ended ({status}) without `{awaited}`; it printed {printed:?}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// The event that was waited for.
        awaited: &'static str,
        /// Everything it printed.
        printed: Vec<Event>,
    },
    /// Nothing came within the hang limit. The peer was killed.
    #[error("the C++ peer did not print `{awaited}` within {limit:?} and was killed; it printed {printed:?}")]
    Hangs {
        /// The event that was waited for.
        awaited: &'static str,
        /// The hang limit.
        limit: Duration,
        /// Everything it printed.
        printed: Vec<Event>,
    },
    /// An event lacks a field, or the field does not parse.
    #[error("the C++ peer printed `{event}` without a valid `{field}`")]
    Field {
        /// The event as printed.
        event: Event,
        /// The field that was asked for.
        field: &'static str,
    },
    /// The system could not say how the process ended.
    #[error("cannot wait for the C++ peer: {0}")]
    Wait(#[source] io::Error),
}
