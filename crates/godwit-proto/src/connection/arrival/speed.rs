//! Packets over time within the last 10 to 100 ms.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Batch;

/// Arrivals within less than this count as if they had taken this long: a burst is not a speed.
const MIN_SPEED_WINDOW: Duration = Duration::from_millis(10);
/// Arrivals longer ago than this say nothing about the speed now.
const MAX_SPEED_WINDOW: Duration = Duration::from_millis(100);
/// Arrivals are summed over slots of this length, so the window needs at most 101 of them.
const SPEED_SLOT: Duration = Duration::from_millis(1);

/// Arrivals of the last [`MAX_SPEED_WINDOW`].
#[derive(Clone, Debug, Default)]
pub(super) struct SpeedWindow {
    slots: VecDeque<SpeedSlot>,
    /// The sum of the slots.
    total: Count,
    /// The speed when the window was last at least [`MIN_SPEED_WINDOW`] long: it outlives a silence.
    last_per_s: Option<(f64, f64)>,
}

impl SpeedWindow {
    /// Takes in a batch, no earlier than the last.
    pub(super) fn add(&mut self, batch: &Batch) {
        let (now, arrived) = (batch.arrived, Count { packets: batch.packets.into(), bytes: batch.bytes });
        while let Some(slot) = self.slots.front().copied() {
            if now.saturating_duration_since(slot.began) <= MAX_SPEED_WINDOW {
                break;
            }
            self.total.sub(slot.arrived);
            self.slots.pop_front();
        }
        self.total.add(arrived);
        match self.slots.back_mut() {
            Some(slot) if now.saturating_duration_since(slot.began) < SPEED_SLOT => {
                if slot.began == now {
                    slot.arrived_first.add(arrived);
                }
                slot.ended = now;
                slot.arrived.add(arrived);
            }
            _ => self.slots.push_back(SpeedSlot { began: now, ended: now, arrived, arrived_first: arrived }),
        }
        self.last_per_s = self.measured_per_s().or(self.last_per_s);
    }

    /// Packets per second; 0 if none ever came.
    pub(super) fn packets_per_s(&self) -> f64 {
        self.per_s().0
    }

    /// Payload bytes per second.
    pub(super) fn bytes_per_s(&self) -> f64 {
        self.per_s().1
    }

    #[cfg(test)]
    pub(super) fn len_slots(&self) -> usize {
        self.slots.len()
    }

    /// The speed over the window, if it is long enough for one.
    fn measured_per_s(&self) -> Option<(f64, f64)> {
        let (first, last) = self.slots.front().zip(self.slots.back())?;
        let window = last.ended.saturating_duration_since(first.began);
        let mut arrived = self.total;
        arrived.sub(first.arrived_first);
        (window >= MIN_SPEED_WINDOW).then(|| arrived.per_s(window))
    }

    /// Until something was measured, what has arrived is taken to have needed [`MIN_SPEED_WINDOW`].
    fn per_s(&self) -> (f64, f64) {
        self.last_per_s.unwrap_or_else(|| self.total.per_s(MIN_SPEED_WINDOW))
    }
}

/// Arrivals within [`SPEED_SLOT`] of the first of them.
#[derive(Clone, Copy, Debug)]
struct SpeedSlot {
    began: Instant,
    ended: Instant,
    arrived: Count,
    /// What arrived at `began`: if the slot is the first of the window, this came before the window's time began to
    /// run.
    arrived_first: Count,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    packets: u64,
    bytes: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }

    fn sub(&mut self, other: Self) {
        self.packets -= other.packets;
        self.bytes -= other.bytes;
    }

    fn per_s(self, time: Duration) -> (f64, f64) {
        (self.packets as f64 / time.as_secs_f64(), self.bytes as f64 / time.as_secs_f64())
    }
}
