//! The greatest arrival speed of the last second.
//!
//! A native sender lets as much fly as arrives in RTT + 10 ms at the reported speed. While a gap is being repaired nothing is
//! acknowledged, twice that is in flight, and the sender stops; then less arrives, and were that reported the window would
//! shrink with it, and so on down. So a pause must not count at once. libudt's median of 16 intervals forgets pauses, too.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Batch;

/// Packets are counted over at least this long: a burst is not a speed.
const WINDOW_MIN: Duration = Duration::from_millis(10);
/// A window that has become longer contains a silence, and is no speed.
const WINDOW_MAX: Duration = Duration::from_millis(100);
/// A speed counts for this long, in which a path that became slower is still taken for fast.
const MEMORY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct PeakSpeed {
    began: Option<Instant>,
    /// Those that came after `began`.
    packets: u64,
    /// When each was measured, and packets per second: each is less than those before it, so there are at most
    /// `MEMORY / WINDOW_MIN`.
    peaks: VecDeque<(Instant, f64)>,
}

impl PeakSpeed {
    /// Takes in a batch, no earlier than the last.
    pub(super) fn add(&mut self, batch: &Batch) {
        let now = batch.arrived;
        let began = *self.began.get_or_insert(now);
        if now > began {
            self.packets += u64::from(batch.packets);
        }
        let length = now.saturating_duration_since(began);
        if length < WINDOW_MIN {
            return;
        }
        if length <= WINDOW_MAX {
            self.measured(now, self.packets as f64 / length.as_secs_f64());
        }
        self.began = Some(now);
        self.packets = 0;
    }

    /// Packets per second; 0 if there was no window yet.
    pub(super) fn packets_per_s(&self) -> f64 {
        self.peaks.front().map_or(0.0, |&(_, speed)| speed)
    }

    fn measured(&mut self, now: Instant, packets_per_s: f64) {
        while self.peaks.back().is_some_and(|&(_, speed)| speed <= packets_per_s) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((now, packets_per_s));
        while self.peaks.front().is_some_and(|&(at, _)| now.saturating_duration_since(at) > MEMORY) {
            self.peaks.pop_front();
        }
    }
}
