//! A live view of one connection: who, how much, how fast.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use godwit_udt::ControllerKind;

use crate::byte_stream::ByteStream;
use crate::rate_limit::MaxRate;
use crate::{SetRateError, Transport};

/// Identifies a connection, reads its counters, sets its rate and its controller.
///
/// Does not keep the connection open; the counters stay readable after its end. Every request that a server hands to its
/// service has the handle in its extensions, and so has every response of a client, on reused connections too.
#[derive(Clone, Debug)]
pub struct ConnectionHandle {
    shared: Arc<Shared>,
}

/// What a connection has done so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Bytes written to the stream: bodies, heads and framing, without the transport's own headers and repetitions.
    pub bytes_sent: u64,
    /// Bytes read from the stream, counted likewise.
    pub bytes_received: u64,
    /// The smoothed round-trip time, where the transport tells; TCP does not.
    pub rtt: Option<Duration>,
    /// All that UDT counts, of a UDT connection.
    pub udt: Option<godwit_udt::Stats>,
}

#[derive(Debug)]
struct Shared {
    id: u64,
    transport: Transport,
    peer: SocketAddr,
    local: SocketAddr,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    is_open: AtomicBool,
    control: Control,
}

/// Who counts what we do not, and who keeps the sending rate under its limit.
#[derive(Debug)]
enum Control {
    /// Nobody, and our own token bucket in front of the stream.
    Tcp(MaxRate),
    /// UDT itself.
    Udt(godwit_udt::ConnectionHandle),
}

impl ConnectionHandle {
    /// # Errors
    ///
    /// When the connection has already ended.
    pub(crate) fn new(stream: &ByteStream) -> io::Result<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let control = match stream {
            ByteStream::Tcp(_) => Control::Tcp(MaxRate::unlimited()),
            ByteStream::Udt(udt) => Control::Udt(udt.stream().handle()),
        };
        let shared = Shared {
            transport: stream.transport(),
            peer: stream.peer()?,
            local: stream.local()?,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            is_open: AtomicBool::new(true),
            control,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Sets the highest sending rate of this end in bits per second, from now on; `None` lifts it.
    ///
    /// UDT paces its packets at the rate; over TCP writes are delayed so that they keep it on average over 20 ms, and what
    /// the kernel has already taken goes out as before.
    ///
    /// # Errors
    ///
    /// [`SetRateError::Closed`] when the connection has ended, [`SetRateError::Bounds`] below its minimum rate.
    pub fn set_max_rate(&self, bits_per_s: Option<u64>) -> Result<(), SetRateError> {
        match self.open_control()? {
            Control::Tcp(rate) => rate.set(bits_per_s),
            Control::Udt(handle) => handle.set_max_rate(bits_per_s)?,
        }
        Ok(())
    }

    /// Keeps the sending rate of this end from falling below this, in bits per second: see
    /// [`godwit_udt::ConnectionHandle::set_min_rate`].
    ///
    /// # Errors
    ///
    /// As for [`set_max_rate`](Self::set_max_rate), and [`SetRateError::KernelDecides`] over TCP.
    pub fn set_min_rate(&self, bits_per_s: Option<u64>) -> Result<(), SetRateError> {
        match self.open_control()? {
            Control::Tcp(_) => Err(SetRateError::KernelDecides),
            Control::Udt(handle) => Ok(handle.set_min_rate(bits_per_s)?),
        }
    }

    /// Sends under this controller from now on: see [`godwit_udt::ConnectionHandle::set_controller`].
    ///
    /// # Errors
    ///
    /// [`SetRateError::Closed`] when the connection has ended, [`SetRateError::KernelDecides`] over TCP.
    pub fn set_controller(&self, kind: ControllerKind) -> Result<(), SetRateError> {
        match self.open_control()? {
            Control::Tcp(_) => return Err(SetRateError::KernelDecides),
            Control::Udt(handle) => handle.set_controller(kind),
        }
        Ok(())
    }

    /// Unique in this process, both ends of a connection inside it counted apart.
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

    /// The counters now, or at the end of the connection.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        let udt = match &self.shared.control {
            Control::Tcp(_) => None,
            Control::Udt(handle) => Some(handle.stats()),
        };
        ConnectionStats {
            bytes_sent: self.shared.bytes_sent.load(Ordering::Relaxed),
            bytes_received: self.shared.bytes_received.load(Ordering::Relaxed),
            rtt: udt.map(|udt| udt.rtt),
            udt,
        }
    }

    fn open_control(&self) -> Result<&Control, SetRateError> {
        let is_open = self.shared.is_open.load(Ordering::Relaxed);
        is_open.then_some(&self.shared.control).ok_or(SetRateError::Closed)
    }

    pub(crate) fn count_sent(&self, bytes: usize) {
        self.shared.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_received(&self, bytes: usize) {
        self.shared.bytes_received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.shared.is_open.store(false, Ordering::Relaxed);
    }

    /// The limit that the connection's writer has to keep itself.
    pub(crate) fn max_rate(&self) -> Option<&MaxRate> {
        match &self.shared.control {
            Control::Tcp(rate) => Some(rate),
            Control::Udt(_) => None,
        }
    }
}
