//! What a real host does to a protocol's timing: it wakes late, hands over datagrams in batches, and has a coarse clock.

use std::time::{Duration, Instant};

use rand::{RngExt as _, rngs::Xoshiro256PlusPlus};

/// The noise of one host. The default is a perfect one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostNoise {
    /// A datagram is noticed this much later, exponentially distributed: the mean. Default 0.
    pub late_mean: Duration,
    /// The same of a timer. Default 0.
    pub timer_late_mean: Duration,
    /// With this probability it takes `spike` more: another process had the processor. Default 0.
    pub spike_probability: f64,
    /// See `spike_probability`.
    pub spike: Duration,
    /// Most datagrams that are handed over as one batch. Default 1.
    pub batch_segments_max: usize,
    /// How long the network card waits for company after the first datagram. Default 0.
    pub batch_hold: Duration,
    /// The clock moves in steps of this. Default 0: as fine as it gets.
    pub clock_step: Duration,
}

impl Default for HostNoise {
    fn default() -> Self {
        Self {
            late_mean: Duration::ZERO,
            timer_late_mean: Duration::ZERO,
            spike_probability: 0.0,
            spike: Duration::ZERO,
            batch_segments_max: 1,
            batch_hold: Duration::ZERO,
            clock_step: Duration::ZERO,
        }
    }
}

impl HostNoise {
    /// A host with normal noise: datagrams late by `mean`, timers by 0.3 of that (they wake a thread of their own), with spikes
    /// of 5 ms one time in a hundred, and receive offload.
    pub fn busy(mean: Duration) -> Self {
        Self {
            late_mean: mean,
            timer_late_mean: mean.mul_f64(0.3),
            spike_probability: 0.01,
            spike: Duration::from_millis(5),
            batch_segments_max: 64,
            ..Self::default()
        }
    }

    /// Whether datagrams are handed over as they come.
    pub fn is_prompt(&self) -> bool {
        self.late_mean.is_zero() && self.batch_hold.is_zero() && self.spike_probability == 0.0
    }

    /// How late a datagram is noticed this time.
    pub fn lateness(&self, rng: &mut Xoshiro256PlusPlus) -> Duration {
        self.late_by(self.late_mean, rng)
    }

    /// How late a timer is this time.
    pub fn timer_lateness(&self, rng: &mut Xoshiro256PlusPlus) -> Duration {
        self.late_by(self.timer_late_mean, rng)
    }

    /// What the host's clock shows at `now`.
    pub fn shown(&self, now: Instant) -> Instant {
        now - self.past_step(now)
    }

    /// When the host's clock will show `at`.
    pub fn shows_at(&self, at: Instant) -> Instant {
        let past = self.past_step(at);
        if past.is_zero() { at } else { at + (self.clock_step - past) }
    }

    fn late_by(&self, mean: Duration, rng: &mut Xoshiro256PlusPlus) -> Duration {
        if mean.is_zero() && self.spike_probability == 0.0 {
            return Duration::ZERO;
        }
        let late = mean.mul_f64(-(1.0 - rng.random::<f64>()).ln());
        if rng.random::<f64>() < self.spike_probability { late + self.spike } else { late }
    }

    fn past_step(&self, at: Instant) -> Duration {
        if self.clock_step.is_zero() {
            return Duration::ZERO;
        }
        let since = at.saturating_duration_since(crate::clock::origin()).as_nanos();
        Duration::from_nanos((since % self.clock_step.as_nanos()) as u64)
    }
}
