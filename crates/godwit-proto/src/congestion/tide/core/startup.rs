//! The start-up: the first flight measures the path, and the growth ends where the measurement says, or where it shows.

use super::{Ack, Core, Purpose, State};

/// The first flight: two trains of 16, which measure the path's dispersion.
pub(super) const FIRST_FLIGHT_PACKETS: f64 = 32.0;
/// How much faster than the path is known to be, where a sample lags by a round-trip...
const STARTUP_GAIN: f64 = 2.77;
/// ... and where it doesn't: no more than doubling, so that one BDP of buffer takes what is too much.
const STARTUP_GAIN_RECENT: f64 = 2.0;
/// With a hint the pace grows by this much, up to a little more than the hint. When nearly all of the hint arrives, a round-trip is
/// left to see whether the path carries more than it said: only then does the growth go on.
const STARTUP_GAIN_HINTED: f64 = 8.0;
const HINT_GAIN: f64 = 1.15;
/// The second flight: a link that is full with others' packets looks empty to a train, and what is too much stands in their queue.
const HINT_JUMP: f64 = 0.5;
const HINT_REACHED: f64 = 0.85;
const HINT_EXCEEDED: f64 = 1.1;
/// A pace above what the path carries leaves a queue. One of less than this part of the RTT, half of the shortest buffer worth the
/// name, says that the hint was too low: a busy host sends the trains of the first flight, or reads them, with pauses.
const HINT_QUEUE_MIN: f64 = 0.01;
/// A hint is taken from the first flight only: later packets show their own spacing.
const HINT_PACKETS: std::ops::RangeInclusive<u64> = 17..=64;
/// A round in which the bandwidth grew by less does not count as growth.
const STARTUP_GROWTH: f64 = 1.25;
const STARTUP_ROUNDS_WITHOUT_GROWTH: u32 = 3;

/// Growth of the start-up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Growth {
    pub(super) bandwidth: f64,
    pub(super) rounds_without: u32,
    /// What the receiver measured of the first flight.
    pub(super) hint: f64,
    /// The highest rate of packets that arrived within a fraction of a round-trip.
    pub(super) recent: f64,
    /// When nearly as much as the hint says arrived.
    pub(super) reached_at: Option<f64>,
    /// What the path carried for an earlier connection.
    pub(super) remembered: f64,
    pub(super) jump: f64,
    pub(super) jump_until: f64,
    /// Samples in a row with a queue that ends the growth.
    pub(super) queued_samples: u32,
}

impl Core {
    pub(super) fn startup_pace(&self) -> f64 {
        let Growth { hint, recent, jump, jump_until, .. } = self.growth;
        let bandwidth = self.bandwidth.estimate();
        let first = FIRST_FLIGHT_PACKETS / self.delay.smoothed().max(0.002);
        let jump = if self.now < jump_until { jump } else { 0.0 };
        let grown = match self.is_exact {
            true if hint > 0.0 => (STARTUP_GAIN_HINTED * recent.max(bandwidth)).min(HINT_GAIN * hint),
            true => STARTUP_GAIN_RECENT * recent.max(bandwidth),
            false => (STARTUP_GAIN * bandwidth).max((0.5 * hint).min(STARTUP_GAIN_HINTED * bandwidth)),
        };
        grown.max(jump).max(first)
    }

    pub(super) fn startup_window(&self, bdp: f64) -> f64 {
        (1.25 * self.startup_pace() * self.delay.smoothed()).max(3.0 * bdp)
    }

    fn startup_queue_max(&self) -> f64 {
        (self.delay.min_rtt() / 8.0).clamp(0.004, 0.016).max(1.5 * self.target_queue())
    }

    pub(super) fn watch_startup_queue(&mut self) {
        let is_queued = self.delay.queue() > self.startup_queue_max();
        self.growth.queued_samples = if is_queued { self.growth.queued_samples + 1 } else { 0 };
    }

    /// Not by one sample: of a packet that libudt's ACKs were silent about because of a gap before it, one is a round-trip too long.
    pub(super) fn is_startup_queued(&self) -> bool {
        self.growth.queued_samples >= 2
    }

    pub(super) fn take_hint(&mut self, ack: &Ack) {
        let Some(hint) = ack.hint.filter(|_| HINT_PACKETS.contains(&ack.delivered_total)) else { return };
        if self.growth.hint == 0.0 {
            let rtt = self.delay.smoothed();
            self.growth.hint = hint;
            // Half of what an earlier connection got, which knew what others leave, if the path still is as fast.
            let remembered = 0.5 * self.growth.remembered.min(hint);
            self.growth.jump = (HINT_JUMP * hint).min(16.0 * FIRST_FLIGHT_PACKETS / rtt).max(remembered);
            self.growth.jump_until = ack.now + 1.5 * rtt;
        }
    }

    pub(super) fn compare_with_hint(&mut self) {
        let Growth { hint, recent, .. } = self.growth;
        if recent < HINT_REACHED * hint {
            return;
        }
        let reached_at = *self.growth.reached_at.get_or_insert(self.now);
        let is_over = self.now - reached_at > 1.25 * self.delay.smoothed();
        let is_queued = self.delay.round_queue_max() >= HINT_QUEUE_MIN * self.delay.min_rtt();
        if recent > HINT_EXCEEDED * hint || (is_over && !is_queued) {
            self.growth.hint = 0.0;
        } else if is_over {
            self.bandwidth.reset(recent.max(self.bandwidth.estimate()));
            self.cruise();
        }
    }

    pub(super) fn leave_startup(&mut self) {
        self.state = State::Drain { rounds: 0 };
        self.mark(Purpose::Other);
        self.reacted_to = self.cohort;
    }

    pub(super) fn on_startup_round(&mut self) {
        let bandwidth = self.bandwidth.estimate();
        if bandwidth >= STARTUP_GROWTH * self.growth.bandwidth || self.now < self.growth.jump_until {
            self.growth.bandwidth = self.growth.bandwidth.max(bandwidth);
            self.growth.rounds_without = 0;
        } else {
            self.growth.rounds_without += 1;
        }
        let is_full = self.growth.rounds_without >= STARTUP_ROUNDS_WITHOUT_GROWTH;
        if is_full || self.is_startup_queued() {
            self.leave_startup();
        } else {
            self.mark(Purpose::Startup);
        }
    }
}
