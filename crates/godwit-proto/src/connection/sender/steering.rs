//! Another controller, or other bounds, while the connection lives.

use std::time::{Duration, Instant};

use super::Sender;
use crate::config::RateBounds;
use crate::congestion::{Control as _, Controller, ControllerKind, Setup, Start};
use crate::connection::rtt::RttEstimator;

/// One moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(in crate::connection) struct Clock {
    pub(in crate::connection) now: Instant,
    /// Since the beginning of 1970.
    pub(in crate::connection) unix_time: Duration,
}

impl Sender {
    /// Bounds the sending rate, headers included.
    pub(in crate::connection) fn set_rate_bounds(&mut self, now: Instant, bounds: RateBounds) {
        self.bounds = bounds;
        let packet_bits = f64::from(self.mss_bytes) * 8.0;
        let packets_per_s = |rate: Option<u64>| rate.map(|rate| rate as f64 / packet_bits);
        self.controller.set_max_rate(packets_per_s(bounds.max_bits_per_s));
        self.controller.set_min_rate(packets_per_s(bounds.min_bits_per_s));
        self.pacer.rate_changed(now, self.interval());
    }

    /// Sends under this controller from now on. Where it is the same one with another policy it keeps all that it knows;
    /// another one begins with the rate and the RTT of the old, and is not told of losses among what that had sent.
    pub(in crate::connection) fn set_controller(&mut self, kind: ControllerKind, clock: Clock, rtt: &RttEstimator) {
        let Clock { now, unix_time } = clock;
        if !self.controller.change_policy(kind, self.mss_bytes) {
            self.cohort_base = self.cohort() + 1;
            let packets_per_s = self.controller.bandwidth_packets_per_s();
            let setup = Setup {
                now,
                unix_time,
                packet_bytes: self.mss_bytes,
                max_window_packets: self.peer_window_packets,
                seed: self.seed,
                start: Start::Takeover { next_tag: self.next, packets_per_s, srtt: rtt.srtt() },
            };
            self.controller = Controller::new(kind, &setup);
        }
        self.set_rate_bounds(now, self.bounds);
    }
}
