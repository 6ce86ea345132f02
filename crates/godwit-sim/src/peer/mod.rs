//! One end of a flow that runs our protocol: an endpoint, its connection, the application on top and the host around it.

mod application;
mod inbox;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_proto::{
    Config, Connection, ConnectionError, ConnectionHandle, Contents, Endpoint, EndpointConfig, Event, ListenLimits,
    Path, Payloads, SEGMENTS_MAX, WallClock,
};
use rand::{SeedableRng as _, rngs::Xoshiro256PlusPlus};

use crate::agent::{Gauges, Outbox};
use crate::clock;
use crate::failure::Failure;
use crate::host::HostNoise;
use crate::parcel::Load;
use crate::window_check::WindowCheck;
use crate::workload::Workload;

/// What the send buffer may hold beyond its limit: a slab that was begun below it.
const SLAB_BYTES_MAX: usize = 64 << 10;

/// Which end of the flow this is.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// It connects, and writes this.
    Sender(Workload),
    /// It listens, reads, and checks what it reads.
    Receiver,
}

/// How an end is set up.
#[derive(Clone, Debug)]
pub struct PeerSetup {
    /// The flow's number.
    pub flow: usize,
    /// Which end.
    pub role: Role,
    /// Of the connection.
    pub config: Config,
    /// Of the host.
    pub noise: HostNoise,
    /// All that is random.
    pub seed: u64,
    /// Whether wrong content counts; damaged packets that arrive make it wrong.
    pub checks_content: bool,
    /// Most bytes that the buffers of the connection may hold, for the check.
    pub send_buffer_bytes: usize,
    /// See above.
    pub receive_buffer_bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Peer {
    setup: PeerSetup,
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    remote: SocketAddr,
    rng: Xoshiro256PlusPlus,
    started: Instant,
    inbox: VecDeque<(Instant, Bytes)>,
    inbox_at: Option<Instant>,
    /// When the application gets more to write.
    supply_at: Option<Instant>,
    /// How much later than asked for the next timer fires.
    lateness: Duration,
    written: u64,
    read: u64,
    wants_write: bool,
    wants_read: bool,
    is_stopped: bool,
    has_closed: bool,
    has_ended: bool,
    first_data_at: Option<Instant>,
    last_read_at: Option<Instant>,
    window: WindowCheck,
    scratch: Vec<u8>,
    payloads: VecDeque<Payloads>,
}

impl Peer {
    /// A receiver listens from now on, a sender connects at its first [`wake`](Self::wake).
    pub fn new(now: Instant, setup: PeerSetup) -> Self {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&setup.seed.to_le_bytes());
        let wall_clock = Some(wall_clock(setup.seed));
        let mut endpoint = Endpoint::new(EndpointConfig { wall_clock, ..EndpointConfig::default() }, seed);
        let host = if setup.role == Role::Receiver { 1 } else { 2 };
        if setup.role == Role::Receiver {
            endpoint.listen(setup.config.clone(), ListenLimits::default()).expect("the first listener");
        }
        Self {
            endpoint,
            connection: None,
            remote: SocketAddr::from(([192, 0, 2, host], 9000)),
            rng: Xoshiro256PlusPlus::seed_from_u64(setup.seed ^ 0x5EED),
            started: now,
            inbox: VecDeque::new(),
            inbox_at: None,
            supply_at: None,
            lateness: Duration::ZERO,
            written: 0,
            read: 0,
            wants_write: false,
            wants_read: false,
            is_stopped: false,
            has_closed: false,
            has_ended: false,
            first_data_at: None,
            last_read_at: None,
            window: WindowCheck::default(),
            scratch: Vec::new(),
            payloads: VecDeque::new(),
            setup,
        }
    }

    /// A datagram arrives at the host.
    pub fn deliver(&mut self, now: Instant, datagram: Bytes, out: &mut Outbox) {
        if self.is_stopped {
            return;
        }
        self.inbox.push_back((now, datagram));
        if self.setup.noise.is_prompt() {
            self.take_inbox(now, out);
        } else if self.inbox_at.is_none() {
            let late = self.setup.noise.lateness(&mut self.rng);
            self.inbox_at = Some(now + self.setup.noise.batch_hold + late);
        }
    }

    /// Runs whatever is due.
    pub fn wake(&mut self, now: Instant, out: &mut Outbox) {
        if self.is_stopped {
            return;
        }
        if self.inbox_at.is_some_and(|at| at <= now) {
            self.take_inbox(now, out);
        }
        if self.connection.is_none() && matches!(self.setup.role, Role::Sender(_)) {
            self.connect(now, out);
        }
        let shown = self.setup.noise.shown(now);
        if self.timer_at().is_some_and(|at| at <= now) {
            if let Some((_, connection)) = &mut self.connection {
                connection.handle_timeout(shown);
            }
            self.lateness = self.setup.noise.timer_lateness(&mut self.rng);
            self.serve(shown, out);
            self.check_timer(shown, out);
        }
        if self.supply_at.is_some_and(|at| at <= now) {
            self.wants_write = true;
            self.serve(shown, out);
        }
    }

    /// When to call [`wake`](Self::wake).
    pub fn next_wake(&self) -> Option<Instant> {
        if self.is_stopped {
            return None;
        }
        if self.connection.is_none() && matches!(self.setup.role, Role::Sender(_)) && !self.has_ended {
            return Some(self.started);
        }
        [self.inbox_at, self.timer_at(), self.supply_at].into_iter().flatten().min()
    }

    /// Falls silent.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        self.inbox.clear();
    }

    /// Data packets received, each counted once.
    pub fn received_packets(&self, now: Instant) -> u64 {
        self.connection.as_ref().map_or(0, |(_, connection)| {
            let receiver = connection.stats(now).receiver;
            receiver.received_packets - receiver.duplicate_packets - receiver.out_of_window_packets
        })
    }

    /// The sending half in numbers.
    pub fn gauges(&self, now: Instant) -> Gauges {
        let Some((_, connection)) = &self.connection else { return Gauges::default() };
        let stats = connection.stats(now);
        Gauges {
            rtt: stats.rtt,
            window_packets: stats.congestion_window_packets,
            in_flight_packets: stats.in_flight_packets,
            pace_packets_per_s: 1.0 / stats.sending_interval.as_secs_f64().max(1e-9),
            sent_packets: stats.sender.sent_packets,
            retransmitted_packets: stats.sender.retransmitted_packets,
            spurious_packets: stats.sender.spurious_retransmissions_packets,
        }
    }

    /// Memory that the buffers of the connection hold.
    pub fn buffered_bytes(&self, now: Instant) -> usize {
        self.connection.as_ref().map_or(0, |(_, connection)| {
            let stats = connection.stats(now);
            stats.send_buffer_used_bytes + stats.receive_buffer_used_bytes
        })
    }

    /// Bytes written and bytes read so far.
    pub fn progress(&self) -> (u64, u64) {
        (self.written, self.read)
    }

    /// Whether the connection has come to its end and has nothing left to say.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// When the first data packet left.
    pub fn first_data_at(&self) -> Option<Instant> {
        self.first_data_at
    }

    /// When the application read last.
    pub fn last_read_at(&self) -> Option<Instant> {
        self.last_read_at
    }

    /// Whether the buffers hold more than they may.
    pub fn check_memory(&self, now: Instant) -> Option<Failure> {
        let (_, connection) = self.connection.as_ref()?;
        let stats = connection.stats(now);
        let (flow, end) = (self.setup.flow, self.end());
        let limits = [
            (stats.send_buffer_used_bytes, self.setup.send_buffer_bytes + SLAB_BYTES_MAX),
            (stats.receive_buffer_used_bytes, self.setup.receive_buffer_bytes + SLAB_BYTES_MAX),
        ];
        limits.into_iter().find(|(bytes, max)| bytes > max).map(|(bytes, max)| Failure::Memory {
            flow,
            end,
            bytes,
            max,
        })
    }

    fn end(&self) -> &'static str {
        if self.setup.role == Role::Receiver { "receiver" } else { "sender" }
    }

    fn timer_at(&self) -> Option<Instant> {
        let (_, connection) = self.connection.as_ref()?;
        connection.poll_timeout().map(|at| self.setup.noise.shows_at(at) + self.lateness)
    }

    fn connect(&mut self, now: Instant, out: &mut Outbox) {
        if self.has_ended {
            return;
        }
        let path = Path { remote: self.remote, local: None };
        let shown = self.setup.noise.shown(now);
        let connected = self.endpoint.connect(shown, path, self.setup.config.clone());
        self.connection = Some(connected.expect("the first connection"));
        self.serve(shown, out);
    }

    /// Drains the connection and lets the application do what it can, until nothing changes any more.
    fn serve(&mut self, now: Instant, out: &mut Outbox) {
        loop {
            self.drain(now, out);
            self.poll_events(now, out);
            let has_acted = self.read(now, out) | self.write(now);
            if !has_acted {
                break;
            }
        }
    }

    /// Its timers have run and it was drained: what it wants next lies ahead.
    fn check_timer(&self, now: Instant, out: &mut Outbox) {
        let Some((_, connection)) = &self.connection else { return };
        if let Some(at) = connection.poll_timeout()
            && at <= now
        {
            let failure = Failure::TimerInPast { flow: self.setup.flow, end: self.end(), ago: now - at };
            out.failure.get_or_insert(failure);
        }
    }

    fn drain(&mut self, now: Instant, out: &mut Outbox) {
        let Some((_, connection)) = &mut self.connection else { return };
        while let Some(transmit) = connection.poll_transmit(now, SEGMENTS_MAX, &mut self.scratch) {
            let first = out.packets.len();
            match transmit.contents {
                Contents::Scratch => split(&self.scratch, transmit.segment_bytes, out),
                Contents::Slab(run) => {
                    split(run.bytes(), transmit.segment_bytes, out);
                    connection.restore(run);
                    self.first_data_at.get_or_insert(now);
                }
            }
            for load in &out.packets[first..] {
                let Load::Datagram(datagram) = load else { continue };
                if self.setup.checks_content
                    && let Some((seq, limit)) = self.window.on_departure(datagram)
                {
                    out.failure.get_or_insert(Failure::BeyondWindow { flow: self.setup.flow, seq, limit });
                }
            }
        }
    }

    fn poll_events(&mut self, now: Instant, out: &mut Outbox) {
        let (flow, end) = (self.setup.flow, self.end());
        let Some((handle, connection)) = &mut self.connection else { return };
        while let Some(event) = connection.poll_event() {
            match event {
                Event::Connected | Event::Writable => self.wants_write = true,
                Event::Readable => self.wants_read = true,
                Event::Flushed => {}
                // Each end sees the other's good-bye, or its own linger.
                Event::Closed(ConnectionError::ClosedByPeer | ConnectionError::ClosedLocally) => self.wants_read = true,
                Event::Closed(reason) => {
                    if self.setup.checks_content {
                        out.failure.get_or_insert(Failure::Ended { flow, end, reason });
                    }
                    self.has_ended = true;
                }
            }
        }
        if connection.is_drained() && !self.has_ended {
            self.has_ended = true;
            let (handle, peer_id) = (*handle, connection.peer_id());
            self.endpoint.remove(now, handle, peer_id);
        }
    }
}

/// Cuts a transmission into datagrams that share one copy.
fn split(bytes: &[u8], segment_bytes: Option<usize>, out: &mut Outbox) {
    let all = Bytes::copy_from_slice(bytes);
    match segment_bytes {
        Some(segment) if segment < all.len() => {
            let pieces = (0..all.len()).step_by(segment).map(|start| all.slice(start..all.len().min(start + segment)));
            out.packets.extend(pieces.map(Load::Datagram));
        }
        _ => out.packets.push(Load::Datagram(all)),
    }
}

/// A host's clock, wrong by at most 100 ms.
fn wall_clock(seed: u64) -> WallClock {
    let error = Duration::from_millis(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 101);
    WallClock { at: clock::origin(), unix_time: Duration::from_secs(1_000_000_000) + error }
}
