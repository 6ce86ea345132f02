//! Further copies of retransmissions, for peers that report a loss once: if the retransmission is lost as well, only the
//! cumulative position that stands still tells, a round-trip later and for one packet at a time. At 5 % of loss and 100 Mbit/s
//! that happens 20 times per second, and once if a copy follows each retransmission. At the end of the data our own receivers
//! get copies as well. Deviation 54.

use std::collections::VecDeque;
use std::time::Instant;

use super::Sender;
use crate::congestion::Control as _;
use crate::connection::rtt::RttEstimator;
use crate::packet::HEADER_BYTES;

/// Below this share of loss copies cost more than they save.
const LOSS_MIN: f64 = 0.005;
/// The share is taken over about so many packets.
const LOSS_WINDOW_PACKETS: u32 = 2048;
/// Copies that wait; beyond that a retransmission goes without.
const COPIES_MAX: usize = 4096;
/// A copy follows after this part of an RTT, so that a burst of losses does not take both.
const DELAY_PARTS: u32 = 4;

/// Copies that wait to be sent, in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Copies {
    queue: VecDeque<(Instant, u64)>,
}

impl Copies {
    /// When the next one should leave.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.front().map(|&(at, _)| at)
    }
}

/// The share of packets that were reported lost lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LossShare {
    sent_packets: u32,
    lost_packets: u32,
}

impl LossShare {
    pub(super) fn on_sent(&mut self, packets: u32) {
        self.sent_packets += packets;
        if self.sent_packets >= LOSS_WINDOW_PACKETS {
            self.sent_packets /= 2;
            self.lost_packets /= 2;
        }
    }

    pub(super) fn on_lost(&mut self, packets: u32) {
        self.lost_packets = self.lost_packets.saturating_add(packets);
    }

    /// One of them had arrived.
    pub(super) fn on_undone(&mut self) {
        self.lost_packets = self.lost_packets.saturating_sub(1);
    }

    /// Of packets that were sent for the first time, 0 ..= 1. A few losses at the beginning say nothing yet.
    fn value(self) -> f64 {
        f64::from(self.lost_packets) / f64::from(self.sent_packets.max(LOSS_WINDOW_PACKETS / 4))
    }
}

impl Sender {
    /// A packet has been sent again: how often it will be once more, and when.
    pub(super) fn plan_copies(&mut self, now: Instant, index: u64, rtt: &RttEstimator) {
        let is_worth_it = self.losses.value() > LOSS_MIN && self.controller.window_counts_pipe();
        // One of ours reports again what it still misses; but when there is nothing else left to send, a copy costs nothing, and the
        // round-trip is one that the application waits for.
        let is_end = self.next == self.buffer.end();
        if !is_worth_it || (self.peer_repeats_naks && !is_end) {
            return;
        }
        // A stall costs a round-trip of the peer's window; when little of it is left, the next one stops the flow.
        let is_window_short = u64::from(self.in_flight_packets()) * 4 > (self.window_end - self.una) * 3;
        let copies = if is_window_short { 2 } else { 1 };
        let queue = &mut self.copies.queue;
        let copies = copies.min(COPIES_MAX.saturating_sub(queue.len()));
        queue.extend(std::iter::repeat_n((now + rtt.srtt() / DELAY_PARTS, index), copies));
    }

    /// Appends the copy that is due to `scratch`; its size.
    pub(super) fn poll_copy(&mut self, now: Instant, stamp: u32, scratch: &mut Vec<u8>) -> Option<usize> {
        while let Some(&(_, index)) = self.copies.queue.front().filter(|&&(at, _)| at <= now) {
            self.copies.queue.pop_front();
            if index < self.una {
                continue;
            }
            let Some(size) = self.buffer.packet_bytes(index) else { continue };
            self.buffer.copy_packet(index, stamp, scratch);
            self.flights.copy();
            self.stats.retransmitted_packets += 1;
            self.stats.retransmitted_bytes += (size - HEADER_BYTES) as u64;
            self.count_sent(1, size - HEADER_BYTES);
            self.pacer.charge(now, 1, self.interval());
            return Some(size);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_follows_the_path() {
        let mut losses = LossShare::default();
        losses.on_sent(64);
        losses.on_lost(2);
        assert!(losses.value() < LOSS_MIN, "two of the first packets are no loss rate");
        for _ in 0..400 {
            losses.on_sent(20);
            losses.on_lost(1);
        }
        assert!((losses.value() - 0.05).abs() < 0.01, "{}", losses.value());
        losses.on_sent(2000);
        (0..20).for_each(|_| losses.on_sent(1000));
        assert!(losses.value() < LOSS_MIN, "{}", losses.value());
    }
}
