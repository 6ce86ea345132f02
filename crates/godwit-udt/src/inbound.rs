//! The receiving half of the driver: from buffers of datagrams to runs for one connection each.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use godwit_proto::{Batch, ConnectionHandle, Handshaken, Path, Route as Recipient};

use crate::buffer_pool::BUFFER_BYTES;
use crate::connection::Connection;
use crate::path_mtu::{Route, family_mss};
use crate::shared::{Shared, Table};
use crate::side_channel::SideReceived;
use crate::socket::Received;
use crate::socket_stats::{SocketCounters, count};

/// Where a handshake has its request type, and the value that asks for a cookie (specification section 2.2).
const REQUEST_TYPE: std::ops::Range<usize> = 36..40;
const INDUCTION: [u8; 4] = [0, 0, 0, 1];

/// Buffers for one turn, kept to spare allocations. All are empty between turns.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// The driver's.
    index: usize,
    received: Vec<Received>,
    runs: Vec<(Arc<Connection>, Batch)>,
    accepted: Vec<Arc<Connection>>,
    /// Requests for connections, answered after the rest, since the MSS to offer is asked of the kernel.
    requests: Vec<Received>,
    replies: Vec<(Path, Vec<u8>)>,
}

impl Inbound {
    /// For the driver with this index.
    pub(crate) const fn new(index: usize) -> Self {
        Self {
            index,
            received: Vec::new(),
            runs: Vec::new(),
            accepted: Vec::new(),
            requests: Vec::new(),
            replies: Vec::new(),
        }
    }

    /// Where the socket puts what it receives.
    pub(crate) const fn buffers(&mut self) -> &mut Vec<Received> {
        &mut self.received
    }

    /// How much waits there.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received.iter().map(|one| one.contents.len() as u64).sum()
    }

    /// Finds out for whom everything received is, segment by segment: one buffer can hold packets of several connections.
    pub(crate) fn route(&mut self, now: Instant, shared: &Shared) {
        let mut received = std::mem::take(&mut self.received);
        let counters = &shared.driver(self.index).counters;
        let mut table = shared.table();
        for buffer in received.drain(..) {
            self.route_buffer(now, &buffer, &mut table, counters);
        }
        drop(table);
        self.received = received;
        self.answer_requests(now, shared);
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

    fn route_buffer(&mut self, now: Instant, buffer: &Received, table: &mut Table, counters: &SocketCounters) {
        let mut start = 0;
        while let Some(rest) = buffer.contents.get(start..).filter(|rest| !rest.is_empty()) {
            let (route, bytes) = table.protocol.route_run(now, rest, buffer.stride, buffer.from);
            self.deliver(buffer, start..start + bytes, route, table, counters);
            start += bytes;
        }
    }

    fn deliver(
        &mut self,
        buffer: &Received,
        range: std::ops::Range<usize>,
        route: Recipient,
        table: &mut Table,
        counters: &SocketCounters,
    ) {
        let run = Received { contents: buffer.contents.slice(range), ..*buffer };
        match route {
            Recipient::Connection(handle) => self.deliver_to(handle, run, table, counters),
            Recipient::Handshake => self.requests.push(run),
            Recipient::Closed(handle) => {
                let mut reply = Vec::new();
                if table.protocol.closed_answer(handle, &mut reply) {
                    self.replies.push((path_of(&run), reply));
                }
            }
            Recipient::Unclaimed => deliver_aside(run, table, counters),
        }
    }

    fn deliver_to(&mut self, handle: ConnectionHandle, run: Received, table: &Table, counters: &SocketCounters) {
        let Some(connection) = table.connections.get(&handle) else { return };
        let Received { contents, stride, arrived, is_stamped, .. } = run;
        if connection.driver != self.index {
            count(&counters.stray_datagrams, contents.len().div_ceil(stride) as u64);
        }
        let batch = Batch { contents, stride, capacity_bytes: BUFFER_BYTES, arrived, is_stamped };
        self.runs.push((Arc::clone(connection), batch));
    }

    fn answer_requests(&mut self, now: Instant, shared: &Shared) {
        let mut requests = std::mem::take(&mut self.requests);
        for request in requests.drain(..) {
            let mss_bytes = offered_mss(&request.contents, path_of(&request));
            self.answer_request(now, request, mss_bytes, shared);
        }
        self.requests = requests;
    }

    fn answer_request(&mut self, now: Instant, request: Received, mss_bytes: u32, shared: &Shared) {
        let path = path_of(&request);
        let mut table = shared.table();
        let table = &mut *table;
        let waiting = table.acceptor.as_ref().map_or(0, |acceptor| acceptor.len());
        let mut reply = Vec::new();
        table.protocol.set_driver_index(self.index as u8);
        match table.protocol.handle_handshake(now, &request.contents, path, mss_bytes, waiting, &mut reply) {
            Handshaken::Ignored => {}
            Handshaken::Reply => self.replies.push((path, reply)),
            Handshaken::Existing(handle) => {
                self.deliver_to(handle, request, table, &shared.driver(self.index).counters);
            }
            Handshaken::Accepted(handle, protocol) => {
                let connection = Arc::new(Connection::new(handle, path, *protocol, Arc::clone(&shared.budgets)));
                table.connections.insert(handle, Arc::clone(&connection));
                if let Some(acceptor) = &table.acceptor {
                    acceptor.push(Arc::clone(&connection));
                }
                self.accepted.push(connection);
            }
        }
    }
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
fn deliver_aside(run: Received, table: &Table, counters: &SocketCounters) {
    let Received { contents, stride, from, to, arrived, .. } = run;
    let datagrams = contents.len().div_ceil(stride) as u64;
    let Some(side_channel) = &table.side_channel else { return count(&counters.unclaimed_datagrams, datagrams) };
    let contents = if contents.len() < BUFFER_BYTES / 2 { Bytes::copy_from_slice(&contents) } else { contents };
    if side_channel.try_send(SideReceived { contents, stride, from, to, arrived }).is_err() {
        count(&counters.side_channel_drops, datagrams);
    }
}
