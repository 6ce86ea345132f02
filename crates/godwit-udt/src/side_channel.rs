//! A second protocol on the endpoint's socket: what no UDT connection claims goes up, datagrams come down.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::SideSendError;
use crate::shared::Shared;

/// Datagram runs that wait for [`SideChannel::recv`]: some milliseconds of a fast sender. One can pin 64 KiB, so this also
/// bounds the memory: 16 MiB.
const RECEIVE_QUEUE_MAX: usize = 256;
/// Datagram runs that wait to be sent, of up to 64 KiB each: 16 MiB.
const SEND_QUEUE_MAX: usize = 256;
/// The driver that sends what the side channel has queued.
pub(crate) const SIDE_CHANNEL_DRIVER: usize = 0;
/// The longest UDP payload over IPv4.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Datagrams of one sender that arrived together and belong to no UDT connection.
#[derive(Clone, Debug)]
pub struct SideReceived {
    /// All of them, one after the other.
    pub contents: Bytes,
    /// Length of each in bytes; only the last may be shorter. At least 1.
    pub stride: usize,
    /// Who sent them.
    pub from: SocketAddr,
    /// The address of ours that they were sent to, where the system tells.
    pub to: Option<IpAddr>,
    /// When the kernel received them.
    pub arrived: Instant,
}

/// Datagrams to one receiver.
#[derive(Clone, Debug)]
pub struct SideTransmit {
    /// All of them, one after the other; at most 65,507 bytes.
    pub contents: Bytes,
    /// Length of each in bytes but the last, which may be shorter; `None` for a single datagram.
    pub segment_bytes: Option<usize>,
    /// To whom.
    pub to: SocketAddr,
    /// From which address of ours, where that matters.
    pub from: Option<IpAddr>,
}

/// The endpoint's socket as a second protocol sees it. Both queues are bounded; what overflows is dropped and counted in
/// [`SocketStats`](crate::SocketStats), as a network would.
///
/// Datagrams are told apart by UDT's socket id and address alone, never by their first bits: a datagram that happens to
/// carry the id of a UDT connection with the same peer address is taken for UDT.
#[derive(Debug)]
pub struct SideChannel {
    received: mpsc::Receiver<SideReceived>,
    shared: Arc<Shared>,
}

impl SideChannel {
    pub(crate) fn open(shared: Arc<Shared>) -> (mpsc::Sender<SideReceived>, Self) {
        let (sender, received) = mpsc::channel(RECEIVE_QUEUE_MAX);
        (sender, Self { received, shared })
    }

    /// The next datagrams that no UDT connection claims, or `None` when the endpoint is closed.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not returned stays in the queue.
    pub async fn recv(&mut self) -> Option<SideReceived> {
        self.received.recv().await
    }

    /// Queues datagrams for sending. They leave after those of UDT connections that are due, outside of any rate limit.
    ///
    /// # Errors
    /// The queue is full, the datagrams are too large, or the endpoint is closed. Nothing is sent then.
    pub fn try_send(&self, transmit: SideTransmit) -> Result<(), SideSendError> {
        let bytes = transmit.contents.len();
        if bytes > DATAGRAM_BYTES_MAX {
            return Err(SideSendError::TooLarge { bytes });
        }
        if self.shared.is_closing() {
            return Err(SideSendError::EndpointClosed);
        }
        self.shared.side_sends.push(transmit)?;
        self.shared.driver(SIDE_CHANNEL_DRIVER).wake();
        Ok(())
    }
}

/// What [`SideChannel::try_send`] has queued and the driver has not sent.
#[derive(Debug, Default)]
pub(crate) struct SideSends {
    queue: Mutex<VecDeque<SideTransmit>>,
}

impl SideSends {
    fn push(&self, transmit: SideTransmit) -> Result<(), SideSendError> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= SEND_QUEUE_MAX {
            return Err(SideSendError::Full);
        }
        queue.push_back(transmit);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<SideTransmit> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}
