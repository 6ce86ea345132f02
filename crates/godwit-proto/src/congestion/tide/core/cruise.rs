//! Cruising: the queue is steered to its target, pulses look for more, and others are noticed.

use super::super::competition::Competition;
use super::super::policy::PolicyKind;
use super::down_test::{DownTest, Reason};
use super::{Core, Purpose, TARGET_RATE_MIN};

/// Bounds of what the queue adds to the pace.
const FASTEST: f64 = 0.05;
const SLOWEST: f64 = -0.15;
const SLOWEST_LOW: f64 = -0.5;
/// An error of the queue that stays for some twenty rounds counts for four: it is an estimate that is wrong by a per cent or two, or
/// the share of a flow that is far from equal. More at once would make the queue swing.
const LEAN_WEIGHT: f64 = 0.05;
const LEAN_GAIN: f64 = 3.0;
/// Beside a flow that fills the buffer this is the part of its rate that a flow gives up each round-trip; more, and the queue would
/// never get so long that the other is noticed.
const LEAN_SLOWEST: f64 = -0.008;

impl Core {
    pub(super) fn on_competitive_round(&mut self) {
        self.watch.on_round(self.delay.queue());
        let Some(competition) = &mut self.competition else { return };
        let rate = self.bandwidth.last_round();
        competition.on_round(rate);
        if self.watch.is_forgotten(self.now) {
            competition.give_way(rate, self.delay.smoothed());
        }
        // One who does not yield fills what we drain, and shows us the least RTT himself.
        if !competition.is_standing() && self.contest.is_slot_due(self.now, self.delay.min_rtt()) {
            self.contest.start_slot(self.now);
            self.probe_rtt(true);
        } else {
            self.mark(Purpose::Calm);
        }
    }

    pub(super) fn on_cruise_round(&mut self) {
        if self.advance_test() {
            return;
        }
        let (queue, target) = (self.delay.queue(), self.target_queue());
        let bandwidth = self.bandwidth.estimate();
        self.observe_others(bandwidth, queue, target);
        // Both look at the clock.
        let (is_slot, is_suspect) = (self.contest.is_new_slot(self.now), self.contest.is_test_due(self.now, bandwidth));
        if is_suspect && self.policy.kind != PolicyKind::Low && !self.delay.is_falling() {
            return self.probe_rtt(true);
        }
        if self.delay.is_stale(self.now, is_slot) {
            return self.probe_rtt(false);
        }
        let is_test_due = self.now > self.next_test && queue < 1.3 * target;
        if self.test == DownTest::None
            && self.pulse.is_idle()
            && is_test_due
            && let Some(loss) = self.floor.questionable()
        {
            return self.start_test(0.95 * bandwidth, loss, queue, Reason::Routine);
        }
        let may_start = self.now > self.hold.until && queue < 0.35 * target;
        // A policer that was not overrun for the time of a hold has saved some tokens: what they carry is not capacity.
        let is_cautious = self.now < self.hold.until + 5.0 || self.now - self.contest.left_at() < 10.0;
        let steps_max = if is_cautious { 1 } else { 4 };
        let retry_at = self.now + 3.0 * self.delay.min_rtt();
        // Not the target that losses have lowered: pulses find the way back after them.
        let free_target = self.policy.target_queue(bandwidth.max(TARGET_RATE_MIN));
        self.pulse.bound_by(free_target, self.delay.min_rtt());
        self.pulse.on_round(self.now, bandwidth, queue < 0.5 * target, may_start, steps_max, retry_at);
        self.queue_cap.recover(self.now, self.now > self.hold.until);
        let last_round = self.bandwidth.last_round();
        let is_drained = self.delay.is_draining() || self.now - self.cruising_since < 2.0 * self.delay.smoothed();
        let is_overfull = queue > (4.0 * target).max(target + 0.02) && !is_drained;
        if is_overfull && last_round > 0.0 && last_round < 0.8 * bandwidth {
            // A standing queue means that the last round is the share; in one that goes, or was made to go, what arrives is what little
            // was sent. A rate is that of a round-trip, whose packets left in the one before.
            self.bandwidth.reset(last_round);
        }
        self.lean += LEAN_WEIGHT * (self.queue_error().clamp(SLOWEST, FASTEST) - self.lean);
        self.steer();
        // A fixed rate has no gain.
        let is_up = (self.pulse.is_up() || self.gain > 1.03) && !matches!(self.policy.kind, PolicyKind::Fixed { .. });
        self.mark(if is_up { Purpose::Up } else { Purpose::Calm });
    }

    fn observe_others(&mut self, bandwidth: f64, queue: f64, target: f64) {
        let usual = self.target_queue_at(self.contest.reference(bandwidth));
        self.contest.observe(self.now, bandwidth, queue, [target, usual], self.delay.is_rising());
    }

    /// Enters the competitive mode with this window.
    pub(super) fn compete(&mut self, window: f64) {
        self.contest.entered(self.now);
        self.competition = Some(Competition::new(window, matches!(self.policy.kind, PolicyKind::High)));
    }

    /// Steers the queue towards its target.
    pub(super) fn steer(&mut self) {
        let (queue, target) = (self.delay.queue(), self.target_queue());
        let (slowest, lean_slowest) = match self.policy.kind {
            PolicyKind::Low => (SLOWEST_LOW, SLOWEST_LOW),
            PolicyKind::High => (SLOWEST, LEAN_SLOWEST / 4.0),
            _ => (SLOWEST, LEAN_SLOWEST),
        };
        let lean = (LEAN_GAIN * self.lean).max(lean_slowest);
        let mut gain = 1.0 + (self.queue_error() + lean).clamp(slowest, FASTEST);
        if self.pulse.is_up() {
            if queue > 0.7 * target {
                self.pulse.look();
            } else {
                gain = self.pulse.gain();
            }
        }
        if self.now < self.hold.until {
            gain = gain.min(1.0);
        }
        self.gain = gain;
    }

    /// How much faster the pace should be for the queue to reach its target soon.
    pub(super) fn queue_error(&self) -> f64 {
        (self.target_queue() - self.delay.queue()) / (2.5 * self.delay.min_rtt() + 0.03)
    }
}
