//! A peer, or somebody in its name, that sends anything: nothing panics, memory stays bounded, and the transfer that
//! goes on meanwhile completes.
//!
//! UDT has no authentication, so some packets do end a connection or spoil its bytes: a shutdown, data within the window, an
//! acknowledgement of what has not arrived. Everything else is drawn here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::network::{Faults, Network, noise};
use super::puppet::{encoded, nak_bytes, peer_handshake};
use crate::packet::{
    AckRates, Control, DataHeader, FullAck, Handshake, LossReport, MessagePosition, Packet, RequestType, SocketType,
};
use crate::seq::{AckNumber, MsgNumber, Seq};
use crate::{Config, Connection, ConnectionHandle};

/// Hostile packets per transfer: far more than honest ones.
const ATTACKS: u32 = 3000;
const BYTES: usize = 150_000;
const RECEIVE_BUFFER_BYTES: usize = 128 << 10;
const SEND_BUFFER_BYTES: usize = 256 << 10;
/// Genuine datagrams that can be played again.
const RECORDED: usize = 64;

/// What somebody who listens in knows of one direction.
#[derive(Default)]
struct Direction {
    recorded: VecDeque<Vec<u8>>,
    /// The newest packet, and the newest acknowledgement from the other side.
    highest: Option<Seq>,
    acked: Option<Seq>,
}

#[derive(Default)]
struct Seen([Direction; 2]);

impl Seen {
    fn note(&mut self, from: usize, datagram: &[u8]) {
        match Packet::decode(datagram) {
            Ok(Packet::Data(data)) => {
                let highest = &mut self.0[from].highest;
                *highest = highest.filter(|seq| !seq.is_before(data.header.seq)).or(Some(data.header.seq));
            }
            Ok(Packet::Control(packet)) => match packet.control {
                Control::Ack(FullAck { ack_seq, .. }) | Control::LightAck { ack_seq } => {
                    self.0[1 - from].acked = Some(ack_seq);
                }
                Control::Shutdown { .. } => return,
                _ => {}
            },
            Err(_) => {}
        }
        let recorded = &mut self.0[from].recorded;
        recorded.push_back(datagram.to_vec());
        if recorded.len() > RECORDED {
            recorded.pop_front();
        }
    }
}

/// A datagram for the connection `id` of node `to`.
fn attack(rng: &mut StdRng, seen: &Seen, to: usize, id: u32) -> Vec<u8> {
    // What the victim sends, and what it receives.
    let (sends, receives) = (&seen.0[to], &seen.0[1 - to]);
    let acked = sends.acked.unwrap_or_default();
    let beyond = sends.highest.unwrap_or(acked).add(2 + rng.random_range(0..1 << 20));
    let old = acked.sub(rng.random_range(0..2000));
    let word = rng.random::<u32>();
    let control = match rng.random_range(0..16) {
        0 => return random_bytes(rng, id),
        1 => return receives.recorded.get(rng.random_range(0..RECORDED)).cloned().unwrap_or_default(),
        2 => return random_control(rng, id),
        3 => full_ack(rng, old),
        4 => full_ack(rng, beyond),
        5 => Control::LightAck { ack_seq: if word & 1 == 0 { old } else { beyond } },
        6 | 7 => return random_nak(rng, sends, id),
        8 => Control::Ack2 { number: AckNumber::new(if word & 1 == 0 { word } else { word % 500 }) },
        9 => {
            let first = receives.highest.unwrap_or_default().sub(rng.random_range(0..40));
            Control::MessageDrop { message: MsgNumber::new(word), first, last: first.add(rng.random_range(0..100)) }
        }
        10 => return encoded(&Control::Handshake(random_handshake(rng)), id),
        11 => Control::User { extended_type: 0x6764, info: word, body: &[0, 0, 0, 0, 0, 0, 0, 1] },
        12 => Control::PeerError { code: word },
        13 => Control::CongestionWarning,
        14 => return data(receives.highest.unwrap_or_default().sub(5000 + word % 100_000), id, b"old"),
        _ => return data(receives.highest.unwrap_or_default().add(word % 10), id, b""),
    };
    encoded(&control, id)
}

fn full_ack(rng: &mut StdRng, ack_seq: Seq) -> Control<'static> {
    let rates = AckRates { arrival_speed_packets_per_s: rng.random(), link_capacity_packets_per_s: rng.random() };
    Control::Ack(FullAck {
        number: AckNumber::new(rng.random()),
        ack_seq,
        rtt_us: rng.random(),
        rtt_var_us: rng.random(),
        available_packets: if rng.random() { rng.random_range(0..4) } else { rng.random() },
        rates: rng.random::<bool>().then_some(rates),
        tail: &[],
    })
}

/// Any NAK: most entries name packets that are in flight.
fn random_nak(rng: &mut StdRng, sends: &Direction, id: u32) -> Vec<u8> {
    let words = rng.random_range(1..20);
    let base = sends.acked.unwrap_or_default();
    let near = |rng: &mut StdRng| base.sub(20).add(rng.random_range(0..200)).value();
    let words: Vec<u32> = (0..words)
        .map(|_| match rng.random_range(0..8) {
            0 => rng.random(),
            1 | 2 => near(rng) | 1 << 31,
            _ => near(rng),
        })
        .collect();
    let bytes = nak_bytes(&words);
    encoded(&Control::Nak(LossReport::decode(&bytes).expect("at least a word")), id)
}

fn random_handshake(rng: &mut StdRng) -> Handshake {
    let request = [0, 1, -1, -2, 1002, 7][rng.random_range(0..6)];
    Handshake {
        version: rng.random_range(0..6),
        socket_type: SocketType(rng.random_range(0..4)),
        isn: Seq::new(rng.random()),
        mss_bytes: rng.random(),
        window_packets: rng.random(),
        request: RequestType::from_wire(request),
        cookie: rng.random(),
        ..peer_handshake()
    }
}

/// Any type but a shutdown, with anything behind it. An ACK is of no length that could mean something.
fn random_control(rng: &mut StdRng, id: u32) -> Vec<u8> {
    let kind = [0, 1, 2, 3, 4, 6, 7, 8, 9, 0x7FFF][rng.random_range(0..10)];
    let length = if kind == 2 { 5 + rng.random_range(0..11) } else { rng.random_range(0..80) };
    let header: [u32; 4] = [1 << 31 | kind << 16 | rng.random_range(0..1 << 16), rng.random(), rng.random(), id];
    let mut datagram: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    datagram.extend((0..length).map(|_| rng.random::<u8>()));
    datagram
}

/// Anything that is no shutdown and no data within the window.
fn random_bytes(rng: &mut StdRng, id: u32) -> Vec<u8> {
    let mut datagram: Vec<u8> = (0..rng.random_range(0..200)).map(|_| rng.random()).collect();
    if let Some(destination) = datagram.get_mut(12..16) {
        destination.copy_from_slice(&id.to_be_bytes());
        datagram[0] |= 0xC0;
    }
    datagram
}

fn data(seq: Seq, destination: u32, payload: &[u8]) -> Vec<u8> {
    let (position, message) = (MessagePosition::Solo, MsgNumber::FIRST);
    let mut datagram = vec![0; 16];
    DataHeader { seq, position, in_order: true, message, timestamp_us: 0, destination }.encode(&mut datagram);
    datagram.extend_from_slice(payload);
    datagram
}

fn config(initial_seq: u32) -> Config {
    let builder = Config::builder().flow_window_packets(500).initial_seq(Some(initial_seq));
    let builder = builder.receive_buffer_bytes(RECEIVE_BUFFER_BYTES).send_buffer_bytes(SEND_BUFFER_BYTES);
    builder.build().expect("a valid configuration")
}

fn assert_bounded(network: &mut Network, ends: [ConnectionHandle; 2]) {
    let now = network.now;
    for (node, handle) in ends.into_iter().enumerate() {
        let stats = network.connection(node, handle).stats(now);
        assert!(stats.receive_buffer_used_bytes <= RECEIVE_BUFFER_BYTES + 3000, "{stats:?}");
        assert!(stats.send_buffer_used_bytes <= SEND_BUFFER_BYTES + (64 << 10), "{stats:?}");
    }
}

/// Sends `BYTES` from node 0 to node 1 while both are attacked.
fn transfer_under_attack(seed: u8) {
    let mut rng = StdRng::seed_from_u64(seed.into());
    let seen = Rc::new(RefCell::new(Seen::default()));
    let recorder = Rc::clone(&seen);
    let faults = Faults {
        loss: 0.01,
        delay: Duration::from_millis(rng.random_range(0..30)),
        tamper: Box::new(move |from, datagram| recorder.borrow_mut().note(from, datagram)),
        ..Faults::default()
    };
    let mut network = Network::new(seed, faults);
    let isn = 0x7FFF_FFFF - rng.random_range(0..50);
    let (client, server) = network.establish(config(isn), config(isn));
    let (sent, mut received, mut written, mut attacks) = (noise(BYTES), Vec::new(), 0, 0);
    while received.len() < BYTES {
        if let Poll::Ready(taken) = network.with(0, client, |connection, now| connection.write(now, &sent[written..])) {
            written += taken.expect("nothing ended the connection");
        }
        for _ in 0..rng.random_range(0..4) {
            attacks += 1;
            let to = rng.random_range(0..2);
            let id = [client, server][to].id();
            if attacks <= ATTACKS {
                network.inject(to, attack(&mut rng, &seen.borrow(), to, id));
            }
        }
        assert!(network.step(network.now + Duration::from_secs(1000)), "it hangs at {} bytes", received.len());
        if rng.random_bool(0.3) || attacks > ATTACKS {
            let _ = network.read(1, server, &mut received);
        }
        assert_bounded(&mut network, [client, server]);
    }
    assert!(received == sent, "other bytes");
    network.with(0, client, Connection::close);
    network.run_for(Duration::from_secs(200));
    assert!(network.connection(0, client).is_drained());
}

#[test]
fn a_transfer_survives_whatever_is_sent_to_both_ends() {
    for seed in 0..24 {
        // Shown only if it fails.
        eprintln!("seed {seed}");
        transfer_under_attack(seed);
    }
}

/// While a connection is being opened nothing but the right handshake opens it.
#[test]
fn nothing_but_a_handshake_opens_a_connection() {
    let seen = Seen::default();
    for seed in 0..50 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut puppet = super::puppet::Puppet::connecting(Config::default());
        puppet.drain();
        let id = puppet.connection.id();
        for _ in 0..200 {
            let datagram = attack(&mut rng, &seen, 0, id);
            let is_handshake = matches!(datagram.get(..2), Some([0x80, 0]));
            if !is_handshake && !datagram.is_empty() {
                puppet.receive_datagram(&datagram);
            }
        }
        assert!(puppet.events.is_empty() && puppet.connection.is_connecting(), "seed {seed}: {:?}", puppet.events);
    }
}
