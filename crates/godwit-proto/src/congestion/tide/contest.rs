//! Whether somebody else fills the buffer: what decides on entering the competitive mode, and on leaving it.

use std::collections::VecDeque;

use super::delay::Delay;

/// A flow that left the competitive mode this recently believes sooner that it has to go back.
const RECENT: f64 = 20.0;
/// All flows look for their least RTT once in this time, on the clock of the wall.
const RTT_SLOT: f64 = 10.0;
/// The drain tests of the competitive mode sit on multiples of this, so that all our flows drain together.
const DRAIN_SLOT_MIN: f64 = 5.0;
const DRAIN_SLOT_MAX: f64 = 20.0;
/// Seconds that the slow test looks back, in buckets of one second: it begins anew in each slot in which the queue was gone.
const BUCKETS: usize = 12;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    start: f64,
    bandwidth_max: f64,
    queue_sum: f64,
    target: f64,
    rounds: f64,
}

/// Times in seconds, rates in packets per second.
#[derive(Clone, Debug)]
pub(super) struct Contest {
    buckets: VecDeque<Bucket>,
    /// Rounds with a queue that our own slowing down did not drain, less those without.
    hot_rounds: u32,
    /// Rounds with a queue shortly after leaving.
    returned_rounds: u32,
    reference: f64,
    /// What has to be added to `now` for the time on the wall.
    wall_clock: f64,
    slot: f64,
    slot_at: f64,
    rtt_slot: f64,
    left_at: f64,
    saved_window: f64,
}

impl Contest {
    /// `wall_clock` is what it says at time 0.
    pub(super) fn new(wall_clock: f64) -> Self {
        Self {
            buckets: VecDeque::new(),
            hot_rounds: 0,
            returned_rounds: 0,
            reference: 0.0,
            wall_clock,
            slot: DRAIN_SLOT_MIN,
            slot_at: 0.0,
            rtt_slot: (wall_clock / RTT_SLOT).floor(),
            left_at: -100.0,
            saved_window: 0.0,
        }
    }

    /// A round in delay mode; returns the best bandwidth of the last twelve seconds.
    pub(super) fn observe(&mut self, now: f64, bandwidth: f64, queue: f64, target: f64, delay: &Delay) -> f64 {
        let hot = if self.is_recent(now) {
            (2.0 * target).max(target + 0.002)
        } else {
            (2.0 * target).max(target + 0.003).max(target + 4.0 / bandwidth.max(80.0))
        };
        if queue < 1.15 * target {
            self.reference = bandwidth;
        }
        self.hot_rounds = match queue > hot {
            true if delay.is_rising() => self.hot_rounds + 1,
            false if queue < 1.5 * target => self.hot_rounds.saturating_sub(2),
            _ => self.hot_rounds.saturating_sub(1),
        };
        let has_returned = queue > 1.3 * target && delay.is_rising();
        self.returned_rounds = if has_returned { self.returned_rounds + 1 } else { 0 };
        match self.buckets.back_mut() {
            Some(bucket) if now - bucket.start < 1.0 => {
                bucket.bandwidth_max = bucket.bandwidth_max.max(bandwidth);
                bucket.queue_sum += queue;
                bucket.rounds += 1.0;
                bucket.target = target;
            }
            _ => {
                let bucket = Bucket { start: now, bandwidth_max: bandwidth, queue_sum: queue, target, rounds: 1.0 };
                self.buckets.push_back(bucket);
            }
        }
        while self.buckets.len() > BUCKETS {
            self.buckets.pop_front();
        }
        self.best()
    }

    /// Whether the queue came back as soon as we had left the competitive mode, and rises for so many rounds: our own flows let it
    /// swing, since all resume at once.
    pub(super) fn has_returned(&mut self, now: f64, min_rtt: f64, rounds: u32) -> bool {
        let is_watching = now - self.left_at < 2.0_f64.max(15.0 * min_rtt);
        if !is_watching {
            self.returned_rounds = 0;
        }
        is_watching && self.returned_rounds >= rounds
    }

    /// Whether the queue is somebody else's: for eight rounds though we yield, or for nine of twelve seconds
    /// while our rate fell below two thirds of its best. `best_target` is the target queue at [`observe`](Self::observe)'s result.
    pub(super) fn is_crowded(&mut self, now: f64, bandwidth: f64, best_target: f64) -> bool {
        let is_recent = self.is_recent(now);
        let (rounds, buckets) = if is_recent { (6, 4) } else { (8, 9) };
        let is_hot = |bucket: &&Bucket| {
            let queue = bucket.queue_sum / bucket.rounds;
            queue > 1.5 * best_target && queue > 1.12 * bucket.target
        };
        let hot_buckets = self.buckets.iter().filter(is_hot).count();
        let is_squeezed = hot_buckets >= buckets && (is_recent || bandwidth < 0.65 * self.best());
        if is_squeezed {
            self.reference = self.reference.max(self.best());
        }
        is_squeezed || self.hot_rounds >= rounds
    }

    /// The rate to claim on entering.
    pub(super) fn reference(&self, bandwidth: f64) -> f64 {
        bandwidth.max(0.85 * self.reference)
    }

    /// A window on entering, not below what we left with a moment ago.
    pub(super) fn at_least_recent(&self, now: f64, window: f64) -> f64 {
        if now - self.left_at < 6.0 { window.max(0.85 * self.saved_window) } else { window }
    }

    /// The competitive mode begins, perhaps again.
    pub(super) fn entered(&mut self, now: f64, is_return: bool) {
        self.buckets.clear();
        self.returned_rounds = 0;
        self.slot_at = now;
        self.slot = if is_return { (self.slot * 2.0).clamp(DRAIN_SLOT_MIN, DRAIN_SLOT_MAX) } else { DRAIN_SLOT_MIN };
        self.left_at = if is_return { self.left_at } else { -100.0 };
    }

    /// The competitive mode ends.
    pub(super) fn left(&mut self, now: f64, window: f64, bandwidth: f64) {
        self.hot_rounds = 0;
        self.left_at = now;
        self.saved_window = window;
        self.reference = bandwidth;
    }

    /// Whether a drain test is due: on slots of the clock, so that all our flows drain together.
    pub(super) fn is_slot_due(&self, now: f64, min_rtt: f64) -> bool {
        let slot_at = |time: f64| ((self.wall_clock + time) / self.slot).floor();
        slot_at(now) != slot_at(self.slot_at) && now - self.slot_at > 1.5_f64.max(10.0 * min_rtt)
    }

    /// Whether one of the slots has begun in which all flows look for their least RTT.
    pub(super) fn is_new_slot(&mut self, now: f64) -> bool {
        let slot = ((self.wall_clock + now) / RTT_SLOT).floor();
        std::mem::replace(&mut self.rtt_slot, slot) != slot
    }

    pub(super) fn start_slot(&mut self, now: f64) {
        self.slot_at = now;
    }

    /// The drain test met somebody: the next one comes later.
    pub(super) fn lengthen_slot(&mut self) {
        self.slot = (self.slot * 2.0).clamp(DRAIN_SLOT_MIN, DRAIN_SLOT_MAX);
    }

    /// The queue was gone when we looked for the least RTT, and with us all who look then: nobody else keeps it.
    pub(super) fn drained(&mut self) {
        self.buckets.clear();
        self.calm_down();
    }

    pub(super) fn calm_down(&mut self) {
        self.hot_rounds = 0;
    }

    pub(super) fn is_recent(&self, now: f64) -> bool {
        now - self.left_at < RECENT
    }

    pub(super) fn left_at(&self) -> f64 {
        self.left_at
    }

    pub(super) fn saved_window(&self) -> f64 {
        self.saved_window
    }

    fn best(&self) -> f64 {
        self.buckets.iter().map(|bucket| bucket.bandwidth_max).fold(0.0, f64::max)
    }
}
