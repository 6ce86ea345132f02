//! Two endpoints joined by a path with delay and faults, under one virtual clock.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::error::ConnectionError;
use crate::packet::{Control, Packet};
use crate::{
    Batch, Config, Connection, ConnectionHandle, Contents, Endpoint, EndpointConfig, Event, Handshaken, ListenLimits,
    Path, Route,
};

/// Steps after which a test counts as hanging; the longest honest one takes a few million.
const STEPS_MAX: u64 = 20_000_000;
/// Later than any timer.
const FAR: Duration = Duration::from_secs(100_000);

/// Says of a datagram, given its sending node, whether it is dropped.
pub(crate) type Filter = Box<dyn FnMut(usize, &[u8]) -> bool>;
/// May change a datagram, given its sending node.
pub(crate) type Tamper = Box<dyn FnMut(usize, &mut Vec<u8>)>;

/// What the path does to datagrams; seeded, so every run is the same.
pub(crate) struct Faults {
    pub(crate) delay: Duration,
    pub(crate) loss: f64,
    pub(crate) duplicate: f64,
    /// Probability of being late by `late_by`, which reorders.
    pub(crate) late: f64,
    pub(crate) late_by: Duration,
    /// Drops the datagrams that it says yes to: the sending node and the bytes.
    pub(crate) filter: Filter,
    /// Changes datagrams, before all the other faults; what it leaves empty is not sent at all.
    pub(crate) tamper: Tamper,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            loss: 0.0,
            duplicate: 0.0,
            late: 0.0,
            late_by: Duration::from_millis(3),
            filter: Box::new(|_, _| false),
            tamper: Box::new(|_, _| {}),
        }
    }
}

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: BTreeMap<ConnectionHandle, Connection>,
    pub(crate) accepted: VecDeque<ConnectionHandle>,
    pub(crate) events: Vec<(ConnectionHandle, Event)>,
}

pub(crate) struct Network {
    pub(crate) now: Instant,
    pub(crate) nodes: [Node; 2],
    pub(crate) faults: Faults,
    pub(crate) datagrams: u64,
    rng: StdRng,
    /// In flight: arrival, serial number, receiving node, bytes.
    flying: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    serial: u64,
    steps: u64,
}

impl Network {
    pub(crate) fn new(seed: u8, faults: Faults) -> Self {
        let node = |index: u8| Node {
            address: SocketAddr::from(([192, 0, 2, index + 1], 9000)),
            endpoint: Endpoint::new(EndpointConfig::default(), [seed.wrapping_add(index).wrapping_add(1); 32]),
            connections: BTreeMap::new(),
            accepted: VecDeque::new(),
            events: Vec::new(),
        };
        Self {
            now: crate::tests::epoch(),
            nodes: [node(0), node(1)],
            faults,
            datagrams: 0,
            rng: StdRng::seed_from_u64(seed.into()),
            flying: BTreeMap::new(),
            serial: 0,
            steps: 0,
        }
    }

    /// Node 0 connects to node 1.
    pub(crate) fn connect(&mut self, config: Config) -> ConnectionHandle {
        self.connect_from(0, config)
    }

    pub(crate) fn connect_from(&mut self, node: usize, config: Config) -> ConnectionHandle {
        let path = Path { remote: self.nodes[1 - node].address, local: None };
        let (handle, connection) = self.nodes[node].endpoint.connect(self.now, path, config).expect("room");
        self.nodes[node].connections.insert(handle, connection);
        self.drain(node, handle);
        handle
    }

    /// Node 1 listens, node 0 connects, and both are there.
    pub(crate) fn establish(&mut self, client: Config, server: Config) -> (ConnectionHandle, ConnectionHandle) {
        self.nodes[1].endpoint.listen(server, ListenLimits::default()).expect("the first listener");
        let handle = self.connect(client);
        self.run_until("the handshake", |network| !network.nodes[0].connections[&handle].is_connecting());
        let accepted = self.nodes[1].accepted.pop_front().expect("the server accepts before the client knows");
        (handle, accepted)
    }

    pub(crate) fn connection(&mut self, node: usize, handle: ConnectionHandle) -> &mut Connection {
        self.nodes[node].connections.get_mut(&handle).expect("a connection of this test")
    }

    /// Does something to a connection and sends what follows from it.
    pub(crate) fn with<T>(
        &mut self,
        node: usize,
        handle: ConnectionHandle,
        act: impl FnOnce(&mut Connection, Instant) -> T,
    ) -> T {
        let now = self.now;
        let result = act(self.connection(node, handle), now);
        self.drain(node, handle);
        result
    }

    /// Lets time pass until the condition holds.
    pub(crate) fn run_until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        while !condition(self) {
            assert!(self.step(self.now + FAR), "nothing happens any more while waiting for {what}");
        }
    }

    /// Lets this much time pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Writes all of `data`, for which there has to be room.
    pub(crate) fn write(&mut self, node: usize, handle: ConnectionHandle, mut data: &[u8]) {
        while !data.is_empty() {
            match self.with(node, handle, |connection, now| connection.write(now, data)) {
                Poll::Ready(taken) => data = &data[taken.expect("the connection is open")..],
                Poll::Pending => panic!("no room for {} bytes more", data.len()),
            }
        }
    }

    /// Sends `data` from one connection to the other and closes; returns what was read until the end.
    pub(crate) fn transfer(
        &mut self,
        data: &[u8],
        from: (usize, ConnectionHandle),
        to: (usize, ConnectionHandle),
    ) -> Result<Vec<u8>, ConnectionError> {
        let mut written = 0;
        let mut received = Vec::new();
        loop {
            while written < data.len() {
                match self.with(from.0, from.1, |connection, now| connection.write(now, &data[written..])) {
                    Poll::Ready(Ok(taken)) => written += taken,
                    Poll::Ready(Err(error)) => panic!("write: {error}"),
                    Poll::Pending => break,
                }
                if written == data.len() {
                    self.with(from.0, from.1, Connection::close);
                }
            }
            match self.read(to.0, to.1, &mut received) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Ok(received),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => assert!(self.step(self.now + FAR), "hangs after {} bytes", received.len()),
            }
        }
    }

    /// Reads once; false at the end.
    pub(crate) fn read(
        &mut self,
        node: usize,
        handle: ConnectionHandle,
        received: &mut Vec<u8>,
    ) -> Poll<Result<bool, ConnectionError>> {
        let mut chunks = VecDeque::new();
        let outcome = self.with(node, handle, |connection, now| connection.read(now, 1 << 20, &mut chunks));
        chunks.into_iter().for_each(|payloads| received.put(payloads));
        outcome.map(|result| match result {
            Ok(taken) => Ok(taken > 0),
            Err(crate::ReadError::ConnectionLost(error)) => Err(error),
            Err(error) => panic!("read: {error}"),
        })
    }

    /// The next arrival or timer, if it comes before `end`.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "hangs at {:?}", self.now - crate::tests::epoch());
        let arrival = self.flying.keys().next().map(|key| key.0);
        let timer =
            self.nodes.iter().flat_map(|node| node.connections.values()).filter_map(Connection::poll_timeout).min();
        let Some(next) = arrival.into_iter().chain(timer).min().filter(|&next| next <= end) else { return false };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let (_, (node, datagram)) = self.flying.pop_first().expect("its key has just been seen");
            self.deliver(node, datagram);
        } else {
            self.run_timers();
        }
        true
    }

    fn run_timers(&mut self) {
        for node in 0..2 {
            let now = self.now;
            let is_due = |(&handle, connection): (&ConnectionHandle, &Connection)| {
                connection.poll_timeout().is_some_and(|at| at <= now).then_some(handle)
            };
            let due: Vec<_> = self.nodes[node].connections.iter().filter_map(is_due).collect();
            for handle in due {
                self.with(node, handle, Connection::handle_timeout);
                let next = self.connection(node, handle).poll_timeout();
                assert!(next.is_none_or(|next| next > now), "a timer in the past after a drain");
            }
        }
    }

    fn deliver(&mut self, index: usize, datagram: Vec<u8>) {
        let (now, from) = (self.now, self.nodes[1 - index].address);
        let node = &mut self.nodes[index];
        let path = Path { remote: from, local: None };
        let mut reply = Vec::new();
        let handle = match node.endpoint.route(now, &datagram, from) {
            Route::Connection(handle) => Some(handle),
            Route::Handshake => {
                let waiting = node.accepted.len();
                match node.endpoint.handle_handshake(now, &datagram, path, 1500, waiting, &mut reply) {
                    Handshaken::Ignored | Handshaken::Reply => None,
                    Handshaken::Existing(handle) => Some(handle),
                    Handshaken::Accepted(handle, connection) => {
                        node.connections.insert(handle, *connection);
                        node.accepted.push_back(handle);
                        self.drain(index, handle);
                        None
                    }
                }
            }
            Route::Closed(handle) => {
                node.endpoint.closed_answer(handle, &mut reply);
                None
            }
            Route::Unclaimed => None,
        };
        if !reply.is_empty() {
            self.send(index, reply);
        }
        if let Some(handle) = handle {
            let stride = datagram.len();
            let batch =
                Batch { contents: Bytes::from(datagram), stride, capacity_bytes: 2048, arrived: now, is_stamped: true };
            if self.nodes[index].connections.contains_key(&handle) {
                self.with(index, handle, |connection, now| connection.handle_datagrams(now, &batch));
            }
        }
    }

    fn drain(&mut self, node: usize, handle: ConnectionHandle) {
        let mut scratch = Vec::new();
        let mut out = Vec::new();
        let now = self.now;
        let connection = self.connection(node, handle);
        while let Some(transmit) = connection.poll_transmit(now, 44, &mut scratch) {
            let segment = transmit.segment_bytes.unwrap_or(usize::MAX);
            match transmit.contents {
                Contents::Scratch => out.extend(scratch.chunks(segment.min(scratch.len())).map(<[u8]>::to_vec)),
                Contents::Slab(run) => {
                    let bytes = run.bytes();
                    out.extend(bytes.chunks(segment.min(bytes.len())).map(<[u8]>::to_vec));
                    connection.restore(run);
                }
            }
        }
        let mut events = Vec::new();
        while let Some(event) = connection.poll_event() {
            events.push((handle, event));
        }
        connection.check();
        let (is_drained, peer_id, memory) = (connection.is_drained(), connection.peer_id(), connection.path_memory());
        if is_drained {
            if let Some(memory) = memory {
                let host = self.nodes[1 - node].address.ip();
                self.nodes[node].endpoint.learn_path(now, host, memory);
            }
            self.nodes[node].endpoint.remove(now, handle, peer_id);
        }
        self.nodes[node].events.extend(events);
        out.into_iter().for_each(|datagram| self.send(node, datagram));
    }

    /// A datagram that somebody sends to node `to` in the name of the other; it arrives at once, and no fault gets it.
    pub(crate) fn inject(&mut self, to: usize, datagram: Vec<u8>) {
        self.serial += 1;
        self.flying.insert((self.now, self.serial), (to, datagram));
    }

    pub(crate) fn send(&mut self, from: usize, mut datagram: Vec<u8>) {
        (self.faults.tamper)(from, &mut datagram);
        if datagram.is_empty() {
            return;
        }
        self.datagrams += 1;
        if (self.faults.filter)(from, &datagram) || self.rng.random_bool(self.faults.loss) {
            return;
        }
        let copies = 1 + usize::from(self.rng.random_bool(self.faults.duplicate));
        for _ in 0..copies {
            let is_late = self.rng.random_bool(self.faults.late);
            let late = if is_late { self.faults.late_by } else { Duration::ZERO };
            self.serial += 1;
            self.flying.insert((self.now + self.faults.delay + late, self.serial), (1 - from, datagram.clone()));
        }
    }
}

/// Whether a datagram is this kind of control packet.
pub(crate) fn is_control(datagram: &[u8], kind: impl FnOnce(&Control<'_>) -> bool) -> bool {
    matches!(Packet::decode(datagram), Ok(Packet::Control(packet)) if kind(&packet.control))
}

/// Bytes that do not repeat.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(bytes as u64);
    (0..bytes).map(|_| rng.random()).collect()
}
