//! The sending half of the driver: from what connections have to send to the socket, and what to do when it refuses.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use godwit_proto::{Contents, Path, SlabRun};

use crate::connection::Connection;
use crate::path_mtu::Route;
use crate::rate_limit::RateLimit;
use crate::shared::Shared;
use crate::socket::{Addressed, Offload, SEGMENTS_MAX, Sent, Socket};
use crate::socket_stats::{SocketCounters, count};

/// Send calls for one connection before the others have their turn: 176 packets, a quarter of a megabyte.
const CALLS_PER_TURN_MAX: usize = 4;
/// Datagram runs of the side channel per turn.
const SIDE_SENDS_PER_TURN_MAX: usize = 16;

/// How far the sending of a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It has nothing more to send now.
    Drained,
    /// It has more, but others have their turn.
    More,
    /// The socket takes no more.
    Blocked,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Outbound {
    scratch: Vec<u8>,
    /// What the socket did not take: at most one run, and nothing else is sent before it.
    unsent: Option<Unsent>,
    counters: Arc<SocketCounters>,
}

/// A run of datagrams of which the socket took the beginning.
#[derive(Debug)]
struct Unsent {
    to: Addressed,
    start: usize,
    content: Content,
    offload: Offload,
    connection: Option<Arc<Connection>>,
}

/// Where the bytes of a run are.
#[derive(Debug)]
enum Content {
    Copied(Vec<u8>),
    Slab(SlabRun),
    Shared(Bytes),
}

impl Outbound {
    pub(crate) const fn new(counters: Arc<SocketCounters>) -> Self {
        Self { scratch: Vec::new(), unsent: None, counters }
    }

    /// Whether the socket has to become writable before anything can be sent.
    pub(crate) const fn is_blocked(&self) -> bool {
        self.unsent.is_some()
    }

    /// Sends what the socket did not take last time.
    pub(crate) fn resume(&mut self, socket: &mut Socket) -> Flow {
        match self.unsent.take() {
            Some(unsent) => self.send(socket, unsent),
            None => Flow::Drained,
        }
    }

    /// Sends what this connection has, within the bounds of a turn and of the rate limit.
    pub(crate) fn send_from(
        &mut self,
        socket: &mut Socket,
        connection: &Arc<Connection>,
        rate_limit: &RateLimit,
        now: Instant,
    ) -> Flow {
        for _ in 0..CALLS_PER_TURN_MAX {
            if rate_limit.blocked_until(now).is_some() {
                return Flow::More;
            }
            let segments_max = rate_limit.segments(SEGMENTS_MAX);
            let mut state = connection.lock();
            let transmit = state.protocol.poll_transmit(now, segments_max, &mut self.scratch);
            let offload = state.offload;
            // No lock is held across the system call.
            drop(state);
            let Some(transmit) = transmit else { return Flow::Drained };
            let content = match transmit.contents {
                Contents::Scratch => Content::Copied(std::mem::take(&mut self.scratch)),
                Contents::Slab(run) => Content::Slab(run),
            };
            let bytes = content.bytes().len();
            let datagrams = transmit.segment_bytes.map_or(1, |segment_bytes| bytes.div_ceil(segment_bytes));
            rate_limit.charge(now, datagrams, bytes);
            let Path { remote, local } = transmit.path;
            let to =
                Addressed { remote, local, segment_bytes: transmit.segment_bytes, may_fragment: transmit.may_fragment };
            let unsent = Unsent { to, start: 0, content, offload, connection: Some(Arc::clone(connection)) };
            if self.send(socket, unsent) == Flow::Blocked {
                return Flow::Blocked;
            }
        }
        Flow::More
    }

    /// Sends the answer to a datagram that belongs to no connection. If the socket is full it is dropped: the peer will
    /// ask again.
    pub(crate) fn send_reply(&mut self, socket: &mut Socket, path: Path, reply: &[u8]) {
        if self.unsent.is_none() {
            let to = Addressed { remote: path.remote, local: path.local, segment_bytes: None, may_fragment: false };
            socket.send(to, reply, 0, &mut Offload::default());
        }
    }

    /// Sends what waits in the side channel, within the bounds of a turn. Too large datagrams vanish, as the second
    /// protocol's own probes for the path's MTU expect.
    pub(crate) fn send_side_channel(&mut self, socket: &mut Socket, shared: &Shared) -> Flow {
        for _ in 0..SIDE_SENDS_PER_TURN_MAX {
            let Some(side) = shared.side_sends.pop() else { return Flow::Drained };
            let to =
                Addressed { remote: side.to, local: side.from, segment_bytes: side.segment_bytes, may_fragment: false };
            let (content, offload) = (Content::Shared(side.contents), Offload::default());
            if self.send(socket, Unsent { to, start: 0, content, offload, connection: None }) == Flow::Blocked {
                return Flow::Blocked;
            }
        }
        Flow::More
    }

    /// Sends a run, or the rest of one, and gives its memory back; keeps what the socket does not take.
    fn send(&mut self, socket: &mut Socket, mut unsent: Unsent) -> Flow {
        let offload = unsent.offload;
        loop {
            match socket.send(unsent.to, unsent.content.bytes(), unsent.start, &mut unsent.offload) {
                Sent::All => break,
                Sent::Blocked { sent_bytes } => {
                    unsent.start = sent_bytes;
                    self.unsent = Some(unsent);
                    return Flow::Blocked;
                }
                Sent::TooLarge { sent_bytes, datagram_bytes } => {
                    count(&self.counters.send_too_large, 1);
                    let Some(connection) = &unsent.connection else { break };
                    shrink(connection, datagram_bytes);
                    // Its packets have their numbers and cannot be cut again: let the network cut them.
                    unsent.to.may_fragment = true;
                    unsent.start = sent_bytes;
                }
            }
        }
        if let Some(connection) = &unsent.connection
            && unsent.offload != offload
        {
            connection.lock().offload = unsent.offload;
        }
        match (unsent.content, unsent.connection) {
            (Content::Slab(run), Some(connection)) => connection.lock().protocol.restore(run),
            (Content::Copied(scratch), _) => self.scratch = scratch,
            _ => {}
        }
        Flow::Drained
    }
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(scratch) => scratch,
            Self::Slab(run) => run.bytes(),
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Tells a connection that its path takes no datagrams of this size.
fn shrink(connection: &Connection, refused_bytes: usize) {
    let Path { remote, local } = connection.path;
    let max_bytes = match Route::look_up(remote, local) {
        Ok(route) => route.datagram_bytes_below(refused_bytes),
        // Without a route the next packets are lost anyway; later ones may be refused again.
        Err(_) => return,
    };
    tracing::debug!(%remote, refused_bytes, max_bytes, "the path takes no larger datagrams");
    connection.lock().protocol.datagram_too_large(max_bytes);
}
