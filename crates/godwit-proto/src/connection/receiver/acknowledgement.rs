//! When the sender is told what has arrived, and what it is told.

use std::time::{Duration, Instant};

use super::{ACK_INTERVAL, Receiver};
use crate::connection::ack_tail::AckTail;
use crate::connection::receive_buffer::WINDOW_PACKETS_MIN;
use crate::connection::receive_window::Seen;
use crate::connection::rtt::RttEstimator;
use crate::packet::FullAck;

/// Between our own ends an eighth of the RTT is enough, if that is shorter; not below this. Deviation 53.
const ACK_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// How much longer a full ACK waits: a libudt sender ignores, for its rate, one that comes within 10 ms after the last that it
/// did not ignore, so one that the network or a timer brings a little early costs it 10 ms of growth.
const ACK_MARGIN: Duration = Duration::from_micros(500);
/// Packets after which a light ACK is sent, as in libudt; they keep a window open that is small against 10 ms.
const LIGHT_ACK_PACKETS: u32 = 64;
/// After so many packets since the last full ACK the window cannot be that small, and light ACKs become rarer: they cost the
/// sender a wake-up each, and at 10 Gbit/s there would be 13,000 per second. They still keep its buffer in its cache. Deviation 52.
const RARE_LIGHT_ACK_PACKETS: u32 = 256;
/// Of so many packets a sender may take the dispersion for the rate of the path, and send at that rate at once.
const BEGINNING_PACKETS: u64 = 64;
/// While an acknowledgement is withheld the ACK before is repeated, so that the peer's EXP timer does not run out. Deviation 36.
const WITHHELD_REPEAT: Duration = Duration::from_millis(200);
/// The longest time between two repeats of an ACK that is not confirmed. Deviation 35.
const REPEAT_MAX: Duration = Duration::from_secs(1);

impl Receiver {
    pub(super) fn schedule_ack(&mut self, now: Instant, has_irregular: bool, rtt: &RttEstimator) {
        let next = self.buffer.next();
        if next == self.confirmed && next == self.acked && !has_irregular && !self.is_peer_godwit {
            return;
        }
        // A sender that waits for window waits for this (deviation 34).
        let half_window = self.advertised_packets / 2;
        let is_window_used_up = self.highest + 1 >= self.advertised_end;
        // After the last that counted, and not after one that came at once in between.
        let due = self.last_rates.map_or(now, |last| last + self.ack_interval(rtt));
        let at_once = has_irregular || is_window_used_up || self.packets_since_ack >= half_window.max(1);
        let due = if at_once { now } else { due };
        self.ack_at = Some(self.ack_at.map_or(due, |at| at.min(due)));
        let is_rare = self.light_acked_packets >= RARE_LIGHT_ACK_PACKETS;
        let every = if is_rare { RARE_LIGHT_ACK_PACKETS } else { LIGHT_ACK_PACKETS };
        if self.packets_since_ack - self.light_acked_packets >= every && self.position() != self.confirmed {
            self.light_acked_packets = self.packets_since_ack;
            self.wants_light_ack = true;
        }
    }

    /// The peer sends what was acknowledged, so it has not heard of that, whatever its ACK2 said.
    pub(super) fn acknowledge_again(&mut self, now: Instant) {
        let due = self.last_ack.map_or(now, |last| last + ACK_INTERVAL);
        self.owes_ack = true;
        self.ack_at = Some(self.ack_at.map_or(due, |at| at.min(due)));
    }

    /// The position to acknowledge: everything in order, less one packet while the buffer is full.
    pub(super) fn position(&self) -> u64 {
        let next = self.buffer.next();
        let is_full = self.buffer.available_packets() <= WINDOW_PACKETS_MIN;
        if is_full && next > 0 { (next - 1).max(self.acked) } else { next }
    }

    pub(super) fn window_may_open(&mut self, now: Instant) {
        let available = self.buffer.available_packets();
        let window = self.window.packets();
        let was_small = self.advertised_packets < window / 4;
        let opens = self.is_withholding && available > WINDOW_PACKETS_MIN.max(window / 16);
        if opens || (was_small && available >= self.advertised_packets.saturating_mul(2).max(16)) {
            self.owes_ack = true;
            self.ack_at = Some(now);
        }
    }

    /// A full ACK, if there is news for the peer or the last one needs repeating; sets the time of the next attempt.
    pub(super) fn full_ack(&mut self, now: Instant, rtt: &RttEstimator) -> Option<FullAck<'static>> {
        let position = self.position();
        self.is_withholding = position < self.buffer.next();
        let is_tail_news = self.is_peer_godwit && self.packets_since_ack > 0;
        let is_news = std::mem::take(&mut self.owes_ack) || position > self.acked || is_tail_news;
        let repeat_after = (rtt.exp_base() * (1 << self.repeats.min(4))).clamp(ACK_INTERVAL, REPEAT_MAX);
        if !is_news {
            let is_due = self.last_ack.is_none_or(|last| now >= last + repeat_after.min(WITHHELD_REPEAT));
            let is_needed = position > self.confirmed || self.is_withholding;
            if !is_needed || !is_due {
                self.ack_at = is_needed.then(|| self.last_ack.map_or(now, |last| last + repeat_after));
                return None;
            }
            self.repeats += 1;
        } else {
            self.repeats = 0;
        }
        Some(self.make_ack(now, position, repeat_after, rtt))
    }

    pub(super) fn make_ack(
        &mut self,
        now: Instant,
        position: u64,
        repeat_after: Duration,
        rtt: &RttEstimator,
    ) -> FullAck<'static> {
        // The tail comes behind the rates.
        let rates_are_due = self.is_peer_godwit || self.last_rates.is_none_or(|last| now >= last + ACK_INTERVAL);
        if rates_are_due {
            self.last_rates = Some(now);
        }
        let number = self.ack_number;
        self.ack_number = number.next();
        self.acks.record(number, self.seq_of(position), now);
        self.acked = position;
        self.tune_window(rtt);
        self.advertised_packets = self.buffer.available_packets();
        self.advertised_end = position + u64::from(self.advertised_packets);
        self.last_ack = Some(now);
        self.packets_since_ack = 0;
        self.light_acked_packets = 0;
        self.wants_light_ack = false;
        let repeat_after = if self.is_withholding { WITHHELD_REPEAT } else { repeat_after };
        self.ack_at = (position > self.confirmed || self.is_withholding).then(|| now + repeat_after);
        self.stats.acks_sent_packets += 1;
        FullAck {
            number,
            ack_seq: self.seq_of(position),
            rtt_us: micros(rtt.srtt()),
            rtt_var_us: micros(rtt.var()),
            available_packets: self.advertised_packets,
            rates: rates_are_due.then(|| self.rates()),
            tail: &[],
        }
    }

    /// The peer may need a larger window than it has.
    fn tune_window(&mut self, rtt: &RttEstimator) {
        let packets_per_s = match self.unique_packets {
            ..=BEGINNING_PACKETS => self.arrival.link_capacity_packets_per_s(),
            _ => self.arrival.arrival_speed_packets_per_s(),
        };
        self.window.tune(&Seen {
            behind_gap_packets: self.highest.saturating_sub(self.buffer.next()),
            packets_per_s,
            srtt: rtt.is_known().then(|| rtt.srtt()),
            ack_interval: self.ack_interval(rtt),
            unread_packets: self.buffer.waiting_packets(),
        });
        self.buffer.offer(self.window.packets());
    }

    pub(super) fn ack_interval(&self, rtt: &RttEstimator) -> Duration {
        match self.is_peer_godwit {
            true => (rtt.srtt() / 8).clamp(ACK_INTERVAL_MIN, ACK_INTERVAL),
            false => ACK_INTERVAL + ACK_MARGIN,
        }
    }

    /// What one of our own ends is told beside.
    pub(super) fn tail(&self, now: Instant) -> Option<AckTail> {
        let (echo_us, arrived) = self.newest.filter(|_| self.is_peer_godwit)?;
        let known_to = self.missing.first_unreported().unwrap_or_else(|| self.seq_of(self.highest));
        let age_us = micros(now.saturating_duration_since(arrived));
        Some(AckTail { known_to, echo_us, age_us, received_packets: self.unique_packets as u32 })
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
