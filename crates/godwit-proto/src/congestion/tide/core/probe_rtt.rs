//! Looking for the least RTT, and for those who keep the queue.

use super::{Core, Hold, Purpose, State};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ProbeRtt {
    pub(super) since: f64,
    pub(super) round: u64,
    pub(super) bandwidth: f64,
    /// What arrived in the last round: with a queue that is what we have of the path.
    pub(super) arriving: f64,
    pub(super) pipe: f64,
    pub(super) queue_before: f64,
    pub(super) queue_min: f64,
    pub(super) has_drained: bool,
    /// Whether it is to show if somebody else keeps the queue.
    pub(super) is_test: bool,
}

impl ProbeRtt {
    /// Of the pace.
    pub(super) fn gain(&self) -> f64 {
        match (self.is_test, self.has_drained) {
            (true, false) => 0.5,
            (true, true) => 0.85,
            (false, _) => 0.75,
        }
    }
}

impl Core {
    pub(super) fn probe_rtt(&mut self, is_test: bool) {
        self.watch.on_drain(self.now);
        let bandwidth = self.bandwidth.estimate();
        let last_round = self.bandwidth.last_round();
        self.state = State::ProbeRtt(ProbeRtt {
            since: self.now,
            round: self.bandwidth.round(),
            bandwidth,
            arriving: if last_round > 0.0 { last_round.min(bandwidth) } else { bandwidth },
            pipe: self.pipe,
            queue_before: self.delay.queue(),
            queue_min: f64::MAX,
            has_drained: false,
            is_test,
        });
        self.mark(Purpose::Other);
    }

    pub(super) fn on_probe_rtt_round(&mut self, mut probe: ProbeRtt) {
        probe.queue_min = probe.queue_min.min(self.delay.queue());
        let lasted = self.now - probe.since;
        let is_seen = probe.has_drained && (!probe.is_test || lasted > 0.3);
        probe.has_drained |= self.pipe <= 0.9 * probe.arriving * self.delay.min_rtt() + 6.0;
        self.state = State::ProbeRtt(probe);
        if is_seen || (self.bandwidth.round() > probe.round + 6 && lasted > 0.4) {
            self.end_probe_rtt(probe);
        } else {
            self.mark(Purpose::Other);
        }
    }

    pub(super) fn end_probe_rtt(&mut self, probe: ProbeRtt) {
        self.delay.on_probed(self.now);
        self.state = State::Cruise;
        self.bandwidth.reset(probe.bandwidth);
        let is_alone = probe.queue_min < (0.3 * self.target_queue()).max(0.1 * probe.queue_before);
        match &mut self.competition {
            Some(competition) if is_alone => {
                let window = competition.window(self.delay.min_rtt());
                self.competition = None;
                (self.gain, self.lean) = (1.0, 0.0);
                let until = self.now + 2.0_f64.max(15.0 * self.delay.min_rtt());
                self.hold = Hold { until, rate: 0.97 * probe.bandwidth };
                self.contest.left(self.now, window, probe.bandwidth);
            }
            Some(competition) => {
                competition.restart_epoch();
                self.contest.lengthen_slot();
            }
            None if is_alone => self.contest.drained(self.now, probe.is_test),
            None if probe.is_test => {
                let window = self.contest.claim(probe.bandwidth) * (self.delay.min_rtt() + probe.queue_before);
                let window = self.contest.at_least_recent(self.now, window).min(3.0 * probe.pipe + 8.0);
                self.compete(window);
            }
            None => self.contest.suspect(),
        }
        self.mark(Purpose::Calm);
    }
}
