//! Tide: a controller that fills long lossy paths, keeps queues short, and shares with TCP.
//!
//! It paces at the delivery rate, steers a small standing queue, and treats loss as a signal only above a floor of random loss
//! that it has proven by sending less for a moment. While somebody else fills the buffer it becomes a CUBIC window.
//! One controller serves all policies; docs/congestion.md describes it.

mod bandwidth;
mod competition;
mod contest;
mod core;
mod delay;
mod loss_floor;
mod policy;
mod pulse;
mod queue_cap;
mod safety_net;
mod unyielding;

use std::time::{Duration, Instant};

use self::core::{Ack, Core};
use self::policy::Policy;
pub use self::policy::PolicyKind;
use super::{CohortReport, Control, Feedback, Lost, Pace, Setup, Start};

/// What the RTT is taken for before the first sample.
const INITIAL_RTT: f64 = 0.1;
/// A burst lasts at most this long at the current rate...
const QUANTUM: f64 = 0.000_5;
/// ... and fits one segmented send of 64 KiB.
const QUANTUM_PACKETS_MAX: f64 = 40.0;
/// Rate samples over less than this part of the least RTT are bursts of acknowledgements.
const SAMPLE_MIN_RTTS: f64 = 0.9;

/// See the module.
#[derive(Clone, Debug)]
pub struct Tide {
    core: Core,
    start: Instant,
    max_window_packets: u32,
    least_rtt: f64,
}

impl Tide {
    /// A controller in start-up. After another one it begins there with half of the known rate, so that its gain does not
    /// overrun what the path carries.
    pub fn new(setup: &Setup, kind: PolicyKind) -> Self {
        let policy = Policy { kind, ceiling: None, floor: None };
        let wall_clock = setup.unix_time.as_secs_f64();
        let core = match setup.start {
            Start::Blank => Core::new(policy, INITIAL_RTT, wall_clock, setup.seed),
            Start::Remembered { packets_per_s } => {
                let mut core = Core::new(policy, INITIAL_RTT, wall_clock, setup.seed);
                core.remember(packets_per_s);
                core
            }
            Start::Takeover { packets_per_s, srtt, .. } => {
                let mut core = Core::new(policy, srtt.as_secs_f64(), wall_clock, setup.seed);
                if let Some(rate) = packets_per_s {
                    core.start_with(0.5 * rate);
                }
                core
            }
        };
        Self { core, start: setup.now, max_window_packets: setup.max_window_packets, least_rtt: f64::MAX }
    }

    /// Changes the policy of a live connection; its bounds stay.
    pub fn set_policy(&mut self, kind: PolicyKind) {
        self.core.set_policy(Policy { kind, ..self.core.policy() });
    }

    fn seconds(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.start).as_secs_f64()
    }
}

impl Control for Tide {
    fn on_sent(&mut self, _in_flight_packets: u32) {}

    fn on_feedback(&mut self, feedback: &Feedback) {
        let rtt = feedback.rtt.map(|sample| sample.rtt.as_secs_f64());
        if let Some(rtt) = rtt {
            self.least_rtt = self.least_rtt.min(rtt);
        }
        let interval = feedback.interval.as_secs_f64();
        let is_long = interval > 0.0 && interval >= SAMPLE_MIN_RTTS * self.least_rtt;
        let rate = is_long.then(|| feedback.sample_delivered as f64 / interval);
        // A sample of packets that the application held back says only that the path carries at least that much.
        let counts = |rate: &f64| !feedback.sample_app_limited || *rate > self.core.bandwidth();
        self.core.on_ack(&Ack {
            now: self.seconds(feedback.now),
            newly_delivered: f64::from(feedback.newly_delivered),
            delivered_total: feedback.delivered_total,
            rtt,
            rate: rate.filter(counts),
            is_round_start: feedback.is_round_start,
            pipe: f64::from(feedback.in_flight_packets),
            hint: hint(feedback),
            recent_rate: feedback.receiver.recent_rate_packets_per_s,
            is_exact: feedback.is_exact,
        });
    }

    fn on_lost(&mut self, _lost: &Lost) {}

    fn on_undo(&mut self, _first: u64, _packets: u32) {}

    fn on_cohort(&mut self, now: Instant, report: &CohortReport) {
        self.core.on_cohort(self.seconds(now), report);
    }

    fn cohort(&self) -> u32 {
        self.core.cohort()
    }

    fn window_counts_pipe(&self) -> bool {
        true
    }

    fn on_timeout(&mut self, now: Instant, _next_tag: u64) {
        self.core.on_timeout(self.seconds(now));
    }

    fn on_timer(&mut self, _now: Instant) {}

    fn next_timer(&self) -> Option<Instant> {
        None
    }

    fn pace(&self) -> Pace {
        Pace { interval: Duration::from_secs_f64((1.0 / self.core.pace()).min(100.0)) }
    }

    fn quantum_packets(&self) -> u32 {
        (self.core.pace() * QUANTUM).clamp(1.0, QUANTUM_PACKETS_MAX) as u32
    }

    fn window_packets(&self) -> u32 {
        (self.core.window() as u32).clamp(2, self.max_window_packets.max(2))
    }

    fn set_max_rate(&mut self, packets_per_s: Option<f64>) {
        self.core.set_policy(Policy { ceiling: packets_per_s, ..self.core.policy() });
    }

    fn set_min_rate(&mut self, packets_per_s: Option<f64>) {
        self.core.set_policy(Policy { floor: packets_per_s, ..self.core.policy() });
    }

    fn set_max_window(&mut self, packets: u32) {
        self.max_window_packets = packets;
    }

    fn bandwidth_packets_per_s(&self) -> Option<f64> {
        Some(self.core.bandwidth()).filter(|&rate| rate > 0.0)
    }
}

/// What the receiver knows of the path's capacity from the first flight alone. One of our own measures the dispersion of trains, and
/// reports no more than the speed before it has; from libudt the speed is a median of intervals, and better than its capacity.
fn hint(feedback: &Feedback) -> Option<f64> {
    let speed = feedback.receiver.arrival_speed_packets_per_s?;
    if !feedback.is_exact {
        return Some(f64::from(speed));
    }
    feedback.receiver.link_capacity_packets_per_s.filter(|&capacity| capacity > speed).map(f64::from)
}

#[cfg(test)]
mod tests;
