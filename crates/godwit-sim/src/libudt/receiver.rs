//! The receiver: it acknowledges each 10 ms, reports each gap once and at once, and never repeats a report (sections 4.1 to 4.5).
//!
//! It holds any amount of data and has no application: what is acknowledged counts as read.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_proto::packet::{Control, FullAck, Handshake, LossRange, Packet, RequestType, encode_nak};
use godwit_proto::seq::{AckNumber, Seq};

use super::estimators::Estimators;
use super::{PAYLOAD_BYTES, POLL_PERIOD, SOCKET_ID, SYN};
use crate::agent::Outbox;
use crate::parcel::Load;

/// Section 4.2: packets from one light ACK to the next.
const LIGHT_ACK_PACKETS: u32 = 64;
/// Section 4.3: acknowledgements whose confirmation can still be recognised.
const ACKS_REMEMBERED: usize = 1024;
/// Room for any report of one gap: two words per range.
const NAK_WORDS_MAX: usize = 364;
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
    /// When the ACK timer runs out, and when it was looked at last.
    ack_due: Option<Instant>,
    polled_at: Option<Instant>,
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
            rtt: SYN * 10,
            rtt_var: SYN * 5,
            ack_number: AckNumber::FIRST,
            sent_acks: VecDeque::new(),
            acked: 0,
            confirmed: 0,
            last_full_at: None,
            packets_since_full: 0,
            light_acks: 0,
            ack_due: None,
            polled_at: None,
            is_stopped: false,
        }
    }

    /// A datagram arrives.
    pub fn deliver(&mut self, now: Instant, datagram: &Bytes, out: &mut Outbox) {
        if self.is_stopped {
            return;
        }
        match Packet::decode(datagram) {
            Ok(Packet::Data(data)) => self.on_data(now, data.header.seq, data.payload.len(), out),
            Ok(Packet::Control(packet)) => match packet.control {
                Control::Handshake(handshake) => self.on_handshake(now, &handshake, out),
                Control::Ack2 { number } => self.on_ack2(now, number),
                // 0x7FFF and all unknown types are ignored: no HELLO is ever answered.
                _ => {}
            },
            Err(_) => {}
        }
        self.wake(now, out);
    }

    /// The timers are looked at.
    pub fn wake(&mut self, now: Instant, out: &mut Outbox) {
        self.polled_at = Some(now);
        if self.ack_due.is_some_and(|due| due <= now) {
            self.ack_due = Some(now + SYN);
            self.packets_since_full = 0;
            self.light_acks = 0;
            self.acknowledge(now, out);
        }
    }

    /// When to call [`wake`](Self::wake).
    pub fn next_wake(&self) -> Option<Instant> {
        let polled_at = self.polled_at.filter(|_| !self.is_stopped)?;
        self.ack_due.map(|due| due.max(polled_at + POLL_PERIOD))
    }

    /// Falls silent.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Data packets received, each counted once.
    pub fn received_packets(&self) -> u64 {
        self.received
    }

    /// A full ACK, if the sender does not know the position yet.
    fn acknowledge(&mut self, now: Instant, out: &mut Outbox) {
        let position = self.position();
        let is_recent = self.last_full_at.is_some_and(|at| now - at < self.rtt + self.rtt_var * 4);
        if position == self.confirmed || (position <= self.acked && is_recent) {
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

    fn on_handshake(&mut self, now: Instant, request: &Handshake, out: &mut Outbox) {
        let mut answer = *request;
        if request.request == RequestType::Induction {
            answer.cookie = COOKIE;
        } else {
            self.peer_id = request.socket_id;
            self.initial_seq.get_or_insert(request.isn);
            self.ack_due.get_or_insert(now + SYN);
            answer.window_packets = self.window_packets;
            answer.socket_id = SOCKET_ID;
        }
        let mut datagram = Vec::new();
        Control::Handshake(answer).encode(0, request.socket_id, &mut datagram);
        out.packets.push(Load::Datagram(Bytes::from(datagram)));
    }

    fn on_data(&mut self, now: Instant, seq: Seq, payload_bytes: usize, out: &mut Outbox) {
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
        if payload_bytes != PAYLOAD_BYTES {
            // Section 4.1, rule 5.
            self.ack_due = Some(now);
        } else if self.packets_since_full >= LIGHT_ACK_PACKETS * (self.light_acks + 1)
            && self.position() != self.confirmed
        {
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
