//! Random scenarios: a seed draws the configuration of both ends, the faults of the path and the workload.
//!
//! Checked after each step: the invariants of both halves (`Connection::check`: loss lists sorted, disjoint and within what is in
//! flight), no timer in the past (`Network`), and nothing sent beyond the window. At the end: the same bytes, and liveness,
//! because faults stop after a while. A failing seed is printed; add it to `REGRESSIONS`.

use std::collections::VecDeque;
use std::task::Poll;
use std::time::Duration;

use bytes::BufMut as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::network::{Faults, Filter, Network, Tamper};
use crate::packet::{Control, Packet, RequestType};
use crate::seq::Seq;
use crate::{Config, Connection, ConnectionHandle, Event, MIN_WINDOW_PACKETS, MessageOptions, SocketType};

/// Seeds that have failed once.
const REGRESSIONS: [u64; 0] = [];
const SEEDS: u64 = 60;
/// The path is clean from then on.
const FAULTS_LAST: Duration = Duration::from_secs(60);
/// And everything has arrived by then: libudt's controller may be down to a few packets per second.
const LONGEST: Duration = Duration::from_secs(4000);
/// Packets per direction.
const PACKETS_MAX: usize = 1500;

#[test]
fn random_scenarios_complete() {
    for seed in (0..SEEDS).chain(REGRESSIONS) {
        let _named = Named(seed);
        Scenario::new(seed).run();
    }
}

/// Prints the seed of a scenario that panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("scenario {} failed: add it to REGRESSIONS in tests/scenarios.rs", self.0);
        }
    }
}

struct Scenario {
    rng: StdRng,
    network: Network,
    ends: [ConnectionHandle; 2],
    is_stream: bool,
    /// The longest message.
    message_bytes: usize,
    /// What each node sends, how much of it is written, and what the other one got.
    data: [Vec<u8>; 2],
    written: [usize; 2],
    received: [Vec<u8>; 2],
    /// Probability that a node reads in a turn.
    eagerness: [f64; 2],
}

impl Scenario {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let faults = faults(&mut rng);
        // Opening under faults is tested elsewhere; here it could only time out.
        let clean = Faults { delay: faults.delay, tamper: within_the_window(), ..Faults::default() };
        let mut network = Network::new(rng.random(), clean);
        let is_stream = rng.random_bool(0.7);
        let is_rendezvous = rng.random_bool(0.25);
        let configs = [0, 1].map(|_| config(&mut rng, is_stream, is_rendezvous));
        let ends = open(&mut network, configs, is_rendezvous);
        network.faults = Faults { tamper: network.faults.tamper, ..faults };
        let now = network.now;
        let payload_bytes = network.connection(0, ends[0]).stats(now).payload_bytes;
        let data = [0, 1].map(|_| {
            let packets = skewed(&mut rng, 1, PACKETS_MAX);
            let bytes = (packets * payload_bytes).min(2 << 20) - rng.random_range(0..payload_bytes);
            (0..bytes).map(|_| rng.random()).collect()
        });
        let eagerness = [0, 1].map(|_| if rng.random_bool(0.5) { 1.0 } else { rng.random_range(0.01..0.3) });
        let message_bytes = (payload_bytes * rng.random_range(1..=MIN_WINDOW_PACKETS as usize)).min(48 << 10);
        Self {
            rng,
            network,
            ends,
            is_stream,
            message_bytes,
            data,
            written: [0; 2],
            received: [Vec::new(), Vec::new()],
            eagerness,
        }
    }

    fn run(mut self) {
        let start = self.network.now;
        while (0..2).any(|node| self.received[node].len() < self.data[1 - node].len()) {
            let age = self.network.now - start;
            let lengths = [self.received[0].len(), self.received[1].len()];
            assert!(age < LONGEST, "not alive: {lengths:?} of {:?}", [self.data[1].len(), self.data[0].len()]);
            if age > FAULTS_LAST {
                self.network.faults.loss = 0.0;
                self.network.faults.filter = Box::new(|_, _| false);
            }
            for node in 0..2 {
                self.write(node);
                if self.rng.random_bool(self.eagerness[node]) {
                    self.read(node);
                }
            }
            let turn = Duration::from_micros(self.rng.random_range(100..30_000));
            self.network.run_for(turn);
        }
        assert!(self.received[0] == self.data[1] && self.received[1] == self.data[0], "other bytes");
        self.close();
    }

    fn write(&mut self, node: usize) {
        let rest = &self.data[node][self.written[node]..];
        let chunk = &rest[..rest.len().min(skewed(&mut self.rng, 1, 100_000))];
        if chunk.is_empty() {
            return;
        }
        let (is_stream, message_bytes) = (self.is_stream, self.message_bytes);
        let taken = self.network.with(node, self.ends[node], |connection, now| match is_stream {
            true => connection.write(now, chunk).map_err(|error| error.to_string()),
            false => {
                // In order: the bytes of all messages, joined, are the data.
                let options = MessageOptions { time_to_live: None, in_order: true };
                let chunk = &chunk[..chunk.len().min(message_bytes)];
                connection.send_message(now, chunk, options).map_ok(|()| chunk.len()).map_err(|error| error.to_string())
            }
        });
        if let Poll::Ready(taken) = taken {
            self.written[node] += taken.expect("the connection is open");
        }
    }

    fn read(&mut self, node: usize) {
        if self.is_stream {
            let max_bytes = skewed(&mut self.rng, 1, 1 << 20);
            let mut chunks = VecDeque::new();
            let _ = self
                .network
                .with(node, self.ends[node], |connection, now| connection.read(now, max_bytes, &mut chunks));
            chunks.into_iter().for_each(|payloads| self.received[node].put(payloads));
            return;
        }
        for _ in 0..skewed(&mut self.rng, 1, 100) {
            match self.network.with(node, self.ends[node], Connection::receive_message) {
                Poll::Ready(Ok(Some(message))) => self.received[node].extend_from_slice(&message),
                _ => return,
            }
        }
    }

    /// One side closes, and the other one hears of it.
    fn close(&mut self) {
        let closer = self.rng.random_range(0..2);
        let (ours, theirs) = (self.ends[closer], self.ends[1 - closer]);
        self.network.with(closer, ours, Connection::close);
        self.network.run_until("the flush", |network| network.nodes[closer].events.contains(&(ours, Event::Flushed)));
        self.network.run_until("the end", |network| {
            let is_end = |event: &(ConnectionHandle, Event)| event.0 == theirs && matches!(event.1, Event::Closed(_));
            network.nodes[1 - closer].events.iter().any(is_end)
        });
    }
}

/// A number whose magnitude is uniform.
fn skewed(rng: &mut StdRng, least: usize, most: usize) -> usize {
    let exponent = rng.random_range((least as f64).ln()..=(most as f64).ln());
    (exponent.exp() as usize).clamp(least, most)
}

fn config(rng: &mut StdRng, is_stream: bool, is_rendezvous: bool) -> Config {
    let mss_bytes = [76, 100, 576, 1280, 1400, 1500, 1500, 9000][rng.random_range(0..8)];
    let isn = match rng.random_range(0..4) {
        0 => None,
        1 => Some(rng.random_range(0..3)),
        _ => Some(0x7FFF_FFFF - skewed(rng, 1, PACKETS_MAX) as u32),
    };
    let max_rate = rng.random_bool(0.2).then(|| rng.random_range(1_000_000..100_000_000));
    Config::builder()
        .socket_type(if is_stream { SocketType::Stream } else { SocketType::Datagram })
        .rendezvous(is_rendezvous)
        .mss_bytes(mss_bytes)
        .initial_seq(isn)
        .max_rate_bits_per_s(max_rate)
        .flow_window_packets(skewed(rng, MIN_WINDOW_PACKETS as usize, 65_536) as u32)
        .receive_buffer_bytes(skewed(rng, 48 << 10, 8 << 20))
        .send_buffer_bytes(skewed(rng, 64 << 10, 8 << 20))
        .build()
        .expect("a valid configuration")
}

fn faults(rng: &mut StdRng) -> Faults {
    let delay = Duration::from_micros(skewed(rng, 20, 150_000) as u64);
    let maybe = |rng: &mut StdRng, most: f64| if rng.random_bool(0.5) { rng.random_range(0.0..most) } else { 0.0 };
    Faults {
        loss: maybe(rng, 0.2),
        duplicate: maybe(rng, 0.1),
        late: maybe(rng, 0.1),
        late_by: delay.mul_f64(rng.random_range(0.1..2.0)),
        filter: if rng.random_bool(0.3) { bursts(rng.random()) } else { Box::new(|_, _| false) },
        delay,
        ..Faults::default()
    }
}

/// Loses a run of datagrams now and then: of no more than keep a silent connection busy for less than its time-out.
fn bursts(seed: u64) -> Filter {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut left = 0;
    Box::new(move |_, _| {
        if left == 0 && rng.random_bool(0.002) {
            left = skewed(&mut rng, 2, 40);
        }
        left = left.saturating_sub(1);
        left > 0
    })
}

/// What each node said: its first number, its window, and the number after the last that its ACKs allow the other.
#[derive(Default)]
struct Said {
    isn: [Seq; 2],
    window: [Option<u32>; 2],
    granted: [Option<Seq>; 2],
}

/// Panics when a packet leaves that the windows in the handshakes and ACKs before it do not allow.
fn within_the_window() -> Tamper {
    let mut said = Said::default();
    Box::new(move |from, datagram| match Packet::decode(datagram).expect("we send only packets") {
        Packet::Data(data) => {
            let seq = data.header.seq;
            let announced = || said.isn[from].add(said.window[1 - from].expect("no data before the handshake"));
            let end = said.granted[1 - from].unwrap_or_else(announced);
            assert!(seq.is_before(end), "{seq:?} of node {from}, allowed before {end:?}");
        }
        Packet::Control(packet) => match packet.control {
            // An induction is echoed, so what is in the answer is not the answerer's.
            Control::Handshake(handshake) if handshake.request != RequestType::Induction => {
                (said.isn[from], said.window[from]) = (handshake.isn, Some(handshake.window_packets));
            }
            Control::Ack(ack) => {
                let end = ack.ack_seq.add(ack.available_packets);
                let announced = said.isn[1 - from].add(said.window[from].expect("no ACK before the handshake"));
                let before = said.granted[from].unwrap_or(announced);
                said.granted[from] = Some(if before.is_before(end) { end } else { before });
            }
            _ => {}
        },
    })
}

fn open(network: &mut Network, configs: [Config; 2], is_rendezvous: bool) -> [ConnectionHandle; 2] {
    let [first, second] = configs;
    if !is_rendezvous {
        let (client, server) = network.establish(first, second);
        return [client, server];
    }
    let ends = [network.connect_from(0, first), network.connect_from(1, second)];
    network.run_until("both", |network| {
        (0..2).all(|node| network.nodes[node].events.contains(&(ends[node], Event::Connected)))
    });
    ends
}
