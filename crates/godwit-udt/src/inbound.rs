//! The receiving half of the driver: from buffers of datagrams to runs for one connection each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use godwit_proto::{Batch, ConnectionHandle, Handshaken, Path, Route as Recipient};

use crate::connection::Connection;
use crate::path_mtu::{Route, family_mss};
use crate::receive_pool::BUFFER_BYTES;
use crate::shared::{Shared, Table};
use crate::side_channel::SideReceived;
use crate::socket::Received;
use crate::socket_stats::{SocketCounters, count};

/// A datagram for the router: its header is enough.
const HEADER_BYTES: usize = 16;
/// Where a handshake has its request type, and the value that asks for a cookie (specification section 2.2).
const REQUEST_TYPE: std::ops::Range<usize> = 36..40;
const INDUCTION: [u8; 4] = [0, 0, 0, 1];

/// Buffers for one turn, kept to spare allocations. All are empty between turns.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    received: Vec<Received>,
    runs: Vec<(Arc<Connection>, Batch)>,
    accepted: Vec<Arc<Connection>>,
    replies: Vec<(Path, Vec<u8>)>,
}

impl Inbound {
    /// Where the socket puts what it receives.
    pub(crate) const fn buffers(&mut self) -> &mut Vec<Received> {
        &mut self.received
    }

    /// Finds out for whom everything received is, segment by segment: one buffer can hold packets of several connections.
    pub(crate) fn route(&mut self, now: Instant, shared: &Shared) {
        let mut received = std::mem::take(&mut self.received);
        let mut table = shared.table();
        for buffer in received.drain(..) {
            self.route_buffer(now, &buffer, &mut table, shared);
        }
        self.received = received;
    }

    /// Batches for connections, in the order in which they arrived.
    pub(crate) fn runs(&mut self) -> impl Iterator<Item = (Arc<Connection>, Batch)> + '_ {
        self.runs.drain(..)
    }

    /// New connections, whose response has to be sent.
    pub(crate) fn accepted(&mut self) -> impl Iterator<Item = Arc<Connection>> + '_ {
        self.accepted.drain(..)
    }

    /// Answers to datagrams that belong to no connection.
    pub(crate) fn replies(&mut self) -> impl Iterator<Item = (Path, Vec<u8>)> + '_ {
        self.replies.drain(..)
    }

    fn route_buffer(&mut self, now: Instant, buffer: &Received, table: &mut Table, shared: &Shared) {
        let mut run: Option<(Recipient, usize)> = None;
        let length = buffer.contents.len();
        for start in (0..length).step_by(buffer.stride) {
            let segment = &buffer.contents[start..length.min(start + buffer.stride)];
            let route = if segment.len() < HEADER_BYTES {
                Recipient::Unclaimed
            } else {
                table.protocol.route(now, segment, buffer.from)
            };
            match run {
                Some((same, _)) if same == route && may_run(route) => {}
                _ => {
                    if let Some((route, from)) = run {
                        self.deliver(now, buffer, from..start, route, table, shared);
                    }
                    run = Some((route, start));
                }
            }
        }
        if let Some((route, from)) = run {
            self.deliver(now, buffer, from..length, route, table, shared);
        }
    }

    fn deliver(
        &mut self,
        now: Instant,
        buffer: &Received,
        range: std::ops::Range<usize>,
        route: Recipient,
        table: &mut Table,
        shared: &Shared,
    ) {
        let contents = buffer.contents.slice(range);
        match route {
            Recipient::Connection(handle) => self.deliver_to(handle, buffer, contents, table),
            Recipient::Handshake => self.deliver_handshake(now, buffer, contents, table, shared),
            Recipient::Closed(handle) => {
                let mut reply = Vec::new();
                if table.protocol.closed_answer(handle, &mut reply) {
                    self.replies.push((path_of(buffer), reply));
                }
            }
            Recipient::Unclaimed => deliver_aside(buffer, contents, table, &shared.counters),
        }
    }

    fn deliver_to(&mut self, handle: ConnectionHandle, buffer: &Received, contents: Bytes, table: &Table) {
        let Some(connection) = table.connections.get(&handle) else { return };
        let batch = Batch {
            contents,
            stride: buffer.stride,
            capacity_bytes: BUFFER_BYTES,
            arrived: buffer.arrived,
            is_stamped: buffer.is_stamped,
        };
        self.runs.push((Arc::clone(connection), batch));
    }

    fn deliver_handshake(
        &mut self,
        now: Instant,
        buffer: &Received,
        datagram: Bytes,
        table: &mut Table,
        shared: &Shared,
    ) {
        let path = path_of(buffer);
        let waiting = table.acceptor.as_ref().map_or(0, |acceptor| acceptor.len());
        let mss_bytes = offered_mss(&datagram, path);
        let mut reply = Vec::new();
        match table.protocol.handle_handshake(now, &datagram, path, mss_bytes, waiting, &mut reply) {
            Handshaken::Ignored => {}
            Handshaken::Reply => self.replies.push((path, reply)),
            Handshaken::Existing(handle) => self.deliver_to(handle, buffer, datagram, table),
            Handshaken::Accepted(handle, protocol) => {
                let connection = Arc::new(Connection::new(handle, path, *protocol, Arc::clone(&shared.receive_budget)));
                table.connections.insert(handle, Arc::clone(&connection));
                if let Some(acceptor) = &table.acceptor {
                    acceptor.push(Arc::clone(&connection));
                }
                self.accepted.push(connection);
            }
        }
    }
}

/// Whether consecutive datagrams of this kind are handed over together.
const fn may_run(route: Recipient) -> bool {
    matches!(route, Recipient::Connection(_) | Recipient::Unclaimed)
}

const fn path_of(buffer: &Received) -> Path {
    Path { remote: buffer.from, local: buffer.to }
}

/// The MSS to offer in the answer to a handshake. The route is looked up for conclusions alone: anybody can send a flood
/// of first requests.
fn offered_mss(datagram: &[u8], path: Path) -> u32 {
    let family = family_mss(path.remote);
    if datagram.get(REQUEST_TYPE) == Some(&INDUCTION) {
        return family;
    }
    Route::look_up(path.remote, path.local).map_or(family, |route| route.mss_bytes())
}

/// What nobody claims goes to the side channel; a copy, where the slice would keep a large buffer alive for little.
fn deliver_aside(buffer: &Received, contents: Bytes, table: &Table, counters: &SocketCounters) {
    let datagrams = contents.len().div_ceil(buffer.stride) as u64;
    let Some(side_channel) = &table.side_channel else { return count(&counters.unclaimed_datagrams, datagrams) };
    let contents = if contents.len() < BUFFER_BYTES / 2 { Bytes::copy_from_slice(&contents) } else { contents };
    let (from, to, arrived): (SocketAddr, _, _) = (buffer.from, buffer.to, buffer.arrived);
    let aside = SideReceived { contents, stride: buffer.stride, from, to, arrived };
    if side_channel.try_send(aside).is_err() {
        count(&counters.side_channel_drops, datagrams);
    }
}
