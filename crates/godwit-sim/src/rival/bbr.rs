//! BBRv3, simplified: the states, gains and loss bounds, without ECN, idle restart, and the undo of loss events.
//!
//! Source: draft-ietf-ccwg-bbr, sections 4 and 5.

use std::time::Instant;

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

use super::Acked;
use super::window_max::WindowMax;

const STARTUP_PACING_GAIN: f64 = 2.77;
const STARTUP_WINDOW_GAIN: f64 = 2.0;
const DRAIN_PACING_GAIN: f64 = 0.5;
const DOWN_PACING_GAIN: f64 = 0.9;
const UP_PACING_GAIN: f64 = 1.25;
const UP_WINDOW_GAIN: f64 = 2.25;
const PROBE_RTT_WINDOW_GAIN: f64 = 0.5;
const PROBE_RTT_S: f64 = 0.2;
const PROBE_RTT_INTERVAL_S: f64 = 5.0;
const MIN_RTT_WINDOW_S: f64 = 10.0;
/// The pace stays this far below the estimate.
const PACING_MARGIN: f64 = 0.99;
const LOSS_THRESHOLD: f64 = 0.02;
const BETA: f64 = 0.7;
const HEADROOM: f64 = 0.85;
const FULL_BANDWIDTH_GROWTH: f64 = 1.25;
const FULL_BANDWIDTH_ROUNDS: u32 = 3;
/// Loss events in a round of start-up that end it, if the share is above the threshold.
const STARTUP_LOSSES: u64 = 6;
const RENO_ROUNDS_MAX: f64 = 63.0;
const WINDOW_MIN: f64 = 4.0;
const INITIAL_WINDOW: f64 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Bbr {
    rng: Xoshiro256PlusPlus,
    state: State,
    state_began: Option<Instant>,
    state_round: u64,
    bandwidth: WindowMax,
    /// Short-term bounds from loss, and the long-term one.
    bandwidth_low: f64,
    inflight_low: f64,
    inflight_high: f64,
    up_growth: f64,
    cycle: u64,
    cruise_s: f64,
    rtt_min_s: f64,
    rtt_min_at: Option<Instant>,
    probe_rtt_until: Option<Instant>,
    full_bandwidth: f64,
    full_bandwidth_rounds: u32,
    round: u64,
    round_ends: u64,
    round_lost: u64,
    round_delivered: u64,
    round_rate: f64,
    in_flight: f64,
}

impl Bbr {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            state: State::Startup,
            state_began: None,
            state_round: 0,
            bandwidth: WindowMax::new(2),
            bandwidth_low: f64::INFINITY,
            inflight_low: f64::INFINITY,
            inflight_high: f64::INFINITY,
            up_growth: 1.0,
            cycle: 0,
            cruise_s: 2.5,
            rtt_min_s: f64::INFINITY,
            rtt_min_at: None,
            probe_rtt_until: None,
            full_bandwidth: 0.0,
            full_bandwidth_rounds: 0,
            round: 0,
            round_ends: 0,
            round_lost: 0,
            round_delivered: 0,
            round_rate: 0.0,
            in_flight: 0.0,
        }
    }

    pub(super) fn on_ack(&mut self, acked: &Acked) {
        self.in_flight = acked.in_flight as f64;
        self.take_in_rtt(acked);
        self.round_lost += acked.lost;
        self.round_delivered += acked.newly;
        if let Some(rate) = acked.rate {
            self.round_rate = self.round_rate.max(rate);
            self.bandwidth.insert(self.cycle, rate);
        }
        if acked.prior_delivered >= self.round_ends {
            self.round_ends = acked.delivered;
            self.round += 1;
            self.end_round(acked.now);
        }
        self.step(acked.now);
    }

    pub(super) fn on_timeout(&mut self) {
        self.in_flight = 0.0;
        self.inflight_low = self.inflight_low.min((self.bdp() * BETA).max(WINDOW_MIN));
    }

    pub(super) fn window(&self) -> f64 {
        if self.bandwidth.value() == 0.0 {
            return INITIAL_WINDOW;
        }
        let gain = match self.state {
            State::Up => UP_WINDOW_GAIN,
            State::ProbeRtt => PROBE_RTT_WINDOW_GAIN,
            _ => STARTUP_WINDOW_GAIN,
        };
        // Room for acknowledgements that come in lumps.
        let lumps = if self.state == State::ProbeRtt { 0.0 } else { 3.0 };
        let bound = match self.state {
            State::Startup | State::Drain | State::Refill | State::Up => self.inflight_high,
            State::Down | State::Cruise | State::ProbeRtt => (HEADROOM * self.inflight_high).min(self.inflight_low),
        };
        (gain * self.bdp() + lumps).min(bound).max(WINDOW_MIN)
    }

    pub(super) fn pace(&self, srtt_s: f64) -> f64 {
        if self.bandwidth.value() == 0.0 {
            return STARTUP_PACING_GAIN * INITIAL_WINDOW / srtt_s.max(1e-3);
        }
        let gain = match self.state {
            State::Startup => STARTUP_PACING_GAIN,
            State::Drain => DRAIN_PACING_GAIN,
            State::Down => DOWN_PACING_GAIN,
            State::Cruise | State::Refill | State::ProbeRtt => 1.0,
            State::Up => UP_PACING_GAIN,
        };
        PACING_MARGIN * gain * self.estimate()
    }

    fn estimate(&self) -> f64 {
        self.bandwidth.value().min(self.bandwidth_low)
    }

    fn bdp(&self) -> f64 {
        self.estimate() * self.rtt_min_s.min(MIN_RTT_WINDOW_S)
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.state_began = Some(now);
        self.state_round = self.round;
    }

    fn in_state_s(&self, now: Instant) -> f64 {
        self.state_began.map_or(0.0, |began| now.saturating_duration_since(began).as_secs_f64())
    }

    fn take_in_rtt(&mut self, acked: &Acked) {
        let Some(rtt_s) = acked.rtt_s else { return };
        let age_s = self.rtt_min_at.map_or(f64::INFINITY, |at| acked.now.saturating_duration_since(at).as_secs_f64());
        if rtt_s <= self.rtt_min_s || age_s > MIN_RTT_WINDOW_S {
            self.rtt_min_s = rtt_s;
            self.rtt_min_at = Some(acked.now);
        }
    }

    fn end_round(&mut self, now: Instant) {
        let total = (self.round_lost + self.round_delivered).max(1);
        let loss = self.round_lost as f64 / total as f64;
        match self.state {
            State::Startup => self.judge_startup(loss, now),
            State::Refill | State::Up if loss > LOSS_THRESHOLD => {
                self.inflight_high = self.in_flight.max(self.bdp() * BETA);
                self.begin_down(now);
            }
            State::Up if self.in_flight > 0.95 * self.inflight_high => {
                self.inflight_high += self.up_growth;
                self.up_growth *= 2.0;
            }
            State::Down | State::Cruise if self.round_lost > 0 => self.lower_bounds(),
            _ => {}
        }
        (self.round_lost, self.round_delivered, self.round_rate) = (0, 0, 0.0);
    }

    fn lower_bounds(&mut self) {
        if self.bandwidth_low.is_infinite() {
            self.bandwidth_low = self.bandwidth.value();
            self.inflight_low = self.bdp().max(self.in_flight);
        }
        self.bandwidth_low = self.round_rate.max(self.bandwidth_low * BETA);
        self.inflight_low = (self.round_rate * self.rtt_min_s).max(self.inflight_low * BETA);
    }

    fn judge_startup(&mut self, loss: f64, now: Instant) {
        if self.bandwidth.value() >= self.full_bandwidth * FULL_BANDWIDTH_GROWTH {
            self.full_bandwidth = self.bandwidth.value();
            self.full_bandwidth_rounds = 0;
        } else {
            self.full_bandwidth_rounds += 1;
        }
        let is_lossy = loss > LOSS_THRESHOLD && self.round_lost >= STARTUP_LOSSES;
        if is_lossy {
            self.inflight_high = self.bdp().max(self.round_delivered as f64);
        }
        if is_lossy || self.full_bandwidth_rounds >= FULL_BANDWIDTH_ROUNDS {
            self.enter(State::Drain, now);
        }
    }

    fn begin_down(&mut self, now: Instant) {
        self.cruise_s = 2.0 + self.rng.random::<f64>();
        self.cycle += 1;
        self.enter(State::Down, now);
    }

    fn step(&mut self, now: Instant) {
        match self.state {
            State::Startup => {}
            State::Drain if self.in_flight <= self.bdp() => self.begin_down(now),
            State::Drain => {}
            State::Down => {
                let target = self.bdp().min(HEADROOM * self.inflight_high);
                if self.in_flight <= target || self.in_state_s(now) > self.rtt_min_s {
                    self.state = State::Cruise;
                }
            }
            State::Cruise => {
                let rounds = (self.round - self.state_round) as f64;
                if self.in_state_s(now) > self.cruise_s || rounds >= self.bdp().clamp(1.0, RENO_ROUNDS_MAX) {
                    (self.bandwidth_low, self.inflight_low) = (f64::INFINITY, f64::INFINITY);
                    self.enter(State::Refill, now);
                }
            }
            State::Refill if self.round > self.state_round => {
                self.up_growth = 1.0;
                self.enter(State::Up, now);
            }
            State::Refill => {}
            State::Up => {
                let is_full = self.in_state_s(now) > self.rtt_min_s && self.in_flight >= UP_PACING_GAIN * self.bdp();
                if is_full || self.round > self.state_round + 4 {
                    self.begin_down(now);
                }
            }
            State::ProbeRtt => self.probe_rtt(now),
        }
        let age_s = self.rtt_min_at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        if age_s > PROBE_RTT_INTERVAL_S && !matches!(self.state, State::Startup | State::ProbeRtt) {
            self.probe_rtt_until = None;
            self.enter(State::ProbeRtt, now);
        }
    }

    fn probe_rtt(&mut self, now: Instant) {
        match self.probe_rtt_until {
            None if self.in_flight <= (PROBE_RTT_WINDOW_GAIN * self.bdp()).max(WINDOW_MIN) => {
                self.probe_rtt_until = Some(now + std::time::Duration::from_secs_f64(PROBE_RTT_S));
            }
            Some(until) if now >= until => {
                self.rtt_min_at = Some(now);
                self.cruise_s = 2.0 + self.rng.random::<f64>();
                self.enter(State::Cruise, now);
            }
            _ => {}
        }
    }
}
