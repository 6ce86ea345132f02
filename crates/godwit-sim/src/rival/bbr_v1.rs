//! BBR as Linux has it ("BBRv1"), without its aggregation, its policer detection, and the first round of a recovery.
//!
//! Source: draft-cardwell-iccrg-bbr-congestion-control-00.

use std::time::Instant;

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

use super::Acked;
use super::window_max::WindowMax;

const HIGH_GAIN: f64 = 2.885;
const WINDOW_GAIN: f64 = 2.0;
/// Probing for bandwidth goes through these, one for each least RTT.
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
const BANDWIDTH_ROUNDS: u64 = 10;
const MIN_RTT_WINDOW_S: f64 = 10.0;
const PROBE_RTT_S: f64 = 0.2;
/// The pace stays this far below the estimate.
const PACING_MARGIN: f64 = 0.99;
const FULL_BANDWIDTH_GROWTH: f64 = 1.25;
const FULL_BANDWIDTH_ROUNDS: u32 = 3;
const WINDOW_MIN: f64 = 4.0;
const INITIAL_WINDOW: f64 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Startup,
    Drain,
    ProbeBandwidth { phase: usize, since: Instant },
    ProbeRtt { until: Option<Instant> },
}

/// See the module.
#[derive(Debug)]
pub(super) struct BbrV1 {
    rng: Xoshiro256PlusPlus,
    state: State,
    bandwidth: WindowMax,
    rtt_min_s: f64,
    rtt_min_at: Option<Instant>,
    full_bandwidth: f64,
    full_bandwidth_rounds: u32,
    round: u64,
    round_ends: u64,
    in_flight: f64,
}

impl BbrV1 {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            state: State::Startup,
            bandwidth: WindowMax::new(BANDWIDTH_ROUNDS),
            rtt_min_s: f64::INFINITY,
            rtt_min_at: None,
            full_bandwidth: 0.0,
            full_bandwidth_rounds: 0,
            round: 0,
            round_ends: 0,
            in_flight: 0.0,
        }
    }

    pub(super) fn on_ack(&mut self, acked: &Acked) {
        self.in_flight = acked.in_flight as f64;
        if let Some(rate) = acked.rate {
            self.bandwidth.insert(self.round, rate);
        }
        if acked.prior_delivered >= self.round_ends {
            self.round_ends = acked.delivered;
            self.round += 1;
            self.judge_growth();
        }
        self.step(acked);
        self.take_in_rtt(acked);
    }

    pub(super) fn on_timeout(&mut self) {
        self.in_flight = 0.0;
    }

    pub(super) fn window(&self) -> f64 {
        let gain = match self.state {
            State::ProbeRtt { .. } => return WINDOW_MIN,
            State::Startup | State::Drain => HIGH_GAIN,
            State::ProbeBandwidth { .. } => WINDOW_GAIN,
        };
        if self.bandwidth.value() == 0.0 {
            return INITIAL_WINDOW;
        }
        // Room for acknowledgements that come in lumps.
        (gain * self.bdp() + 3.0).max(WINDOW_MIN)
    }

    pub(super) fn pace(&self, srtt_s: f64) -> f64 {
        if self.bandwidth.value() == 0.0 {
            return HIGH_GAIN * INITIAL_WINDOW / srtt_s.max(1e-3);
        }
        let gain = match self.state {
            State::Startup => HIGH_GAIN,
            State::Drain => 1.0 / HIGH_GAIN,
            State::ProbeBandwidth { phase, .. } => CYCLE[phase],
            State::ProbeRtt { .. } => 1.0,
        };
        PACING_MARGIN * gain * self.bandwidth.value()
    }

    fn bdp(&self) -> f64 {
        self.bandwidth.value() * self.rtt_min_s.min(MIN_RTT_WINDOW_S)
    }

    fn judge_growth(&mut self) {
        if self.bandwidth.value() >= self.full_bandwidth * FULL_BANDWIDTH_GROWTH {
            self.full_bandwidth = self.bandwidth.value();
            self.full_bandwidth_rounds = 0;
        } else {
            self.full_bandwidth_rounds += 1;
        }
    }

    fn step(&mut self, acked: &Acked) {
        match self.state {
            State::Startup if self.full_bandwidth_rounds >= FULL_BANDWIDTH_ROUNDS => self.state = State::Drain,
            State::Drain if self.in_flight <= self.bdp() => self.probe_bandwidth(acked.now),
            State::ProbeBandwidth { phase, since } if self.is_phase_over(phase, since, acked) => {
                self.state = State::ProbeBandwidth { phase: (phase + 1) % CYCLE.len(), since: acked.now };
            }
            _ => {}
        }
    }

    fn is_phase_over(&self, phase: usize, since: Instant, acked: &Acked) -> bool {
        let is_full = acked.now.saturating_duration_since(since).as_secs_f64() > self.rtt_min_s;
        match CYCLE[phase] {
            gain if gain > 1.0 => is_full && (acked.lost > 0 || self.in_flight >= gain * self.bdp()),
            gain if gain < 1.0 => is_full || self.in_flight <= self.bdp(),
            _ => is_full,
        }
    }

    /// In any phase but the one that drains.
    fn probe_bandwidth(&mut self, now: Instant) {
        let phase = (self.rng.random_range(2..=CYCLE.len())) % CYCLE.len();
        self.state = State::ProbeBandwidth { phase, since: now };
    }

    fn take_in_rtt(&mut self, acked: &Acked) {
        let age_s = self.rtt_min_at.map_or(f64::INFINITY, |at| acked.now.saturating_duration_since(at).as_secs_f64());
        let is_stale = age_s > MIN_RTT_WINDOW_S;
        if let Some(rtt_s) = acked.rtt_s
            && (rtt_s <= self.rtt_min_s || is_stale)
        {
            self.rtt_min_s = rtt_s;
            self.rtt_min_at = Some(acked.now);
        }
        match self.state {
            State::ProbeRtt { until: None } if self.in_flight <= WINDOW_MIN => {
                let until = acked.now + std::time::Duration::from_secs_f64(PROBE_RTT_S);
                self.state = State::ProbeRtt { until: Some(until) };
            }
            State::ProbeRtt { until: Some(until) } if acked.now >= until => {
                self.rtt_min_at = Some(acked.now);
                self.probe_bandwidth(acked.now);
            }
            State::ProbeRtt { .. } => {}
            _ if is_stale && age_s.is_finite() => self.state = State::ProbeRtt { until: None },
            _ => {}
        }
    }
}
