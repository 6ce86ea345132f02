//! CUBIC (RFC 9438) with HyStart++ (RFC 9406): what most TCP senders do, for those who want exactly that, and as a rival.
//!
//! It is paced, as Linux paces TCP, and its window bounds what is on its way. Loss is its signal, so it fills buffers, and
//! a path with random loss stays nearly empty: see [`Tide`](super::Tide).
//!
//! Where RFC 9438 leaves a choice: the reduction is of the window and not of what was in flight, since the window does not grow
//! while the application limits (sections 4.6 and 5.8); spurious losses are not undone (section 4.9 is optional). One report
//! of loss per round-trip reduces the window: those among packets sent before the last reduction belong to it.

mod hystart;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use self::hystart::HyStart;
use super::{CohortReport, Control, Feedback, Lost, Pace, Setup, Start};

/// Steepness of the curve, packets per second cubed (section 5.1).
const C: f64 = 0.4;
/// What a loss leaves of the window (section 4.6).
const BETA: f64 = 0.7;
/// Reno's growth per RTT that is as fast on average as with its own factor of one half (section 4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// The first flight (RFC 6928).
const INITIAL_WINDOW: f64 = 10.0;
/// The least window after a loss (section 4.6), and after a timeout (RFC 5681 section 3.1).
const WINDOW_MIN: f64 = 2.0;
const WINDOW_AFTER_TIMEOUT: f64 = 1.0;
/// The pace is this much faster than one window per RTT, so that the window limits: as in Linux.
const PACING_GAIN_SLOW_START: f64 = 2.0;
const PACING_GAIN: f64 = 1.2;
/// A UDT receiver acknowledges after this time, or so many packets.
const ACK_INTERVAL: f64 = 0.010;
const ACK_PACKETS: f64 = 64.0;
/// Nobody paces faster, or slower: packets per second.
const PACE_MAX: f64 = 1e9;
const PACE_MIN: f64 = 0.01;
/// A burst lasts at most this long at the current rate...
const QUANTUM: f64 = 0.000_5;
/// ... and fits one segmented send of 64 KiB.
const QUANTUM_PACKETS_MAX: f64 = 44.0;

/// See the module. Windows are in packets, times in seconds.
#[derive(Clone, Debug)]
pub struct Cubic {
    start: Instant,
    window: f64,
    slow_start_threshold: f64,
    hystart: HyStart,
    /// W_max: where the plateau of the curve is.
    window_max: f64,
    /// The window before the last reduction.
    window_prior: f64,
    epoch: Option<Epoch>,
    /// Losses of tags below this are part of what was reacted to; nothing grows before it is acknowledged.
    recovery_end: u64,
    /// The most packets in flight in this round and in the last.
    flight_max: [f64; 2],
    srtt: Option<Duration>,
    max_window_packets: u32,
    pace_max: f64,
}

/// One stage of congestion avoidance.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// When it began, without the time in which the application was the limit.
    start: f64,
    /// When the window grew last.
    grown_at: f64,
    /// K: from its beginning to the plateau.
    plateau: f64,
    /// W_est: the window that Reno would have.
    reno: f64,
}

impl Cubic {
    /// A controller in slow start. After another one it begins there with half of the known rate.
    pub fn new(setup: &Setup) -> Self {
        let mut cubic = Self {
            start: setup.now,
            window: INITIAL_WINDOW,
            slow_start_threshold: f64::MAX,
            hystart: HyStart::default(),
            window_max: 0.0,
            window_prior: 0.0,
            epoch: None,
            recovery_end: 0,
            flight_max: [0.0; 2],
            srtt: None,
            max_window_packets: setup.max_window_packets,
            pace_max: PACE_MAX,
        };
        if let Start::Takeover { next_tag, packets_per_s, srtt } = setup.start {
            cubic.recovery_end = next_tag;
            cubic.srtt = Some(srtt);
            let known = packets_per_s.map_or(0.0, |rate| 0.5 * rate * srtt.as_secs_f64());
            cubic.window = known.clamp(INITIAL_WINDOW, f64::from(setup.max_window_packets).max(INITIAL_WINDOW));
        }
        cubic
    }

    /// Whether the window still grows with every packet that is delivered.
    pub fn is_in_slow_start(&self) -> bool {
        self.window < self.slow_start_threshold
    }

    /// Section 5.8: a window that was not used does not grow.
    fn is_window_limited(&self) -> bool {
        let flight = self.flight_max[0].max(self.flight_max[1]);
        // In slow start the window may be doubled before the doubled flight is seen.
        if self.is_in_slow_start() { 2.0 * flight >= self.window } else { flight + self.slack() >= self.window }
    }

    /// What pacing and acknowledgements of many packets leave unused of a window that does limit.
    fn slack(&self) -> f64 {
        1.0 + f64::from(self.quantum_packets())
    }

    fn grow_in_slow_start(&mut self, feedback: &Feedback) {
        self.window += f64::from(feedback.newly_delivered) / self.hystart.divisor();
        self.window = self.window.min(self.slow_start_threshold);
        if let Some(rtt) = feedback.rtt {
            self.hystart.on_rtt(rtt.rtt, feedback.srtt);
        }
        if feedback.is_round_start && self.hystart.on_round() {
            self.slow_start_threshold = self.window;
        }
    }

    /// Sections 4.2 to 4.5.
    fn grow_in_congestion_avoidance(&mut self, now: f64, feedback: &Feedback) {
        let delivered = f64::from(feedback.newly_delivered);
        let mut epoch = self.epoch.unwrap_or_else(|| self.begin_epoch(now));
        epoch.grown_at = now;
        let alpha = if epoch.reno < self.window_prior { ALPHA } else { 1.0 };
        epoch.reno += alpha * delivered / self.window;
        self.epoch = Some(epoch);
        let time = now - epoch.start;
        if self.curve(epoch, time) < epoch.reno {
            self.window = self.window.max(epoch.reno);
        } else {
            let target = self.curve(epoch, time + feedback.srtt.as_secs_f64()).clamp(self.window, 1.5 * self.window);
            self.window += (target - self.window) / self.window * delivered;
        }
    }

    fn begin_epoch(&mut self, now: f64) -> Epoch {
        // After slow start, with or without a timeout before it, the curve begins at its plateau (sections 4.8 and 4.10).
        self.window_max = self.window_max.max(self.window);
        let plateau = ((self.window_max - self.window) / C).cbrt();
        Epoch { start: now, grown_at: now, plateau, reno: self.window }
    }

    fn curve(&self, epoch: Epoch, time: f64) -> f64 {
        self.window_max + C * (time - epoch.plateau).powi(3)
    }

    /// Time in which the window was not used does not count (section 4.2).
    fn pause(&mut self, now: f64) {
        if let Some(epoch) = &mut self.epoch {
            epoch.start += now - epoch.grown_at;
            epoch.grown_at = now;
        }
    }

    /// Packets that have arrived and wait for the next acknowledgement: they are no longer on their way. A TCP receiver
    /// acknowledges each second segment at once.
    fn unreported(&self) -> f64 {
        let rate = self.srtt.map_or(0.0, |srtt| self.window / srtt.as_secs_f64().max(ACK_INTERVAL));
        (rate * ACK_INTERVAL).min(ACK_PACKETS)
    }

    fn packets_per_s(&self) -> f64 {
        let gain = if self.is_in_slow_start() { PACING_GAIN_SLOW_START } else { PACING_GAIN };
        let pace = self.srtt.map_or(PACE_MAX, |srtt| gain * self.window / srtt.as_secs_f64().max(1e-6));
        pace.min(self.pace_max).clamp(PACE_MIN, PACE_MAX)
    }
}

impl Control for Cubic {
    fn on_sent(&mut self, in_flight_packets: u32) {
        self.flight_max[0] = self.flight_max[0].max(f64::from(in_flight_packets));
    }

    fn on_feedback(&mut self, feedback: &Feedback) {
        self.srtt = Some(feedback.srtt);
        let now = feedback.now.saturating_duration_since(self.start).as_secs_f64();
        if feedback.acked_to >= self.recovery_end {
            if !self.is_window_limited() {
                self.pause(now);
            } else if self.is_in_slow_start() {
                self.grow_in_slow_start(feedback);
            } else {
                self.grow_in_congestion_avoidance(now, feedback);
            }
        }
        self.window = self.window.min(f64::from(self.max_window_packets).max(WINDOW_MIN));
        if feedback.is_round_start {
            self.flight_max = [f64::from(feedback.in_flight_packets), self.flight_max[0]];
        }
    }

    /// Sections 4.6 and 4.7.
    fn on_lost(&mut self, lost: &Lost) {
        if lost.packets == 0 || lost.first < self.recovery_end {
            return;
        }
        self.recovery_end = lost.next_tag;
        self.window_prior = self.window;
        // Fast convergence: a window that did not come back to its last maximum leaves room for others.
        let is_shrinking = self.window < self.window_max;
        self.window_max = if is_shrinking { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (BETA * self.window).max(WINDOW_MIN);
        self.slow_start_threshold = self.window;
        self.epoch = None;
    }

    fn on_undo(&mut self, _first: u64, _packets: u32) {}

    fn on_cohort(&mut self, _now: Instant, _report: &CohortReport) {}

    /// Section 4.8.
    fn on_timeout(&mut self, _now: Instant, next_tag: u64) {
        self.recovery_end = next_tag;
        self.window_prior = self.window;
        self.slow_start_threshold = (BETA * self.window).max(WINDOW_MIN);
        self.window = WINDOW_AFTER_TIMEOUT;
        self.window_max = 0.0;
        self.epoch = None;
        // HyStart++ is for the first slow start only (RFC 9406 section 4.3): this one ends at its threshold.
        self.hystart.stop();
    }

    fn on_timer(&mut self, _now: Instant) {}

    fn next_timer(&self) -> Option<Instant> {
        None
    }

    fn cohort(&self) -> u32 {
        0
    }

    fn window_counts_pipe(&self) -> bool {
        true
    }

    fn pace(&self) -> Pace {
        Pace { interval: Duration::from_secs_f64(1.0 / self.packets_per_s()) }
    }

    fn quantum_packets(&self) -> u32 {
        (self.packets_per_s() * QUANTUM).clamp(1.0, QUANTUM_PACKETS_MAX) as u32
    }

    fn window_packets(&self) -> u32 {
        ((self.window + self.unreported()) as u32).clamp(1, self.max_window_packets.max(1))
    }

    fn set_max_rate(&mut self, packets_per_s: Option<f64>) {
        // A rate that is none (zero, negative, not a number) is the slowest.
        self.pace_max = packets_per_s.map_or(PACE_MAX, |rate| rate.max(PACE_MIN));
    }

    /// TCP has none.
    fn set_min_rate(&mut self, _packets_per_s: Option<f64>) {}

    fn set_max_window(&mut self, packets: u32) {
        self.max_window_packets = packets;
    }

    fn bandwidth_packets_per_s(&self) -> Option<f64> {
        let srtt = self.srtt.filter(|srtt| !srtt.is_zero())?;
        let flight = self.window.min(self.flight_max[0].max(self.flight_max[1]));
        Some(flight / srtt.as_secs_f64()).filter(|&rate| rate > 0.0)
    }
}
