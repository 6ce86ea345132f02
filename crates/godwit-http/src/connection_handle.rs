//! A live view of one connection: who, how much, how fast.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{SetRateError, Transport};

/// Identifies a connection and reads its counters. Does not keep it open: counters stay readable after its end.
///
/// Every request that a server hands to its service has it in its extensions, and so has every response of a client.
#[derive(Clone, Debug)]
pub struct ConnectionHandle {
    shared: Arc<Shared>,
}

/// What a connection has done so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Bytes of HTTP written to the stream, heads and framing included.
    pub bytes_sent: u64,
    /// Bytes of HTTP read from the stream, heads and framing included.
    pub bytes_received: u64,
    /// The smoothed round-trip time, where the transport tells.
    pub rtt: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    id: u64,
    transport: Transport,
    peer: SocketAddr,
    local: SocketAddr,
}

impl ConnectionHandle {
    /// Sets the highest sending rate in bits per second, from now on; `None` lifts it.
    ///
    /// # Errors
    ///
    /// [`SetRateError::Closed`] when the connection has ended.
    pub fn set_max_rate(&self, _bits_per_s: Option<u64>) -> Result<(), SetRateError> {
        unimplemented!("lands next")
    }

    /// Unique in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// What carries the bytes.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.shared.transport
    }

    /// The address of the other end.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.shared.peer
    }

    /// The address of this end.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.shared.local
    }

    /// The counters now.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        unimplemented!("lands next")
    }
}
