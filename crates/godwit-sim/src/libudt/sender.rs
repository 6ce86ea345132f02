//! The sender: an endless stream, repaired only as NAKs and the EXP timer say (sections 3.1 to 3.5). Its clock is perfect, which the
//! real one's is not: that works in bursts of some milliseconds.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use godwit_proto::packet::{
    Control, DataHeader, HEADER_BYTES, Handshake, MessagePosition, Packet, RequestType, SocketType,
};
use godwit_proto::seq::{MsgNumber, Seq};

use super::congestion::Congestion;
use super::{PAYLOAD_BYTES, POLL_PERIOD, SOCKET_ID, SYN};
use crate::agent::{Gauges, Outbox};
use crate::content;
use crate::parcel::Load;

/// Section 3.5: the least EXP period, and how many of them break the connection.
const EXP_MIN: Duration = Duration::from_millis(300);
/// Section 2.4: a request is repeated after this time.
const REQUEST_REPEAT: Duration = Duration::from_millis(250);
/// Section 3.2: after these numbers the next packet follows at once.
const PAIR_EVERY: u32 = 16;

/// See the module.
#[derive(Debug)]
pub struct LibudtSender {
    request: Handshake,
    is_connected: bool,
    request_at: Option<Instant>,
    peer_id: u32,
    started: Instant,
    congestion: Congestion,
    /// Indices from the first packet: first without a full ACK, highest in any ACK, next new one, end of the flow window.
    una: u64,
    acked: u64,
    next: u64,
    window_end: u64,
    lost: BTreeSet<u64>,
    send_at: Option<Instant>,
    rtt: Duration,
    rtt_var: Duration,
    heard_at: Instant,
    polled_at: Instant,
    exp_count: u32,
    sent: u64,
    retransmitted: u64,
    first_data_at: Option<Instant>,
    is_stopped: bool,
}

impl LibudtSender {
    /// A client that connects at its first [`wake`](Self::wake), with this window of its own.
    pub fn new(now: Instant, window_packets: u32, initial_seq: u32, seed: u64) -> Self {
        let request = Handshake {
            version: Handshake::VERSION,
            socket_type: SocketType::STREAM,
            isn: Seq::new(initial_seq),
            mss_bytes: (PAYLOAD_BYTES + 44) as u32,
            window_packets,
            request: RequestType::Induction,
            socket_id: SOCKET_ID,
            cookie: 0,
            peer_ip: [0; 4],
        };
        Self {
            request,
            is_connected: false,
            request_at: Some(now),
            peer_id: 0,
            started: now,
            congestion: Congestion::new(window_packets, seed),
            una: 0,
            acked: 0,
            next: 0,
            window_end: 0,
            lost: BTreeSet::new(),
            send_at: None,
            rtt: SYN * 10,
            rtt_var: SYN * 5,
            heard_at: now,
            polled_at: now,
            exp_count: 1,
            sent: 0,
            retransmitted: 0,
            first_data_at: None,
            is_stopped: false,
        }
    }

    /// A datagram arrives.
    pub fn deliver(&mut self, now: Instant, datagram: &Bytes, out: &mut Outbox) {
        if self.is_stopped {
            return;
        }
        (self.heard_at, self.polled_at, self.exp_count) = (now, now, 1);
        if let Ok(Packet::Control(packet)) = Packet::decode(datagram) {
            match packet.control {
                Control::Handshake(handshake) => self.on_handshake(now, &handshake, out),
                Control::Ack(ack) => {
                    let index = self.index_of(ack.ack_seq);
                    self.send_control(Control::Ack2 { number: ack.number }, out);
                    if index >= self.acked {
                        self.acked = index;
                        self.window_end = index + u64::from(ack.available_packets);
                    }
                    if index > self.una {
                        self.release(now, index, Duration::from_micros(ack.rtt_us.into()));
                        self.congestion.on_ack(now, index, ack.rates, self.rtt);
                    }
                }
                Control::LightAck { ack_seq } => self.acked = self.acked.max(self.index_of(ack_seq)),
                Control::Nak(report) => self.on_nak(now, report.ranges().map(|range| (range.first, range.last))),
                _ => {}
            }
        }
        self.send(now, out);
    }

    /// Something is due.
    pub fn wake(&mut self, now: Instant, out: &mut Outbox) {
        if self.is_stopped {
            return;
        }
        if self.request_at.is_some_and(|at| at <= now) {
            self.request_at = Some(now + REQUEST_REPEAT);
            self.send_request(out);
        }
        self.send(now, out);
        if self.exp_at().is_some_and(|at| at <= now) {
            self.on_exp(now);
            self.send(now, out);
        }
    }

    /// When to call [`wake`](Self::wake).
    pub fn next_wake(&self) -> Option<Instant> {
        if self.is_stopped {
            return None;
        }
        [self.request_at, self.send_at, self.exp_at()].into_iter().flatten().min()
    }

    /// Falls silent.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// The sender in numbers.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            rtt: self.rtt,
            window_packets: self.congestion.window as u32,
            in_flight_packets: (self.next - self.acked) as u32,
            pace_packets_per_s: 1e6 / self.congestion.period_us,
            sent_packets: self.sent,
            retransmitted_packets: self.retransmitted,
            spurious_packets: 0,
        }
    }

    /// When the first data packet left.
    pub fn first_data_at(&self) -> Option<Instant> {
        self.first_data_at
    }

    fn on_handshake(&mut self, now: Instant, answer: &Handshake, out: &mut Outbox) {
        if self.is_connected {
            return;
        }
        if answer.request == RequestType::Induction {
            self.request.request = RequestType::Conclusion;
            self.request.cookie = answer.cookie;
            self.request_at = Some(now + REQUEST_REPEAT);
            self.send_request(out);
        } else {
            self.is_connected = true;
            self.request_at = None;
            self.peer_id = answer.socket_id;
            self.window_end = answer.window_packets.into();
            self.send_at = Some(now);
        }
    }

    fn release(&mut self, now: Instant, index: u64, rtt: Duration) {
        self.una = index;
        self.lost = self.lost.split_off(&index);
        self.rtt_var = (self.rtt_var * 3 + rtt.abs_diff(self.rtt)) / 4;
        self.rtt = (self.rtt * 7 + rtt) / 8;
        self.send_at = Some(self.send_at.unwrap_or(now));
    }

    fn on_nak(&mut self, now: Instant, ranges: impl Iterator<Item = (Seq, Seq)>) {
        let mut is_first = true;
        for (first, last) in ranges {
            let (first, last) = (self.index_of(first), self.index_of(last));
            if std::mem::take(&mut is_first) {
                self.congestion.on_nak(first, self.next);
            }
            self.lost.extend(first.max(self.acked)..(last + 1).min(self.next));
        }
        self.send_at = Some(now);
    }

    /// Section 3.5: silence puts everything on the loss list.
    fn on_exp(&mut self, now: Instant) {
        if self.una < self.next {
            if self.lost.is_empty() {
                self.lost.extend(self.acked..self.next);
            }
            self.congestion.on_timeout();
            self.send_at = Some(now);
        }
        self.exp_count += 1;
        (self.heard_at, self.polled_at) = (now, now);
    }

    fn exp_at(&self) -> Option<Instant> {
        let by_rtt = (self.rtt + self.rtt_var * 4) * self.exp_count + SYN;
        let due = self.heard_at + by_rtt.max(EXP_MIN * self.exp_count);
        self.is_connected.then(|| due.max(self.polled_at + POLL_PERIOD))
    }

    /// Sends what is due by now, one packet per slot.
    fn send(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(at) = self.send_at.filter(|&at| self.is_connected && at <= now) {
            let period = Duration::from_secs_f64(self.congestion.period_us * 1e-6);
            let window_end = self.window_end.min(self.acked + self.congestion.window as u64);
            if let Some(index) = self.lost.pop_first() {
                self.retransmitted += 1;
                self.send_data(now, index, out);
                self.send_at = Some(at + period);
            } else if self.next < window_end {
                self.next += 1;
                self.first_data_at.get_or_insert(now);
                let seq = self.send_data(now, self.next - 1, out);
                let is_pair = seq.value().is_multiple_of(PAIR_EVERY);
                self.send_at = Some(if is_pair { at } else { at + period });
            } else {
                // It comes back with an ACK that releases something, a NAK, or EXP.
                self.send_at = None;
            }
        }
    }

    fn send_data(&mut self, now: Instant, index: u64, out: &mut Outbox) -> Seq {
        let seq = self.request.isn.add(index as u32);
        let header = DataHeader {
            seq,
            position: MessagePosition::Solo,
            in_order: true,
            message: MsgNumber::FIRST,
            timestamp_us: (now - self.started).as_micros() as u32,
            destination: self.peer_id,
        };
        let mut datagram = vec![0; HEADER_BYTES + PAYLOAD_BYTES];
        header.encode(&mut datagram);
        datagram[HEADER_BYTES..].copy_from_slice(content::at(index * PAYLOAD_BYTES as u64, PAYLOAD_BYTES));
        out.packets.push(Load::Datagram(Bytes::from(datagram)));
        self.sent += 1;
        seq
    }

    fn send_request(&self, out: &mut Outbox) {
        let mut datagram = Vec::new();
        Control::Handshake(self.request).encode(0, 0, &mut datagram);
        out.packets.push(Load::Datagram(Bytes::from(datagram)));
    }

    fn send_control(&self, control: Control<'_>, out: &mut Outbox) {
        let mut datagram = Vec::new();
        control.encode(0, self.peer_id, &mut datagram);
        out.packets.push(Load::Datagram(Bytes::from(datagram)));
    }

    /// Numbers before the first packet count as it.
    fn index_of(&self, seq: Seq) -> u64 {
        let una = self.request.isn.add(self.una as u32);
        u64::try_from(self.una as i64 + i64::from(una.offset_to(seq))).unwrap_or(0)
    }
}
