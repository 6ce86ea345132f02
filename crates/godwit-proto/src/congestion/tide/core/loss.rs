//! What the losses of a cohort mean: noise of the path, the end of a buffer, or a rate that is too high.

use super::super::super::CohortReport;
use super::super::loss_floor::Tally;
use super::down_test::{DownTest, Reason};
use super::{Cohort, Core, Hold, Purpose, State, TARGET_RATE_MIN};

/// What a buffer loses later than this, while the rate is held, is no longer the overflow that the hold answers: somebody else grows.
const HELD_RTTS: f64 = 5.0;

impl Core {
    /// The losses that a rate of ours had a part in. The others are those of a link that was away: in a burst without a queue, or so
    /// many in a row that no queue takes them.
    pub(super) fn without_outages(&self, cohort: &Cohort, queue: f64, report: &CohortReport) -> Tally {
        let tally = Tally { sent: report.sent, lost: report.lost };
        if self.competition.is_none() && self.is_short(queue) {
            tally.without(report.lost_in_bursts)
        } else if cohort.purpose != Purpose::Startup {
            tally.without(report.lost_in_outages)
        } else {
            tally
        }
    }

    /// Not by the target that losses have lowered: each burst that is taken for an overflow lowers it further.
    fn is_short(&self, queue: f64) -> bool {
        queue < 0.5 * self.policy.target_queue(self.bandwidth.estimate().max(TARGET_RATE_MIN))
    }

    pub(super) fn observe_loss(&mut self, cohort: &Cohort, queue: f64, tally: Tally) {
        let is_level = matches!(cohort.purpose, Purpose::Calm | Purpose::Down);
        let is_calm = is_level && self.competition.is_none() && queue < 1.5 * self.target_queue();
        let is_growing = cohort.purpose == Purpose::Startup && queue < 0.002 && self.growth.rounds_without == 0;
        if is_calm || is_growing {
            self.floor.learn(tally);
        } else {
            self.floor.bound(tally);
        }
        let is_empty = self.state == State::Cruise && queue < 0.3 * self.target_queue();
        if is_empty && self.competition.is_none() && cohort.purpose == Purpose::Calm {
            self.floor.observe_scatter(tally);
        }
    }

    pub(super) fn compete_on_loss(&mut self, cohort: &Cohort, tally: Tally) {
        let expected = tally.sent as f64 * self.floor.value();
        let lost = tally.lost as f64;
        // On a path with random loss the peak of the queue stands for the overflow that the floor hides.
        let peak = cohort.queue.max(self.delay.round_queue_max());
        let is_at_peak =
            peak > 0.95 * self.delay.long_queue_max() && self.delay.long_queue_max() > 3.0 * self.target_queue();
        // A reduction by chance, each few seconds, would cost half of the share: the floor is a little below the mean.
        let is_overflow = lost >= 1.0 + self.floor.explained(tally.sent, 4.0);
        let is_masked_overflow = expected > 0.5 && lost > expected + expected.sqrt() && is_at_peak;
        let recent = self.bandwidth.recent();
        let Some(competition) = &mut self.competition else { return };
        let may_reduce = competition.minds(tally.loss() - self.floor.value());
        if may_reduce && (is_overflow || is_masked_overflow) && cohort.id > self.reacted_to {
            self.reacted_to = self.cohort + 1;
            self.last_reaction = self.now;
            competition.give_way(recent, self.delay.smoothed());
            competition.reduce();
        }
    }

    /// Any loss above the floor while a queue stands teaches how deep the buffer is. Where one was only there for a moment the loss
    /// must be above the mean: a path that loses in bursts has a floor far below it, and each would slow us down.
    pub(super) fn learn_depth(&mut self, cohort: &Cohort, tally: Tally) {
        let queue = cohort.queue.max(self.delay.round_queue_max());
        let sigmas = if self.floor.value() > 0.003 { 5.0 } else { 3.5 };
        let explained = match self.is_short(cohort.queue.max(self.delay.queue())) {
            true => self.floor.explained_without_queue(tally.sent, sigmas),
            false => self.floor.explained(tally.sent, sigmas),
        };
        let is_loss = tally.lost as f64 >= 1.0 + explained;
        let is_queued = queue > 0.000_6 && queue < 1.5 * self.target_queue() + 0.002;
        if !is_loss || !is_queued || !self.queue_cap.is_news(cohort.id) {
            return;
        }
        self.queue_cap.lower(0.5 * queue, self.now, self.cohort + 1);
        let is_held = self.now <= self.hold.until;
        if !is_held || self.now - self.hold.since > HELD_RTTS * self.delay.min_rtt() {
            let until = self.now + (1.0 + self.random()).max(5.0 * self.delay.min_rtt());
            let rate = 0.93 * self.bandwidth.estimate();
            self.hold = Hold { since: self.now, until, rate, is_repeated: is_held };
        }
        self.pulse.stop();
        self.pulse.pause_until(self.now + 1.0_f64.max(5.0 * self.delay.min_rtt()));
    }

    /// Loss above what chance explains, in a cohort sent after the last reaction.
    pub(super) fn react(&mut self, cohort: &Cohort, queue: f64, loss: f64) {
        match self.state {
            State::Startup => {
                let is_heavy = loss > self.floor.value() + 0.2;
                if is_heavy || self.growth.rounds_without >= 1 {
                    let rate = self.bandwidth.recent();
                    if is_heavy && rate > 0.0 {
                        self.bandwidth.reset(rate);
                    }
                    self.leave_startup();
                }
            }
            State::Cruise if queue > 1.5 * self.target_queue() => self.react_to_overflow(),
            State::Cruise => self.react_to_unexplained(cohort, loss),
            State::Drain { .. } | State::ProbeRtt(_) => {}
        }
    }

    /// A standing queue overflowed: the window drains it, and the depth of the buffer is remembered.
    pub(super) fn react_to_overflow(&mut self) {
        if self.now - self.last_reaction <= self.delay.smoothed() {
            return;
        }
        self.last_reaction = self.now;
        self.reacted_to = self.cohort + 1;
        self.pulse.stop();
        let until = self.now + (2.0 + self.random()).max(6.0 * self.delay.min_rtt());
        // CUBIC, which sees the same losses, gives up 0.3 of its rate each time.
        let is_repeated = self.hold.is_repeated && self.now - self.hold.since <= self.delay.smoothed();
        let rate = if is_repeated { self.hold.rate } else { self.bandwidth.estimate() };
        self.hold = Hold { since: self.now, until, rate, is_repeated };
        self.queue_cap.lower(0.4 * self.delay.round_queue_max(), self.now, 0);
    }

    /// No queue explains the loss: test whether it follows our rate.
    pub(super) fn react_to_unexplained(&mut self, cohort: &Cohort, loss: f64) {
        if self.test != DownTest::None || self.now - self.last_reaction <= 2.0 * self.delay.smoothed() {
            return;
        }
        self.pulse.stop();
        self.last_reaction = self.now;
        let fastest = 1.3 * self.bandwidth.estimate() / (1.0 - self.floor.value());
        let pace = 0.95 * cohort.pace.min(fastest) * (1.0 - loss);
        self.start_test(pace, loss, self.delay.round_queue_max(), Reason::Suspicion);
        self.reacted_to = self.cohort;
        self.round_start = self.now;
    }
}
