//! libudt's congestion control as the specification tells it (sections 5.1 to 5.4), written apart from the controller that it is
//! compared with.

use std::time::{Duration, Instant};

use godwit_proto::packet::AckRates;
use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

use super::SYN;

const SYN_US: f64 = 10_000.0;
const MSS_BYTES: f64 = 1500.0;
const INCREASE_MIN: f64 = 0.01;
const DECREASES_MAX: u32 = 5;

/// See the module. Packets are named by their index from the first.
#[derive(Debug)]
pub(super) struct Congestion {
    rng: Xoshiro256PlusPlus,
    window_max: f64,
    pub(super) window: f64,
    pub(super) period_us: f64,
    in_slow_start: bool,
    acked: u64,
    last_change: Option<Instant>,
    delivery_rate: u32,
    bandwidth: u32,
    has_lost: bool,
    last_decrease: i64,
    last_decrease_period_us: f64,
    naks: u32,
    naks_mean: u32,
    stride: u32,
    decreases: u32,
}

impl Congestion {
    pub(super) fn new(window_max: u32, seed: u64) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            window_max: window_max.into(),
            window: 16.0,
            period_us: 1.0,
            in_slow_start: true,
            acked: 0,
            last_change: None,
            delivery_rate: 16,
            bandwidth: 1,
            has_lost: false,
            last_decrease: -1,
            last_decrease_period_us: 1.0,
            naks: 0,
            naks_mean: 0,
            stride: 1,
            decreases: 0,
        }
    }

    /// A full ACK that releases something.
    pub(super) fn on_ack(&mut self, now: Instant, acked: u64, rates: Option<AckRates>, rtt: Duration) {
        if let Some(rates) = rates {
            smooth(&mut self.delivery_rate, rates.arrival_speed_packets_per_s);
            smooth(&mut self.bandwidth, rates.link_capacity_packets_per_s);
        }
        if self.last_change.is_some_and(|at| now - at < SYN) {
            return;
        }
        self.last_change = Some(now);
        if self.in_slow_start {
            self.window += (acked - self.acked + 1) as f64;
            self.acked = acked;
            if self.window <= self.window_max {
                return;
            }
            self.leave_slow_start();
        } else {
            self.window = f64::from(self.delivery_rate) * (rtt + SYN).as_secs_f64() + 16.0;
        }
        if !std::mem::take(&mut self.has_lost) {
            self.period_us = self.period_us * SYN_US / (self.period_us * self.increase() + SYN_US);
        }
    }

    /// A NAK whose first packet is `first`, when `next` was to be sent.
    pub(super) fn on_nak(&mut self, first: u64, next: u64) {
        if self.in_slow_start {
            self.leave_slow_start();
            return;
        }
        self.has_lost = true;
        if first as i64 > self.last_decrease {
            self.last_decrease_period_us = self.period_us;
            self.naks_mean = (0.875 * f64::from(self.naks_mean) + 0.125 * f64::from(self.naks)).ceil() as u32;
            (self.naks, self.decreases) = (1, 1);
            self.stride = ((f64::from(self.naks_mean) * self.rng.random::<f64>()).ceil() as u32).max(1);
            self.decrease(next);
        } else if self.decreases < DECREASES_MAX {
            self.decreases += 1;
            self.naks += 1;
            if self.naks.is_multiple_of(self.stride) {
                self.decrease(next);
            }
        }
    }

    /// EXP has run out.
    pub(super) fn on_timeout(&mut self) {
        if self.in_slow_start {
            self.leave_slow_start();
        }
    }

    fn leave_slow_start(&mut self) {
        self.in_slow_start = false;
        self.period_us = 1e6 / f64::from(self.delivery_rate);
    }

    fn decrease(&mut self, next: u64) {
        self.period_us = (self.period_us * 1.125).ceil();
        self.last_decrease = next as i64 - 1;
    }

    /// Packets per SYN to add to the rate.
    fn increase(&self) -> f64 {
        let bandwidth = f64::from(self.bandwidth);
        let mut spare = bandwidth - 1e6 / self.period_us;
        if self.period_us > self.last_decrease_period_us {
            spare = spare.min(bandwidth / 9.0);
        }
        if spare <= 0.0 {
            return INCREASE_MIN;
        }
        let magnitude = 10f64.powf((spare * MSS_BYTES * 8.0).log10().ceil());
        (magnitude * 1.5e-6 / MSS_BYTES).max(INCREASE_MIN)
    }
}

/// 0 is "unknown".
fn smooth(value: &mut u32, sample: u32) {
    if sample > 0 {
        *value = ((u64::from(*value) * 7 + u64::from(sample)) / 8) as u32;
    }
}
