//! What can go wrong with a C++ peer, and between it and an end of ours.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use godwit_relay::{StartError, UnplannedDrops};
use godwit_udt::{AcceptError, BindError, ConfigError, ConnectError, ConnectionError, ListenError};

use crate::{Content, Event, Fingerprint};

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

/// Why an end of ours and a C++ peer did not do together what they were to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The C++ peer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// There is no thread for our end.
    #[error("cannot start a runtime for our end: {0}")]
    Runtime(#[source] io::Error),
    /// Our end has no port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The relay.
    #[error(transparent)]
    Relay(#[from] StartError),
    /// Our settings are out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// We do not get connected.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// We cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// We accept nobody.
    #[error("cannot accept: {0}")]
    Accept(#[from] AcceptError),
    /// We cannot read.
    #[error("our read failed: {0}")]
    Read(#[source] io::Error),
    /// We cannot write.
    #[error("our write failed: {0}")]
    Write(#[source] io::Error),
    /// We cannot close.
    #[error("our close failed: {0}")]
    Close(#[from] ConnectionError),
    /// The peer closed before all was there.
    #[error("the stream from the C++ peer ended after {bytes} bytes")]
    EndedEarly {
        /// How much was there.
        bytes: u64,
    },
    /// The peer sent more than it was told to.
    #[error("{bytes} more bytes came after the end of the content")]
    TooMuch {
        /// How much more.
        bytes: usize,
    },
    /// What arrived is not what was sent.
    #[error("{receiver} did not get {content:?} but {arrived}")]
    WrongContent {
        /// Who received.
        receiver: &'static str,
        /// What was sent.
        content: Content,
        /// What arrived.
        arrived: Fingerprint,
    },
    /// We refused packets of a peer that is sound.
    #[error("we refused {malformed_packets} packets and {invalid_entries} entries of ACKs, NAKs and drop requests")]
    Objections {
        /// Datagrams that were no packets.
        malformed_packets: u64,
        /// Sequence numbers out of range.
        invalid_entries: u64,
    },
    /// The path was never the one asked for.
    #[error("none of {attempt} runs is valid; the last: {drops}")]
    Invalid {
        /// How many there were.
        attempt: u32,
        /// What the last one lost.
        drops: UnplannedDrops,
    },
}
