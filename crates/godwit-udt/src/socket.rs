//! The UDP socket: quinn-udp behind a few functions, and every quirk of a platform with its reason.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;

use crate::arrival_clock::ArrivalClock;
use crate::buffer_pool::{BUFFER_BYTES, BufferPool, PoolBuffer};
#[cfg(target_os = "linux")]
use crate::multi_send;
use crate::readiness::{Readiness, Wanted};
use crate::socket_buffers;
use crate::socket_options;
use crate::socket_stats::{SocketCounters, count};
use crate::{SocketConfig, SocketStats};

/// Buffers per receive call. From a sender with segmentation offload each holds up to 64 KiB; from one without, one
/// datagram each, so the number must be large enough to spread the cost of a system call.
const RECEIVE_BUFFERS: usize = 16;

/// Segments per send call: as many of 1456 + 16 bytes as fit in 64 KiB, and the length of a slab.
pub(crate) const SEGMENTS_MAX: usize = 44;
/// The most bytes of UDP payload that the kernel takes in one call: an IPv4 packet less its headers.
const SEND_BYTES_MAX: usize = 65_507;

/// What came out of one receive buffer: datagrams of one sender, all `stride` bytes long but the last, which may be shorter.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) contents: Bytes,
    pub(crate) stride: usize,
    pub(crate) from: SocketAddr,
    /// The address of ours that the datagrams were sent to.
    pub(crate) to: Option<IpAddr>,
    pub(crate) arrived: Instant,
    /// Whether the kernel told that time; else it is when we looked.
    pub(crate) is_stamped: bool,
}

/// What is still in the socket after a receive call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Nothing,
    Something,
}

/// Where a run of datagrams goes, and how it is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addressed {
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    /// Length of each datagram but the last; `None` if there is only one.
    pub(crate) segment_bytes: Option<usize>,
    /// Whether routers (and we) may cut the datagrams: the don't-fragment bit is cleared for them.
    pub(crate) may_fragment: bool,
}

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Everything has left, or was given up for lost and counted.
    All,
    /// The socket buffer is full: go on from this byte when it is writable.
    Blocked {
        /// Bytes that have left.
        sent_bytes: usize,
    },
    /// The datagram that begins at this byte is too large for the path.
    TooLarge {
        /// Bytes that have left.
        sent_bytes: usize,
        /// The length that was refused.
        datagram_bytes: usize,
    },
}

/// Whether the path takes segmented sends. One per path: quinn-udp keeps a single flag for the whole socket, so that one
/// path over a device without offload (EIO) would slow all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offload {
    refused: bool,
}

/// A UDP socket that sends and receives in batches. One per driver.
#[derive(Debug)]
pub(crate) struct Socket {
    io: Readiness,
    state: UdpSocketState,
    local: SocketAddr,
    may_fragment: bool,
    segments_max: usize,
    pool: BufferPool,
    buffers: Vec<PoolBuffer>,
    metas: [RecvMeta; RECEIVE_BUFFERS],
    clock: ArrivalClock,
    counters: Arc<SocketCounters>,
}

/// Opens a socket for `addr`; one for IPv6 takes IPv6 only, so that both families can use the same port.
///
/// # Errors
/// Those of the system: the address is in use or not ours, or its family is missing.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = open(addr)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Opens several sockets for one port, among which the kernel spreads the peers.
///
/// The first is bound as if it were alone and shares its port only then: else a second server on the same port would not be told that it
/// is in use, and would take away half of the peers of the first.
///
/// # Errors
/// As [`bind`].
#[cfg(target_os = "linux")]
pub(crate) fn bind_several(addr: SocketAddr, sockets: usize) -> io::Result<Vec<std::net::UdpSocket>> {
    let mut bound = vec![bind(addr)?];
    if sockets > 1 {
        socket2::SockRef::from(&bound[0]).set_reuse_port(true)?;
        let addr = bound[0].local_addr()?;
        for _ in 1..sockets {
            let socket = open(addr)?;
            socket.set_reuse_port(true)?;
            socket.bind(&addr.into())?;
            bound.push(socket.into());
        }
    }
    Ok(bound)
}

/// One socket: this system has no way of spreading peers over several.
///
/// # Errors
/// As [`bind`].
#[cfg(not(target_os = "linux"))]
pub(crate) fn bind_several(addr: SocketAddr, _sockets: usize) -> io::Result<Vec<std::net::UdpSocket>> {
    Ok(vec![bind(addr)?])
}

fn open(addr: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

impl Socket {
    /// Takes over a bound socket. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The socket is not bound, or refuses an option that every kernel has.
    pub(crate) fn new(socket: std::net::UdpSocket, config: &SocketConfig) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let state = UdpSocketState::new((&socket).into())?;
        socket_options::follow_path_mtu(&socket, local)?;
        let buffers = socket_buffers::enlarge(&socket, config);
        let pool = BufferPool::default();
        Ok(Self {
            local,
            may_fragment: false,
            segments_max: if config.segmentation_offload { state.max_gso_segments().min(SEGMENTS_MAX) } else { 1 },
            buffers: (0..RECEIVE_BUFFERS).map(|_| pool.take()).collect(),
            pool,
            metas: [RecvMeta::default(); RECEIVE_BUFFERS],
            clock: ArrivalClock::new(Instant::now()),
            counters: Arc::new(SocketCounters::new(buffers, socket_options::inode(&socket), local)),
            state,
            io: Readiness::new(socket)?,
        })
    }

    /// Receives what is there, at most [`RECEIVE_BUFFERS`] buffers in one system call; appends to `received` and tells
    /// whether there may be more.
    ///
    /// # Errors
    /// Those of the socket, an empty one and ICMP errors of single peers excepted.
    pub(crate) fn receive(&mut self, received: &mut Vec<Received>) -> io::Result<Waiting> {
        let mut slices = self.buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer.memory()));
        let mut slices: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
            std::array::from_fn(|_| slices.next().expect("there are RECEIVE_BUFFERS buffers"));
        let filled = self
            .io
            .try_io(Interest::READABLE, || self.state.recv(self.io.socket().into(), &mut slices, &mut self.metas));
        let filled = match filled {
            Ok(filled) => filled,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Waiting::Nothing),
            // Some systems report a peer's ICMP error on the next receive call, whoever that peer was.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Waiting::Something),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(Waiting::Something),
            Err(error) => return Err(error),
        };
        count(&self.counters.receive_calls, 1);
        self.clock.synchronise(Instant::now(), SystemTime::now());
        self.take_filled(filled, received);
        // The kernel stops before the last buffer only when it has nothing more.
        let is_all = filled < RECEIVE_BUFFERS.min(quinn_udp::BATCH_SIZE);
        Ok(if is_all { Waiting::Nothing } else { Waiting::Something })
    }

    /// Sends `contents` from byte `start` on: as one segmented packet where the path takes such, else as many.
    ///
    /// What the system refuses for other reasons than a full buffer or the size (no route, no buffer in the device, a
    /// firewall) counts as lost: the protocol repairs that like any other loss.
    pub(crate) fn send(&mut self, to: Addressed, contents: &[u8], start: usize, offload: &mut Offload) -> Sent {
        self.allow_fragments(to.may_fragment);
        let mut sent_bytes = start;
        while let Some(rest) = contents.get(sent_bytes..).filter(|rest| !rest.is_empty()) {
            let segment_bytes = to.segment_bytes.unwrap_or(rest.len()).clamp(1, SEND_BYTES_MAX).min(rest.len());
            let is_alone = to.may_fragment || offload.refused || self.segments_max == 1;
            let segments =
                if is_alone { SEGMENTS_MAX } else { (SEND_BYTES_MAX / segment_bytes).min(self.segments_max) };
            let run = &rest[..rest.len().min(segments * segment_bytes)];
            let sent = match is_alone {
                true => self.send_alone(to, run, segment_bytes),
                false => self.send_segmented(to, run, segment_bytes),
            };
            match sent {
                Ok(bytes) => {
                    self.count_sent(bytes, segment_bytes);
                    sent_bytes += bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::Blocked { sent_bytes },
                Err(error) if quinn_udp::is_msg_size_err(&error) && !to.may_fragment => {
                    // Before Linux 6.14 a segmented send that is too large is EINVAL, so the one-by-one send told us.
                    offload.refused = false;
                    return Sent::TooLarge { sent_bytes, datagram_bytes: segment_bytes };
                }
                Err(error) if !is_alone && run.len() > segment_bytes && refuses_offload(&error) => {
                    offload.refused = true;
                    count(&self.counters.offload_refusals, 1);
                }
                Err(error) => {
                    let lost_bytes = if is_alone { segment_bytes } else { run.len() };
                    self.count_lost(lost_bytes.div_ceil(segment_bytes), to.remote, &error);
                    sent_bytes += lost_bytes;
                }
            }
        }
        Sent::All
    }

    /// Waits until something wanted may be possible; it may also be nothing. [`rest`](Self::rest) has to follow.
    ///
    /// # Errors
    /// The runtime is shutting down.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn ready(&mut self, wanted: Wanted) -> io::Result<()> {
        self.io.ready(wanted).await
    }

    /// After [`ready`](Self::ready), whether it ended or not: until the next time nobody is woken for this socket.
    ///
    /// # Errors
    /// None that a sound system has.
    pub(crate) fn rest(&mut self) -> io::Result<()> {
        self.io.rest()
    }

    /// The address that the socket is bound to.
    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The counters, for whoever asks for [`SocketStats`].
    pub(crate) fn counters(&self) -> Arc<SocketCounters> {
        Arc::clone(&self.counters)
    }

    /// Hands over the first buffers, and puts fresh ones into their places.
    fn take_filled(&mut self, filled: usize, received: &mut Vec<Received>) {
        for (index, meta) in self.metas[..filled].iter().enumerate() {
            if meta.len == 0 {
                continue;
            }
            let buffer = std::mem::replace(&mut self.buffers[index], self.pool.take());
            let stride = meta.stride.clamp(1, BUFFER_BYTES);
            count(&self.counters.received_datagrams, meta.len.div_ceil(stride) as u64);
            count(&self.counters.received_bytes, meta.len as u64);
            let (arrived, is_stamped) = self.clock.arrived(meta.timestamp);
            received.push(Received {
                contents: buffer.freeze(meta.len),
                stride,
                from: meta.addr,
                to: meta.dst_ip,
                arrived,
                is_stamped,
            });
        }
    }

    /// Sends the first datagrams of `run`, each a packet of its own for the kernel; tells how many bytes have left. An error is that of
    /// the first.
    fn send_alone(&self, to: Addressed, run: &[u8], segment_bytes: usize) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        if run.len() > segment_bytes {
            return multi_send::send(self.io.socket(), to, run, segment_bytes);
        }
        self.send_segmented(to, &run[..segment_bytes], segment_bytes)
    }

    /// Sends all of `run` as one packet for the kernel, or nothing; tells how many bytes have left.
    fn send_segmented(&self, to: Addressed, run: &[u8], segment_bytes: usize) -> io::Result<usize> {
        let transmit = quinn_udp::Transmit {
            destination: to.remote,
            ecn: None,
            contents: run,
            segment_size: (run.len() > segment_bytes).then_some(segment_bytes),
            src_ip: to.local,
        };
        self.io.try_io(Interest::WRITABLE, || self.state.try_send(self.io.socket().into(), &transmit))?;
        Ok(run.len())
    }

    /// Fragmentation is an option of the whole socket; the single sender toggles it, only when it has to change.
    fn allow_fragments(&mut self, may_fragment: bool) {
        if self.may_fragment == may_fragment {
            return;
        }
        match socket_options::allow_fragments(self.io.socket(), self.local, may_fragment) {
            Ok(()) => self.may_fragment = may_fragment,
            Err(error) => tracing::debug!(%error, may_fragment, "the don't-fragment bit cannot be changed"),
        }
    }

    fn count_sent(&self, bytes: usize, segment_bytes: usize) {
        count(&self.counters.send_calls, 1);
        count(&self.counters.sent_datagrams, bytes.div_ceil(segment_bytes) as u64);
        count(&self.counters.sent_bytes, bytes as u64);
    }

    fn count_lost(&self, datagrams: usize, remote: SocketAddr, error: &io::Error) {
        let counter = if socket_options::is_no_buffer(error) {
            &self.counters.send_no_buffer
        } else {
            &self.counters.send_errors
        };
        count(counter, datagrams as u64);
        tracing::debug!(%remote, %error, datagrams, "could not be sent and count as lost");
    }
}

/// A device without segmentation offload answers EIO, an old kernel EINVAL.
fn refuses_offload(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput || socket_options::is_io_error(error)
}

impl SocketStats {
    /// The share of what was asked for that the kernel granted is too small for a fast path.
    #[must_use]
    pub const fn receive_buffer_is_small(&self) -> bool {
        self.receive_buffer_bytes < self.receive_buffer_bytes_asked
    }
}

#[cfg(test)]
mod tests;
