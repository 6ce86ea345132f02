//! Why a test came to nothing.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use godwit_files::client::Fault;
use godwit_files::escape::Escaped;
use godwit_http::Transport;
use thiserror::Error;

use super::exchange::TransferError;
use super::lines::LineError;
use super::protocol::Refusal;
use super::url::{ListenUrl, Target};

/// One variant per thing that the user can do something about.
#[derive(Debug, Error)]
pub(crate) enum PerfError {
    #[error("cannot resolve {host}: {source}; check the name and the name server")]
    Resolve { host: String, source: io::Error },
    #[error("{host} has no address; check the name")]
    NoAddress { host: String },
    #[error("cannot connect to {address} over {transport}: {source}; check that `godwit perf serve` runs there")]
    Connect { address: SocketAddr, transport: Transport, source: io::Error },
    #[error("no connection to {target} within {after:?}; check the host, the port and firewalls")]
    ConnectTimeout { target: Target, after: Duration },
    #[error("{target} is not served by `godwit perf serve`: it answers {:?}; check the port", Escaped::new(excerpt).to_string())]
    NotPerf { target: Target, excerpt: Vec<u8> },
    #[error("{target} closed the connection without an answer; check that it is served by `godwit perf serve`")]
    NoAnswer { target: Target },
    #[error("{target} speaks another version of the test's protocol; use the same version of godwit at both ends")]
    Version { target: Target },
    #[error("{target} refuses the test: {}", refusal_reason(*refusal))]
    Refused { target: Target, refusal: Refusal },
    #[error("{target} says something that does not belong to a test; check that it is served by `godwit perf serve`")]
    Malformed { target: Target },
    #[error("nothing was heard from {target} for {after:?}; check the path to it")]
    Silent { target: Target, after: Duration },
    #[error("the connection to {target} was lost during the test: {source}")]
    Lost { target: Target, source: io::Error },
    #[error("{target} closed the connection before the end of the test")]
    Closed { target: Target },
    #[error("cannot listen on {url}: {source}; choose another address or port, or stop what uses it")]
    Listen { url: ListenUrl, source: io::Error },
    #[error(
        "{failed} of {all} transfers failed, the first because {first}; check the URL, and that the server's limits let so many connections in"
    )]
    Transfers { failed: usize, all: usize, first: Box<TransferError> },
    #[error("no handshake with {address}: {source}; check that the server's limits let one more connection in")]
    Handshake { address: SocketAddr, source: io::Error },
    #[error("cannot use UDP: {0}")]
    Endpoint(#[from] godwit_udt::BindError),
}

impl PerfError {
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Resolve { .. } | Self::NoAddress { .. } | Self::Connect { .. } | Self::ConnectTimeout { .. } => {
                Fault::Network
            }
            Self::NotPerf { .. } | Self::NoAnswer { .. } | Self::Malformed { .. } => Fault::Network,
            Self::Transfers { .. } | Self::Handshake { .. } => Fault::Network,
            Self::Silent { .. } | Self::Lost { .. } | Self::Closed { .. } => Fault::Network,
            Self::Version { .. } | Self::Refused { .. } => Fault::Other,
            Self::Listen { .. } | Self::Endpoint(_) => Fault::Other,
        }
    }

    /// What no line from `target` means, before its answer or after it.
    pub(super) fn no_line(target: &Target, error: LineError, has_answered: bool) -> Self {
        let target = target.clone();
        match error {
            LineError::Foreign { excerpt } => Self::NotPerf { target, excerpt },
            LineError::TooLong => Self::Malformed { target },
            LineError::Closed if has_answered => Self::Closed { target },
            LineError::Closed => Self::NoAnswer { target },
            LineError::Lost(source) => Self::Lost { target, source },
        }
    }
}

fn refusal_reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Busy => "it has as many connections as its --max-connections allows; try again later",
        Refusal::Version => "it speaks another version of the test's protocol; use the same version at both ends",
        Refusal::Invalid => "it cannot work with what was asked for; use the same version at both ends",
        Refusal::Unknown => "the reason is unknown to this version; use the same version at both ends",
    }
}
