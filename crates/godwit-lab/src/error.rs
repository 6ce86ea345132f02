//! Why a benchmark did not run, or not to its end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::network::{CalibrationError, CongestionError, NetworkError, Side};
use crate::peer::SetUpError;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// No network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The network could not be measured.
    #[error("the path could not be calibrated: {0}")]
    Calibration(#[from] CalibrationError),
    /// The congestion control of TCP cannot be chosen.
    #[error(transparent)]
    Congestion(#[from] CongestionError),
    /// A directory or file for the transfers could not be made.
    #[error("cannot write {path}: {source}; choose another place with --dir")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program of ours could not be found.
    #[error("this program cannot find itself: {0}")]
    This(io::Error),
    /// A run with many connections failed.
    #[error("many connections: {0}")]
    Many(#[source] TransferError),
}

/// Why one transfer did not come to its end. The run is recorded as failed, and the others go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// It could not be prepared.
    #[error(transparent)]
    SetUp(#[from] SetUpError),
    /// A directory or log file for it could not be made.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A process could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// What.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The listener ended before it listened.
    #[error("the listener ended ({status}) before its port was open: {said}")]
    ListenerEnded {
        /// How.
        status: ExitStatus,
        /// The last line of its log.
        said: LastLine,
    },
    /// The listener does not listen.
    #[error(
        "the listener's port was not open after {seconds} s: {said}; is another program on that port, or the machine too busy?"
    )]
    NotListening {
        /// How long it had.
        seconds: u64,
        /// The last line of its log.
        said: LastLine,
    },
    /// The client does not get its connections.
    #[error(
        "the client had not all its connections after {seconds} s: {said}; try fewer, or when the machine is less busy"
    )]
    NotConnected {
        /// How long it had.
        seconds: u64,
        /// The last line of its log.
        said: LastLine,
    },
    /// The transfer does not come to its end.
    #[error("the {teller} gave no result within {seconds} s: {said}; try fewer bytes or connections, or when the machine is less busy", teller = teller(*.side))]
    NoResult {
        /// Where the one is that should have given it.
        side: Side,
        /// How long it had.
        seconds: u64,
        /// The last line of its log.
        said: LastLine,
    },
    /// The client failed.
    #[error("the client ended ({status}): {said}")]
    ClientEnded {
        /// How.
        status: ExitStatus,
        /// The last line of its log.
        said: LastLine,
    },
    /// What arrived is not what was sent.
    #[error("the received file has {received_bytes} bytes and differs from the original of {sent_bytes} bytes")]
    Differs {
        /// Length of what arrived.
        received_bytes: u64,
        /// Length of what was sent.
        sent_bytes: u64,
    },
    /// The system does not answer about a process.
    #[error("cannot wait for a process: {0}")]
    Wait(io::Error),
}

/// By convention.
fn teller(side: Side) -> &'static str {
    match side {
        Side::Left => "sender",
        Side::Right => "receiver",
    }
}

/// The last line of a program's log, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastLine(pub(crate) String);

impl std::fmt::Display for LastLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { f.write_str("it printed nothing") } else { f.write_str(&self.0) }
    }
}

/// Why a transfer over QUIC did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuicError {
    /// The address could not be bound.
    #[error("cannot use the UDP address {local}: {source}")]
    Bind {
        /// The address.
        local: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No threads.
    #[error("cannot start a runtime: {0}")]
    Runtime(io::Error),
    /// No certificate.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificate is no use.
    #[error("TLS does not take the certificate: {0}")]
    Tls(#[from] quinn::rustls::Error),
    /// The certificate cannot be checked against.
    #[error("TLS cannot use the certificate as its root: {0}")]
    Verifier(quinn::rustls::client::VerifierBuilderError),
    /// No connection can be tried.
    #[error("cannot connect: {0}")]
    Connect(#[from] quinn::ConnectError),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Connection(#[from] quinn::ConnectionError),
    /// The stream broke while it was read.
    #[error("the stream broke: {0}: {why}", why = source_of(.0))]
    ReadStream(#[from] quinn::ReadError),
    /// The stream ended before what was to come.
    #[error("the stream is too short: {0}")]
    Short(#[from] quinn::ReadExactError),
    /// The stream broke while it was written.
    #[error("the stream broke: {0}: {why}", why = source_of(.0))]
    WriteStream(#[from] quinn::WriteError),
}

/// quinn says only in the source why a connection was lost.
fn source_of(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| "nothing else is known".to_owned(), ToString::to_string)
}
