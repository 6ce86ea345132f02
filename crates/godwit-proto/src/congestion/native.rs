//! The controller of libudt 4.11, CUDTCC: rate-based, additive increase by the spare capacity, decrease by 1/9 per
//! event.
//!
//! It is what UDT users know, and what the others are compared with; specification section 5.5 tells how it does under
//! random loss.
//!
//! Departures from libudt, listed in `docs/deviations.md`:
//!
//! * The sending period is a real number of nanoseconds. libudt's is of microseconds, and is rounded up to a whole one at each
//!   decrease: above 1 Gbit/s (12 µs per packet) that is a larger step than the decrease itself. Deviation 27.
//! * Reported rates above 10^8 packets per second count as 10^8, where libudt's smoothing overflows. Deviation 28.
//! * The maximum rate can change at any time. Deviation 29.

use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::{CohortReport, Control, Feedback, Lost, Pace, ReceiverReport, Setup, Start};

/// Acknowledgements change the rate at most this often.
const RC_INTERVAL: Duration = Duration::from_millis(10);
const RC_INTERVAL_NS: f64 = 1e7;
/// The congestion window at the start, and what is always added to it.
const INITIAL_WINDOW_PACKETS: f64 = 16.0;
/// The period during slow start, where the window alone limits.
const INITIAL_PERIOD_NS: f64 = 1000.0;
/// What the delivery rate is taken for before the receiver reports one.
const INITIAL_DELIVERY_RATE_PACKETS_PER_S: u32 = 16;
/// What the bandwidth is taken for before the receiver reports one.
const INITIAL_BANDWIDTH_PACKETS_PER_S: u32 = 1;
/// A greater report counts as this: libudt's arithmetic overflows not far above (pitfall 21).
const MAX_REPORT_PACKETS_PER_S: u32 = 100_000_000;
/// The least increase of the rate, in packets per RC interval and RC interval.
const MIN_INCREASE_PACKETS: f64 = 0.01;
/// What the period is multiplied by at a decrease: the rate falls to 8/9.
const DECREASE: f64 = 1.125;
/// Decreases within one congestion epoch after its first.
const MAX_DECREASES_PER_EPOCH: u32 = 5;
/// The period stays within these whatever is reported: 10^9 packets/s, and one packet in 100 s.
const PERIOD_NS_MIN: f64 = 1.0;
const PERIOD_NS_MAX: f64 = 1e11;
/// A burst lasts at most this long at the current rate...
const QUANTUM: Duration = Duration::from_micros(500);
/// ... and fits one segmented send of 64 KiB.
const QUANTUM_PACKETS_MAX: f64 = 44.0;

/// libudt 4.11's congestion control.
///
/// It acts on feedback that advances the cumulative acknowledgement, at most once per 10 ms, and on each report of
/// loss. Random numbers decide which reports within an epoch decrease the rate again, so that flows do not fall in
/// step.
///
/// Source: specification sections 5 and 3.3 (point 6).
#[derive(Clone, Debug)]
pub struct Native {
    packet_bytes: f64,
    max_window_packets: u32,
    period_ns: f64,
    window_packets: f64,
    in_slow_start: bool,
    last_rate_change: Instant,
    /// All tags below this are acknowledged.
    acked_to: u64,
    /// The number after the one that the window last grew for. libudt begins with the number before the ISN.
    grown_for: u64,
    delivery_rate: u32,
    bandwidth: u32,
    epoch: Epoch,
    /// Whether a loss was reported since the last increase.
    lost_since_increase: bool,
    /// The maximum rate.
    period_ns_min: f64,
    rng: Xoshiro256PlusPlus,
}

/// The state of loss events between two decreases that count as new congestion.
#[derive(Clone, Debug)]
struct Epoch {
    /// A loss of this tag or a later one begins a new epoch: it was sent after the last decrease.
    ends_at: u64,
    /// The period just before the first decrease of the epoch.
    period_ns: f64,
    decreases: u32,
    reports: u32,
    mean_reports: u32,
    /// Every how many reports within the epoch decrease the rate.
    stride: u32,
}

impl Native {
    /// A controller in slow start; or past it, at the known rate, if it takes over from another one that knew.
    pub fn new(setup: &Setup) -> Self {
        let mut native = Self {
            packet_bytes: f64::from(setup.packet_bytes.max(1)),
            max_window_packets: setup.max_window_packets,
            period_ns: INITIAL_PERIOD_NS,
            window_packets: INITIAL_WINDOW_PACKETS,
            in_slow_start: true,
            last_rate_change: setup.now,
            acked_to: 0,
            grown_for: 0,
            delivery_rate: INITIAL_DELIVERY_RATE_PACKETS_PER_S,
            bandwidth: INITIAL_BANDWIDTH_PACKETS_PER_S,
            epoch: Epoch {
                ends_at: 0,
                period_ns: INITIAL_PERIOD_NS,
                decreases: 0,
                reports: 0,
                mean_reports: 0,
                stride: 1,
            },
            lost_since_increase: false,
            period_ns_min: PERIOD_NS_MIN,
            rng: Xoshiro256PlusPlus::seed_from_u64(setup.seed),
        };
        native.take_over(setup.start);
        native
    }

    /// The smoothed arrival speed that the receiver reports, in packets per second.
    pub fn delivery_rate_packets_per_s(&self) -> u32 {
        self.delivery_rate
    }

    /// The smoothed link capacity that the receiver reports, in packets per second.
    pub fn link_capacity_packets_per_s(&self) -> u32 {
        self.bandwidth
    }

    /// Whether the window still grows with every acknowledged packet.
    pub fn is_in_slow_start(&self) -> bool {
        self.in_slow_start
    }

    /// libudt has no such thing.
    fn take_over(&mut self, start: Start) {
        let Start::Takeover { next_tag, packets_per_s, srtt } = start else { return };
        self.grown_for = next_tag;
        // Losses of what the other controller sent are its own.
        self.epoch.ends_at = next_tag;
        self.epoch.decreases = MAX_DECREASES_PER_EPOCH;
        let Some(rate) = packets_per_s else { return };
        self.delivery_rate = (rate as u32).clamp(INITIAL_DELIVERY_RATE_PACKETS_PER_S, MAX_REPORT_PACKETS_PER_S);
        self.bandwidth = self.delivery_rate;
        self.window_packets =
            f64::from(self.delivery_rate) * (srtt + RC_INTERVAL).as_secs_f64() + INITIAL_WINDOW_PACKETS;
        self.leave_slow_start();
        self.epoch.period_ns = self.period_ns;
    }

    fn take_in_report(&mut self, report: &ReceiverReport) {
        smooth(&mut self.delivery_rate, report.arrival_speed_packets_per_s);
        smooth(&mut self.bandwidth, report.link_capacity_packets_per_s);
    }

    /// libudt counts the numbers from the last ACK's to this one's, both included: one more than was acknowledged, and
    /// two more the first time, because the "last ACK" is then the number before the ISN.
    fn grow_window(&mut self, acked_to: u64) {
        let acked = (acked_to + 1).saturating_sub(self.grown_for) + 1;
        self.grown_for = acked_to + 1;
        self.window_packets += acked as f64;
        if self.window_packets > f64::from(self.max_window_packets) {
            self.leave_slow_start();
        }
    }

    /// From here on the rate limits, beginning with what arrives. libudt has another formula for a delivery rate of 0,
    /// which cannot occur: it begins at 16 and reports of 0 are ignored.
    fn leave_slow_start(&mut self) {
        self.in_slow_start = false;
        self.set_period(1e9 / f64::from(self.delivery_rate));
    }

    fn increase_rate(&mut self) {
        let increase = self.increase_packets();
        self.set_period(self.period_ns * RC_INTERVAL_NS / (self.period_ns * increase + RC_INTERVAL_NS));
    }

    /// Packets per RC interval to add to the rate: the order of magnitude of the spare capacity in bits per second.
    fn increase_packets(&self) -> f64 {
        let bandwidth = f64::from(self.bandwidth);
        let mut spare = bandwidth - 1e9 / self.period_ns;
        if self.period_ns > self.epoch.period_ns {
            // Still slower than at the last decrease: the capacity is not what was lacking.
            spare = spare.min(bandwidth / 9.0);
        }
        // libudt's spare capacity is a whole number of packets per second.
        let spare = spare.trunc();
        if spare <= 0.0 {
            return MIN_INCREASE_PACKETS;
        }
        let magnitude = 10f64.powf((spare * self.packet_bytes * 8.0).log10().ceil());
        (magnitude * 1.5e-6 / self.packet_bytes).max(MIN_INCREASE_PACKETS)
    }

    fn begin_epoch(&mut self, next_tag: u64) {
        let epoch = &mut self.epoch;
        epoch.period_ns = self.period_ns;
        epoch.mean_reports = (0.875 * f64::from(epoch.mean_reports) + 0.125 * f64::from(epoch.reports)).ceil() as u32;
        epoch.reports = 1;
        epoch.decreases = 1;
        epoch.stride = (f64::from(epoch.mean_reports) * self.rng.random::<f64>()).ceil().max(1.0) as u32;
        self.decrease_rate(next_tag);
    }

    fn decrease_rate(&mut self, next_tag: u64) {
        self.epoch.ends_at = next_tag;
        self.set_period(self.period_ns * DECREASE);
    }

    fn set_period(&mut self, period_ns: f64) {
        self.period_ns = period_ns.clamp(PERIOD_NS_MIN, PERIOD_NS_MAX).max(self.period_ns_min);
    }
}

impl Control for Native {
    fn on_sent(&mut self, _in_flight_packets: u32) {}

    fn on_feedback(&mut self, feedback: &Feedback) {
        if feedback.acked_to <= self.acked_to {
            return;
        }
        self.acked_to = feedback.acked_to;
        self.take_in_report(&feedback.receiver);
        if feedback.now.saturating_duration_since(self.last_rate_change) < RC_INTERVAL {
            return;
        }
        self.last_rate_change = feedback.now;
        if self.in_slow_start {
            self.grow_window(feedback.acked_to);
        } else {
            let round = feedback.srtt + RC_INTERVAL;
            self.window_packets = f64::from(self.delivery_rate) * round.as_secs_f64() + INITIAL_WINDOW_PACKETS;
        }
        if self.in_slow_start {
            return;
        }
        if self.lost_since_increase {
            self.lost_since_increase = false;
            return;
        }
        self.increase_rate();
    }

    fn on_lost(&mut self, lost: &Lost) {
        if self.in_slow_start {
            self.leave_slow_start();
            return;
        }
        self.lost_since_increase = true;
        if lost.first >= self.epoch.ends_at {
            self.begin_epoch(lost.next_tag);
            return;
        }
        if self.epoch.decreases >= MAX_DECREASES_PER_EPOCH {
            return;
        }
        self.epoch.decreases += 1;
        self.epoch.reports = self.epoch.reports.saturating_add(1);
        if self.epoch.reports.is_multiple_of(self.epoch.stride) {
            self.decrease_rate(lost.next_tag);
        }
    }

    /// libudt never takes a decrease back.
    fn on_undo(&mut self, _first: u64, _packets: u32) {}

    fn on_cohort(&mut self, _now: Instant, _report: &CohortReport) {}

    fn cohort(&self) -> u32 {
        0
    }

    fn window_counts_pipe(&self) -> bool {
        false
    }

    fn on_timeout(&mut self, _now: Instant, _next_tag: u64) {
        if self.in_slow_start {
            self.leave_slow_start();
        }
    }

    fn on_timer(&mut self, _now: Instant) {}

    fn next_timer(&self) -> Option<Instant> {
        None
    }

    fn pace(&self) -> Pace {
        Pace { interval: Duration::from_nanos(self.period_ns.max(self.period_ns_min) as u64) }
    }

    fn quantum_packets(&self) -> u32 {
        let packets = QUANTUM.as_nanos() as f64 / self.period_ns.max(self.period_ns_min);
        packets.clamp(1.0, QUANTUM_PACKETS_MAX) as u32
    }

    fn window_packets(&self) -> u32 {
        (self.window_packets as u32).min(self.max_window_packets)
    }

    /// Takes effect at once. The rate is held at the limit rather than above it, so after a higher limit it grows from
    /// there.
    fn set_max_rate(&mut self, packets_per_s: Option<f64>) {
        self.period_ns_min = packets_per_s.map_or(PERIOD_NS_MIN, period_ns);
        // Not in slow start, where the period means nothing yet.
        if !self.in_slow_start {
            self.set_period(self.period_ns);
        }
    }

    /// libudt has none.
    fn set_min_rate(&mut self, _packets_per_s: Option<f64>) {}

    fn set_max_window(&mut self, packets: u32) {
        self.max_window_packets = packets;
    }

    fn bandwidth_packets_per_s(&self) -> Option<f64> {
        // Until the first report the delivery rate is an assumption.
        let is_known = self.delivery_rate != INITIAL_DELIVERY_RATE_PACKETS_PER_S;
        is_known.then(|| f64::from(self.delivery_rate))
    }
}

/// The period of a rate. A rate that is none (zero, negative, not a number) gives the longest.
fn period_ns(packets_per_s: f64) -> f64 {
    (1e9 / packets_per_s.max(0.0)).clamp(PERIOD_NS_MIN, PERIOD_NS_MAX)
}

/// libudt's smoothing of a reported rate, in whole packets per second; 0 means "unknown" and is ignored.
fn smooth(rate: &mut u32, report: Option<u32>) {
    if let Some(report @ 1..) = report {
        *rate = (7 * *rate + report.min(MAX_REPORT_PACKETS_PER_S)) / 8;
    }
}

#[cfg(test)]
mod tests;
