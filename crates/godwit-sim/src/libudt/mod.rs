//! A model of libudt 4.11's receiver: what a sender of ours meets in the field. Numbers are of the protocol specification.
//!
//! It acknowledges each 10 ms, reports each gap once and at once, never repeats a report, and forgets what it has acknowledged
//! and heard the confirmation of (sections 4.1 to 4.5). It holds any amount of data and has no application: what is
//! acknowledged counts as read.

mod estimators;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_proto::packet::{Control, FullAck, Handshake, LossRange, Packet, RequestType, encode_nak};
use godwit_proto::seq::{AckNumber, Seq};

use crate::agent::Outbox;
use crate::parcel::Load;
use estimators::Estimators;

/// Section 4.2: the period of full ACKs.
const ACK_PERIOD: Duration = Duration::from_millis(10);
/// Section 4.2: packets from one light ACK to the next.
const LIGHT_ACK_PACKETS: u32 = 64;
/// Section 4.3: acknowledgements whose confirmation can still be recognised.
const ACKS_REMEMBERED: usize = 1024;
/// Room for any report of one gap: two words per range.
const NAK_WORDS_MAX: usize = 364;
const SOCKET_ID: u32 = 0x1234_5678;
const COOKIE: u32 = 0x0BAD_CAFE;

/// See the module.
#[derive(Debug)]
pub struct LibudtReceiver {
    window_packets: u32,
    peer_id: u32,
    initial_seq: Option<Seq>,
    /// Indices count from the initial number. One more than the highest that came.
    end: u64,
    missing: BTreeSet<u64>,
    received: u64,
    estimators: Estimators,
    rtt: Duration,
    rtt_var: Duration,
    ack_number: AckNumber,
    sent_acks: VecDeque<(AckNumber, u64, Instant)>,
    acked: u64,
    confirmed: u64,
    last_full_at: Option<Instant>,
    packets_since_full: u32,
    light_acks: u32,
    ack_at: Option<Instant>,
    is_stopped: bool,
}

impl LibudtReceiver {
    /// A listener that lets one client in and announces this window.
    pub fn new(window_packets: u32) -> Self {
        Self {
            window_packets,
            peer_id: 0,
            initial_seq: None,
            end: 0,
            missing: BTreeSet::new(),
            received: 0,
            estimators: Estimators::new(),
            // Section 3.3: before anything is measured.
            rtt: ACK_PERIOD * 10,
            rtt_var: ACK_PERIOD * 5,
            ack_number: AckNumber::FIRST,
            sent_acks: VecDeque::new(),
            acked: 0,
            confirmed: 0,
            last_full_at: None,
            packets_since_full: 0,
            light_acks: 0,
            ack_at: None,
            is_stopped: false,
        }
    }

    /// A datagram arrives.
    pub fn deliver(&mut self, now: Instant, datagram: &Bytes, out: &mut Outbox) {
        if self.is_stopped {
            return;
        }
        match Packet::decode(datagram) {
            Ok(Packet::Data(data)) => self.on_data(now, data.header.seq, out),
            Ok(Packet::Control(packet)) => match packet.control {
                Control::Handshake(handshake) => self.on_handshake(now, &handshake, out),
                Control::Ack2 { number } => self.on_ack2(now, number),
                // 0x7FFF and all unknown types are ignored: no HELLO is ever answered.
                _ => {}
            },
            Err(_) => {}
        }
    }

    /// The ACK timer has run out.
    pub fn wake(&mut self, now: Instant, out: &mut Outbox) {
        self.packets_since_full = 0;
        self.light_acks = 0;
        self.ack_at = Some(now + ACK_PERIOD);
        let position = self.position();
        if position == self.confirmed {
            return;
        }
        let is_repeat = position <= self.acked;
        let is_recent = self.last_full_at.is_some_and(|at| now - at < self.rtt + self.rtt_var * 4);
        if is_repeat && is_recent {
            return;
        }
        self.acked = self.acked.max(position);
        let number = self.ack_number;
        self.ack_number = number.next();
        self.sent_acks.push_back((number, position, now));
        if self.sent_acks.len() > ACKS_REMEMBERED {
            self.sent_acks.pop_front();
        }
        self.last_full_at = Some(now);
        let ack = FullAck {
            number,
            ack_seq: self.seq_of(position),
            rtt_us: self.rtt.as_micros() as u32,
            rtt_var_us: self.rtt_var.as_micros() as u32,
            available_packets: self.window_packets,
            rates: Some(self.estimators.rates()),
            tail: &[],
        };
        self.send(Control::Ack(ack), out);
    }

    /// When to call [`wake`](Self::wake).
    pub fn next_wake(&self) -> Option<Instant> {
        self.ack_at.filter(|_| !self.is_stopped)
    }

    /// Falls silent.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Data packets received, each counted once.
    pub fn received_packets(&self) -> u64 {
        self.received
    }

    fn on_handshake(&mut self, now: Instant, request: &Handshake, out: &mut Outbox) {
        let mut answer = *request;
        if request.request == RequestType::Induction {
            answer.cookie = COOKIE;
        } else {
            self.peer_id = request.socket_id;
            self.initial_seq.get_or_insert(request.isn);
            self.ack_at.get_or_insert(now + ACK_PERIOD);
            answer.window_packets = self.window_packets;
            answer.socket_id = SOCKET_ID;
        }
        let mut datagram = Vec::new();
        Control::Handshake(answer).encode(0, request.socket_id, &mut datagram);
        out.packets.push(Load::Datagram(Bytes::from(datagram)));
    }

    fn on_data(&mut self, now: Instant, seq: Seq, out: &mut Outbox) {
        let Some(initial_seq) = self.initial_seq else { return };
        self.estimators.on_arrival(now, seq);
        self.packets_since_full += 1;
        let index = self.end as i64 + i64::from(initial_seq.add(self.end as u32).offset_to(seq));
        let Ok(index) = u64::try_from(index) else { return };
        if index >= self.end {
            if index >= self.acked + u64::from(self.window_packets) {
                return;
            }
            if index > self.end {
                self.missing.extend(self.end..index);
                self.report(self.end, index - 1, out);
            }
            self.end = index + 1;
            self.received += 1;
        } else if self.missing.remove(&index) {
            self.received += 1;
        }
        if self.packets_since_full >= LIGHT_ACK_PACKETS * (self.light_acks + 1) && self.position() != self.confirmed {
            self.light_acks += 1;
            self.send(Control::LightAck { ack_seq: self.seq_of(self.position()) }, out);
        }
    }

    fn on_ack2(&mut self, now: Instant, number: AckNumber) {
        let Some(place) = self.sent_acks.iter().position(|sent| sent.0 == number) else { return };
        let (_, position, at) = self.sent_acks[place];
        self.sent_acks.drain(..=place);
        let rtt = now - at;
        let deviation = rtt.abs_diff(self.rtt);
        self.rtt_var = (self.rtt_var * 3 + deviation) / 4;
        self.rtt = (self.rtt * 7 + rtt) / 8;
        self.confirmed = self.confirmed.max(position);
    }

    fn report(&mut self, first: u64, last: u64, out: &mut Outbox) {
        let range = LossRange { first: self.seq_of(first), last: self.seq_of(last) };
        let mut datagram = Vec::new();
        encode_nak([range], NAK_WORDS_MAX, 0, self.peer_id, &mut datagram);
        out.packets.push(Load::Datagram(Bytes::from(datagram)));
    }

    fn send(&self, control: Control<'_>, out: &mut Outbox) {
        let mut datagram = Vec::new();
        control.encode(0, self.peer_id, &mut datagram);
        out.packets.push(Load::Datagram(Bytes::from(datagram)));
    }

    fn position(&self) -> u64 {
        self.missing.first().copied().unwrap_or(self.end)
    }

    fn seq_of(&self, index: u64) -> Seq {
        self.initial_seq.unwrap_or_default().add(index as u32)
    }
}
