//! What crosses the border between the protocol and its driver: batches in, transmissions out, and the path of both.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;

use crate::connection::SlabRun;

/// The most segments of one transmission: 44 packets of MSS 1500 stay under the 65,507 bytes of a UDP datagram.
pub const SEGMENTS_MAX: usize = 44;
/// The most bytes of one transmission: what a UDP datagram over IPv4 can carry.
pub const TRANSMIT_BYTES_MAX: usize = 65_507;

/// Where datagrams go and whence: the peer, and the address of this host that the peer uses, where it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The peer's address.
    pub remote: SocketAddr,
    /// This host's address as the peer sees it: answers must come from there.
    pub local: Option<IpAddr>,
}

/// Datagrams for one connection that arrived together: consecutive segments of one GRO buffer.
#[derive(Clone, Debug)]
pub struct Batch {
    /// All the segments, one after the other.
    pub contents: Bytes,
    /// The length of each segment in bytes; only the last one may be shorter. At least 1.
    pub stride: usize,
    /// The allocation that `contents` keeps alive, in bytes; a slice that is kept is charged its share of it.
    pub capacity_bytes: usize,
    /// When the kernel received them, not later than the `now` of the call.
    pub arrived: Instant,
    /// Whether `arrived` is the kernel's receive time stamp rather than the time of the read.
    pub is_stamped: bool,
}

impl Batch {
    /// The segments, in order.
    pub fn segments(&self) -> impl Iterator<Item = Bytes> + '_ {
        let stride = self.stride.max(1);
        (0..self.contents.len())
            .step_by(stride)
            .map(move |start| self.contents.slice(start..self.contents.len().min(start + stride)))
    }
}

/// One call to the kernel: one datagram, or a run of segments of equal size of which only the last may be shorter.
#[derive(Debug)]
pub struct Transmit {
    /// To whom, and from which address.
    pub path: Path,
    /// The size of each segment, or `None` for a single datagram.
    pub segment_bytes: Option<usize>,
    /// Whether the datagram is larger than the path takes in one piece, so that it has to be fragmented: packets that were
    /// numbered before the path shrank can't be cut again.
    pub may_fragment: bool,
    /// The bytes.
    pub contents: Contents,
}

/// Where the bytes of a [`Transmit`] are.
#[derive(Debug)]
pub enum Contents {
    /// In the scratch buffer that was given to `poll_transmit`, all of it.
    Scratch,
    /// In the send buffer itself: send [`SlabRun::bytes`], then give it back with `Connection::restore`.
    Slab(SlabRun),
}

/// What the application should know; the driver wakes whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is complete.
    Connected,
    /// There is something to read, or the end of the stream.
    Readable,
    /// The send buffer has room again.
    Writable,
    /// A close has finished: everything was acknowledged and the shutdown is under way.
    Flushed,
    /// The connection has ended.
    Closed(crate::error::ConnectionError),
}
