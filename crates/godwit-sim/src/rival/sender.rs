//! A TCP sender that always has data: what is in flight, what is lost, when to send. The window comes from its brain.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Acked, Brain, RivalKind};
use crate::agent::{Gauges, Outbox};
use crate::parcel::{Load, Segment, SegmentAck};

/// A segment is lost when one that left this many after it has arrived (RFC 5681).
const REORDER_SEGMENTS: u64 = 3;
/// Linux' least retransmission timeout.
const TIMEOUT_MIN_S: f64 = 0.2;
const TIMEOUT_MAX_S: f64 = 60.0;
/// A late turn may be made good for this long.
const CREDIT: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Acknowledged,
    Lost,
}

/// One transmission, with what its acknowledgement will be compared with.
#[derive(Clone, Copy, Debug)]
struct Flight {
    sent: Instant,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    state: State,
}

/// See the module.
#[derive(Debug)]
pub struct TcpSender {
    brain: Brain,
    flights: VecDeque<Flight>,
    /// Number of the first of them, of the next segment, and the highest acknowledged plus one.
    first: u64,
    next: u64,
    highest: u64,
    in_flight: u64,
    lost_total: u64,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    srtt_s: f64,
    rtt_var_s: f64,
    has_rtt: bool,
    pace_at: Instant,
    timeout_at: Option<Instant>,
    timeouts: u32,
    is_stopped: bool,
}

impl TcpSender {
    /// A sender that begins at its first [`wake`](Self::wake). The handshake is left out.
    pub fn new(now: Instant, kind: RivalKind, seed: u64) -> Self {
        Self {
            brain: Brain::new(kind, seed),
            flights: VecDeque::new(),
            first: 0,
            next: 0,
            highest: 0,
            in_flight: 0,
            lost_total: 0,
            delivered: 0,
            delivered_at: now,
            first_sent: now,
            srtt_s: 0.1,
            rtt_var_s: 0.05,
            has_rtt: false,
            pace_at: now,
            timeout_at: None,
            timeouts: 0,
            is_stopped: false,
        }
    }

    /// An acknowledgement arrives.
    pub fn on_ack(&mut self, now: Instant, ack: &SegmentAck, out: &mut Outbox) {
        let mut newest: Option<Flight> = None;
        let mut newly = 0;
        for &(start, end) in &ack.ranges {
            for number in start.max(self.first)..end.min(self.next) {
                let flight = &mut self.flights[(number - self.first) as usize];
                if flight.state == State::Acknowledged {
                    continue;
                }
                self.in_flight -= u64::from(flight.state == State::InFlight);
                flight.state = State::Acknowledged;
                newly += 1;
                if newest.is_none_or(|newest| flight.sent >= newest.sent) {
                    newest = Some(*flight);
                }
                self.highest = self.highest.max(number + 1);
            }
        }
        let Some(newest) = newest else { return };
        self.delivered += newly;
        self.delivered_at = now;
        self.first_sent = self.first_sent.max(newest.sent);
        self.timeouts = 0;
        let rtt_s = (now - newest.sent).as_secs_f64();
        self.on_rtt(rtt_s);
        let (lost, first_lost) = self.find_lost();
        let interval = (newest.sent - newest.first_sent).max(now - newest.delivered_at).as_secs_f64();
        let rate = (interval > 0.0).then(|| (self.delivered - newest.delivered) as f64 / interval);
        self.brain.on_ack(&Acked {
            now,
            newly,
            lost,
            delivered: self.delivered,
            rtt_s: Some(rtt_s),
            srtt_s: self.srtt_s,
            rate,
            prior_delivered: newest.delivered,
            in_flight: self.in_flight,
            first_lost,
            next: self.next,
        });
        self.release();
        self.arm_timeout(now);
        self.send(now, out);
    }

    /// Something is due.
    pub fn wake(&mut self, now: Instant, out: &mut Outbox) {
        if self.timeout_at.is_some_and(|at| at <= now) {
            for flight in &mut self.flights {
                if flight.state == State::InFlight {
                    flight.state = State::Lost;
                    self.lost_total += 1;
                }
            }
            self.in_flight = 0;
            self.timeouts += 1;
            self.brain.on_timeout();
            self.release();
            self.timeout_at = None;
        }
        self.send(now, out);
    }

    /// When to call [`wake`](Self::wake).
    pub fn next_wake(&self) -> Option<Instant> {
        let pace_at = (!self.is_stopped && self.has_window()).then_some(self.pace_at);
        [pace_at, self.timeout_at].into_iter().flatten().min()
    }

    /// Sends nothing any more.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        self.timeout_at = None;
    }

    /// The sender in numbers. Each loss led to a retransmission.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            rtt: Duration::from_secs_f64(self.srtt_s),
            window_packets: self.brain.window() as u32,
            in_flight_packets: self.in_flight as u32,
            pace_packets_per_s: self.brain.pace(self.srtt_s),
            sent_packets: self.next,
            retransmitted_packets: self.lost_total,
            spurious_packets: 0,
        }
    }

    fn has_window(&self) -> bool {
        (self.in_flight as f64) < self.brain.window().floor().max(1.0)
    }

    fn send(&mut self, now: Instant, out: &mut Outbox) {
        if self.is_stopped {
            return;
        }
        self.pace_at = self.pace_at.max(now.checked_sub(CREDIT).unwrap_or(now));
        while self.has_window() && self.pace_at <= now {
            if self.in_flight == 0 {
                self.first_sent = now;
                self.delivered_at = now;
            }
            self.flights.push_back(Flight {
                sent: now,
                delivered: self.delivered,
                delivered_at: self.delivered_at,
                first_sent: self.first_sent,
                state: State::InFlight,
            });
            out.packets.push(Load::Segment(Segment { number: self.next }));
            self.next += 1;
            self.in_flight += 1;
            self.pace_at += Duration::from_secs_f64(1.0 / self.brain.pace(self.srtt_s).max(1.0));
            if self.timeout_at.is_none() {
                self.arm_timeout(now);
            }
        }
    }

    fn find_lost(&mut self) -> (u64, Option<u64>) {
        let (mut lost, mut first_lost) = (0, None);
        let end = self.highest.saturating_sub(REORDER_SEGMENTS).max(self.first);
        for (offset, flight) in self.flights.range_mut(..(end - self.first) as usize).enumerate() {
            if flight.state == State::InFlight {
                flight.state = State::Lost;
                self.in_flight -= 1;
                lost += 1;
                first_lost.get_or_insert(self.first + offset as u64);
            }
        }
        self.lost_total += lost;
        (lost, first_lost)
    }

    /// Forgets what needs no memory any more.
    fn release(&mut self) {
        while self.flights.front().is_some_and(|flight| flight.state != State::InFlight) {
            self.flights.pop_front();
            self.first += 1;
        }
    }

    fn on_rtt(&mut self, rtt_s: f64) {
        if !self.has_rtt {
            (self.has_rtt, self.srtt_s, self.rtt_var_s) = (true, rtt_s, rtt_s / 2.0);
        }
        // RFC 6298, per acknowledgement.
        self.rtt_var_s += ((self.srtt_s - rtt_s).abs() - self.rtt_var_s) / 4.0;
        self.srtt_s += (rtt_s - self.srtt_s) / 8.0;
    }

    fn arm_timeout(&mut self, now: Instant) {
        let base = (self.srtt_s + (4.0 * self.rtt_var_s).max(TIMEOUT_MIN_S)) * f64::from(1 << self.timeouts.min(6));
        let first = if self.has_rtt { base } else { 1.0 };
        self.timeout_at = (self.in_flight > 0).then(|| now + Duration::from_secs_f64(first.min(TIMEOUT_MAX_S)));
    }
}
