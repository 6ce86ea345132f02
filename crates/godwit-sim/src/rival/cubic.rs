//! CUBIC with HyStart++.
//!
//! Source: RFC 9438 (CUBIC), RFC 9406 (HyStart++); paced at twice the window per round-trip time in slow start and 1.2 times
//! after it, as Linux does.

use super::Acked;

const INITIAL_WINDOW: f64 = 10.0;
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// RFC 9438, section 4.3: what makes the estimate of Reno as fast as Reno.
const ALPHA_RENO: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// RFC 9406, section 4.2 and 4.3.
const HYSTART_SAMPLES: u32 = 8;
const HYSTART_DELAY_MIN_S: f64 = 0.004;
const HYSTART_DELAY_MAX_S: f64 = 0.016;
const CONSERVATIVE_ROUNDS: u32 = 5;
const CONSERVATIVE_DIVISOR: f64 = 4.0;

/// See the module.
#[derive(Debug)]
pub(super) struct Cubic {
    window: f64,
    threshold: f64,
    /// The window before the last reduction, and at the start of this epoch.
    window_max: f64,
    reno_window: f64,
    epoch: Option<Epoch>,
    /// Losses of segments before this one belong to the reduction that was made.
    recovery_ends: u64,
    slow_start: SlowStart,
}

#[derive(Clone, Copy, Debug)]
struct Epoch {
    started: std::time::Instant,
    /// Seconds until the window is `window_max` again.
    k_s: f64,
}

/// HyStart++: leaves slow start when a round takes longer than the one before.
#[derive(Debug)]
struct SlowStart {
    round_ends: u64,
    samples: u32,
    rtt_min_s: f64,
    last_rtt_min_s: f64,
    /// Rounds of conservative slow start so far, and the RTT that it began with.
    conservative: Option<(u32, f64)>,
}

impl Cubic {
    pub(super) fn new() -> Self {
        Self {
            window: INITIAL_WINDOW,
            threshold: f64::INFINITY,
            window_max: 0.0,
            reno_window: 0.0,
            epoch: None,
            recovery_ends: 0,
            slow_start: SlowStart {
                round_ends: 0,
                samples: 0,
                rtt_min_s: f64::INFINITY,
                last_rtt_min_s: f64::INFINITY,
                conservative: None,
            },
        }
    }

    pub(super) fn on_ack(&mut self, acked: &Acked) {
        if acked.first_lost.is_some_and(|first| first >= self.recovery_ends) {
            self.reduce(acked.next);
            return;
        }
        // A window that was not used is not known to be too small (RFC 9438, section 5.8).
        let is_used = (acked.in_flight + acked.newly) as f64 >= self.window * 0.5;
        if !is_used {
            return;
        }
        if self.window < self.threshold {
            self.grow_slow_start(acked);
        } else {
            self.grow_cubic(acked);
        }
    }

    pub(super) fn on_timeout(&mut self) {
        self.window_max = self.window;
        self.threshold = (self.window * BETA).max(2.0);
        self.window = 1.0;
        self.epoch = None;
    }

    pub(super) fn window(&self) -> f64 {
        self.window
    }

    pub(super) fn pace(&self, srtt_s: f64) -> f64 {
        let gain = if self.window < self.threshold / 2.0 { 2.0 } else { 1.2 };
        gain * self.window / srtt_s.max(1e-6)
    }

    fn reduce(&mut self, next: u64) {
        self.recovery_ends = next;
        // Fast convergence: a window that did not get back to its maximum gives room to others.
        self.window_max = if self.window < self.window_max { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (self.window * BETA).max(2.0);
        self.threshold = self.window;
        self.epoch = None;
    }

    fn grow_slow_start(&mut self, acked: &Acked) {
        let divisor = self.slow_start.on_ack(acked);
        self.window += acked.newly as f64 / divisor;
        if self.slow_start.conservative.is_some_and(|(rounds, _)| rounds >= CONSERVATIVE_ROUNDS) {
            self.threshold = self.window;
        }
    }

    fn grow_cubic(&mut self, acked: &Acked) {
        let (window, window_max) = (self.window, self.window_max);
        if self.epoch.is_none() {
            self.window_max = window_max.max(window);
            self.reno_window = window;
        }
        let k_s = ((self.window_max - window) / C).max(0.0).cbrt();
        let epoch = *self.epoch.get_or_insert(Epoch { started: acked.now, k_s });
        let t_s = acked.now.saturating_duration_since(epoch.started).as_secs_f64() + acked.srtt_s;
        let target = (self.window_max + C * (t_s - epoch.k_s).powi(3)).clamp(window, 1.5 * window);
        let alpha = if self.reno_window < self.window_max { ALPHA_RENO } else { 1.0 };
        self.reno_window += alpha * acked.newly as f64 / window;
        let grown = window + (target - window) / window * acked.newly as f64;
        self.window = grown.max(self.reno_window.min(window + acked.newly as f64));
    }
}

impl SlowStart {
    /// By how much slower than slow start the window grows.
    fn on_ack(&mut self, acked: &Acked) -> f64 {
        if acked.delivered >= self.round_ends {
            self.round_ends = acked.delivered + acked.in_flight;
            self.last_rtt_min_s = self.rtt_min_s;
            (self.rtt_min_s, self.samples) = (f64::INFINITY, 0);
            if let Some((rounds, _)) = &mut self.conservative {
                *rounds += 1;
            }
        }
        if let Some(rtt_s) = acked.rtt_s {
            self.rtt_min_s = self.rtt_min_s.min(rtt_s);
            self.samples += 1;
        }
        let is_judged = self.samples >= HYSTART_SAMPLES && self.last_rtt_min_s.is_finite();
        match self.conservative {
            None if is_judged => {
                let rise_s = (self.last_rtt_min_s / 8.0).clamp(HYSTART_DELAY_MIN_S, HYSTART_DELAY_MAX_S);
                if self.rtt_min_s >= self.last_rtt_min_s + rise_s {
                    self.conservative = Some((0, self.rtt_min_s));
                }
            }
            Some((_, baseline_s)) if is_judged && self.rtt_min_s < baseline_s => self.conservative = None,
            _ => {}
        }
        if self.conservative.is_some() { CONSERVATIVE_DIVISOR } else { 1.0 }
    }
}
