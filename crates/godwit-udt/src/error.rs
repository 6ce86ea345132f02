//! One error per thing a caller can do with an endpoint; those of a connection come from the protocol.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

pub use godwit_proto::{ConnectionError, ListenError as ListenRefused, ReadError, WriteError};

/// An endpoint could not be made.
#[derive(Debug, Error)]
pub enum BindError {
    /// The address is in use, not of this host, or of a family that this host lacks.
    #[error("cannot bind UDP socket {addr}: {source}")]
    Bind {
        /// What was asked for.
        addr: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The socket does not work for us.
    #[error("cannot use the UDP socket: {0}")]
    Socket(#[source] io::Error),
}

/// A connection could not be made.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The endpoint's limits or the address forbid it.
    #[error(transparent)]
    Refused(#[from] godwit_proto::ConnectError),
    /// An IPv4 endpoint cannot reach IPv6 addresses, nor the reverse.
    #[error("cannot connect to {remote} from {local}: one is IPv4, the other IPv6; bind an endpoint for that family")]
    AddressFamily {
        /// The address that was to be reached.
        remote: SocketAddr,
        /// The endpoint's.
        local: SocketAddr,
    },
    /// This host has no route there.
    #[error("no route to {remote}: {source}")]
    NoRoute {
        /// The address that was to be reached.
        remote: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The handshake failed.
    #[error("cannot connect to {remote}: {source}")]
    Failed {
        /// The address that was to be reached.
        remote: SocketAddr,
        /// Why.
        source: ConnectionError,
    },
    /// The endpoint is closing or closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
}

/// An endpoint does not listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ListenError {
    /// The protocol forbids it.
    #[error(transparent)]
    Refused(#[from] ListenRefused),
    /// The endpoint is closing or closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
}

/// No connection can be accepted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// The endpoint is closing or closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
}

/// A datagram of a second protocol was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SideSendError {
    /// The queue is full: try again later, or drop the datagram as a network would.
    #[error("the queue of the side channel is full")]
    Full,
    /// More bytes than one UDP datagram holds.
    #[error("{bytes} bytes do not fit in a UDP datagram")]
    TooLarge {
        /// What was to be sent.
        bytes: usize,
    },
    /// The endpoint is closing or closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
}

/// The side channel was taken by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SideChannelError {
    /// An endpoint has one; it can be taken again when that one is dropped.
    #[error("the side channel of this endpoint is in use")]
    InUse,
    /// The endpoint is closing or closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
}

impl From<BindError> for io::Error {
    fn from(error: BindError) -> Self {
        let kind = match &error {
            BindError::Bind { source, .. } | BindError::Socket(source) => source.kind(),
        };
        Self::new(kind, error)
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        let kind = match &error {
            ConnectError::Refused(godwit_proto::ConnectError::TooManyConnections { .. }) => {
                io::ErrorKind::QuotaExceeded
            }
            ConnectError::Refused(_) | ConnectError::AddressFamily { .. } => io::ErrorKind::InvalidInput,
            ConnectError::NoRoute { source, .. } => source.kind(),
            ConnectError::Failed { source, .. } => Self::from(*source).kind(),
            ConnectError::EndpointClosed => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

impl From<ListenError> for io::Error {
    fn from(error: ListenError) -> Self {
        let kind = match error {
            ListenError::Refused(ListenRefused::AlreadyListening) => io::ErrorKind::AddrInUse,
            ListenError::Refused(_) => io::ErrorKind::InvalidInput,
            ListenError::EndpointClosed => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

impl From<AcceptError> for io::Error {
    fn from(error: AcceptError) -> Self {
        Self::new(io::ErrorKind::NotConnected, error)
    }
}
