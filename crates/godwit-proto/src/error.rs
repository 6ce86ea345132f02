//! One error per thing a caller can do, and [`ConnectionError`] for why a connection ended.

use std::io;

use thiserror::Error;

/// A setting is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} is {value}, but must be between {min} and {max}")]
pub struct ConfigError {
    /// The setting, with its unit.
    pub field: &'static str,
    /// What was asked for.
    pub value: u64,
    /// The least value allowed.
    pub min: u64,
    /// The greatest value allowed.
    pub max: u64,
}

/// A minimum rate above the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a minimum rate of {min_bits_per_s} bit/s is above the maximum of {max_bits_per_s} bit/s; change the other one first"
)]
pub struct RateBoundsError {
    /// The minimum that there would be.
    pub min_bits_per_s: u64,
    /// The maximum that there would be.
    pub max_bits_per_s: u64,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ConnectionError {
    /// The handshake was not answered in time.
    #[error("the peer did not answer the UDT handshake; is a UDT server listening on that UDP port?")]
    HandshakeTimeout,
    /// The peer refused the handshake (libudt's codes: 1002 = rejected).
    #[error("the peer refused the UDT handshake with code {code}; 1002 means full, or stream against datagram")]
    Rejected {
        /// The request type of the refusal, 1000 or more.
        code: u32,
    },
    /// The answer to the handshake does not belong to our request, or offers values that can't work.
    #[error("the peer's answer to the UDT handshake is invalid")]
    InvalidHandshake,
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    ClosedByPeer,
    /// The peer closed the connection before everything that it had sent arrived here.
    #[error("the peer closed the connection before all of its data arrived")]
    Reset,
    /// Nothing was heard from the peer for the configured time.
    #[error("nothing was heard from the peer for too long; the path or the peer is gone")]
    PeerTimeout,
    /// Not everything was acknowledged within the linger time after a close.
    #[error("the peer did not acknowledge everything within the linger time")]
    LingerTimeout,
    /// This side closed or aborted the connection.
    #[error("the connection was closed by this side")]
    ClosedLocally,
}

impl From<ConnectionError> for io::Error {
    fn from(error: ConnectionError) -> Self {
        let kind = match error {
            ConnectionError::HandshakeTimeout | ConnectionError::PeerTimeout | ConnectionError::LingerTimeout => {
                io::ErrorKind::TimedOut
            }
            ConnectionError::Rejected { .. } => io::ErrorKind::ConnectionRefused,
            ConnectionError::InvalidHandshake => io::ErrorKind::InvalidData,
            ConnectionError::ClosedByPeer | ConnectionError::Reset => io::ErrorKind::ConnectionReset,
            ConnectionError::ClosedLocally => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

/// A connection can't be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The endpoint has as many connections as it may have.
    #[error("this endpoint already has {max} connections, its limit")]
    TooManyConnections {
        /// The limit.
        max: usize,
    },
    /// The remote port is 0 or the address unspecified.
    #[error("{0} is no address that one can connect to")]
    InvalidRemote(std::net::SocketAddr),
}

/// Listening can't be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ListenError {
    /// One UDP socket has at most one listener.
    #[error("this endpoint is listening already")]
    AlreadyListening,
    /// A listener has no peer to meet.
    #[error("a rendezvous connection can't listen; connect to the peer instead")]
    Rendezvous,
}

/// Reading failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The connection ended, and what arrived before it has been read.
    #[error(transparent)]
    ConnectionLost(#[from] ConnectionError),
    /// Bytes were asked of a message connection, or messages of a stream.
    #[error("this connection carries {}", if *.is_stream { "a stream: read bytes" } else { "messages: receive messages" })]
    WrongSocketType {
        /// Whether the connection is a stream.
        is_stream: bool,
    },
}

/// Writing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The connection ended.
    #[error(transparent)]
    ConnectionLost(#[from] ConnectionError),
    /// This side has closed the connection.
    #[error("the connection was closed by this side and takes no more data")]
    Closed,
    /// Bytes were given to a message connection, or messages to a stream.
    #[error("this connection carries {}", if *.is_stream { "a stream: write bytes" } else { "messages: send messages" })]
    WrongSocketType {
        /// Whether the connection is a stream.
        is_stream: bool,
    },
    /// The message can never fit the send buffer or the peer's window.
    #[error("the message of {bytes} bytes is larger than the {max_bytes} bytes that this connection can carry")]
    MessageTooLarge {
        /// Its length.
        bytes: usize,
        /// The most that fits.
        max_bytes: usize,
    },
    /// UDT has no empty packets, so no empty messages either.
    #[error("a message must have at least one byte")]
    EmptyMessage,
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(lost) => lost.into(),
            ReadError::WrongSocketType { .. } => Self::new(io::ErrorKind::InvalidInput, error),
        }
    }
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(ConnectionError::ClosedByPeer) | WriteError::Closed => {
                Self::new(io::ErrorKind::BrokenPipe, error)
            }
            WriteError::ConnectionLost(lost) => lost.into(),
            _ => Self::new(io::ErrorKind::InvalidInput, error),
        }
    }
}
