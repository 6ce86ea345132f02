//! The rate at which the newest packets arrived, from the tails of two ACKs that lie less than a round-trip apart.
//!
//! A sample of a whole round-trip ([`RateSampler`](crate::congestion::RateSampler)) is exact, but it tells of a rate fully
//! only a round-trip after the packets sent at that rate began to arrive. A start-up that waits for it needs two
//! round-trips for each step.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Samples are taken over at least this long, and an eighth of the round-trip time: receivers take packets in batches.
const SPAN_MIN: Duration = Duration::from_millis(10);
/// Fewer packets are no rate.
const PACKETS_MIN: u32 = 8;
/// ACKs come at most eight per round-trip or ten per [`SPAN_MIN`], so more points than this are never needed.
const POINTS_MAX: usize = 32;

/// What the tail of an ACK says of the newest packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// When it left.
    pub(super) sent: Instant,
    /// When it arrived, one way back later.
    pub(super) arrived: Instant,
    /// Different packets that have arrived with it, modulo 2^32.
    pub(super) packets: u32,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentRate {
    points: VecDeque<Arrival>,
}

impl RecentRate {
    /// Takes in an ACK; packets per second over the least sufficient span before it. The longer of the times of sending and of
    /// arriving counts, so that no queue that empties at once is taken for a fast path.
    pub(super) fn on_arrival(&mut self, arrival: Arrival, srtt: Duration) -> Option<f64> {
        if self.points.back().is_some_and(|last| arrival.sent <= last.sent || arrival.arrived <= last.arrived) {
            return None;
        }
        let span = SPAN_MIN.max(srtt / 8);
        self.points.push_back(arrival);
        let is_enough = |point: &Arrival| arrival.arrived.saturating_duration_since(point.arrived) >= span;
        while self.points.len() > POINTS_MAX || self.points.get(1).is_some_and(is_enough) {
            self.points.pop_front();
        }
        let first = self.points.front().copied().filter(is_enough)?;
        let packets = arrival.packets.wrapping_sub(first.packets);
        let time = arrival.arrived.saturating_duration_since(first.arrived);
        let time = time.max(arrival.sent.saturating_duration_since(first.sent));
        (PACKETS_MIN..u32::MAX / 2).contains(&packets).then(|| f64::from(packets) / time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn arrival(sent_ms: u64, arrived_ms: u64, packets: u32) -> Arrival {
        let origin = crate::virtual_time::origin();
        let at = |ms| origin + Duration::from_millis(ms);
        Arrival { sent: at(sent_ms), arrived: at(arrived_ms), packets }
    }

    #[test]
    fn a_rate_is_known_after_an_eighth_of_a_round_trip() {
        let mut rate = RecentRate::default();
        assert_eq!(rate.on_arrival(arrival(0, 100, u32::MAX - 9), RTT), None);
        assert_eq!(rate.on_arrival(arrival(10, 110, 0), RTT), None, "too short");
        assert_eq!(rate.on_arrival(arrival(20, 120, 10), RTT).map(f64::round), Some(1000.0));
        assert_eq!(rate.on_arrival(arrival(30, 130, 110), RTT).map(f64::round), Some(5500.0), "only the newest count");
    }

    #[test]
    fn neither_a_burst_that_was_sent_nor_one_that_arrives_is_a_rate() {
        let mut rate = RecentRate::default();
        assert_eq!(rate.on_arrival(arrival(0, 100, 0), RTT), None);
        assert_eq!(rate.on_arrival(arrival(1, 200, 100), RTT).map(f64::round), Some(1000.0), "sent in a burst");
        assert_eq!(rate.on_arrival(arrival(101, 220, 200), RTT).map(f64::round), Some(1000.0), "arrived in a burst");
        assert_eq!(rate.on_arrival(arrival(100, 240, 300), RTT), None, "overtaken");
    }

    #[test]
    fn it_does_not_grow() {
        let mut rate = RecentRate::default();
        for number in 0..1000 {
            rate.on_arrival(arrival(number, number, number as u32), Duration::from_secs(60));
        }
        assert!(rate.points.len() <= POINTS_MAX);
    }
}
