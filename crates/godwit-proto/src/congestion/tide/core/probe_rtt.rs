//! Looking for the least RTT, and in the competitive mode for those who keep the queue.

use super::{Core, Hold, Purpose, State};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ProbeRtt {
    pub(super) since: f64,
    pub(super) round: u64,
    pub(super) bandwidth: f64,
    pub(super) queue_before: f64,
    pub(super) queue_min: f64,
    pub(super) has_drained: bool,
}

impl Core {
    pub(super) fn probe_rtt(&mut self) {
        self.watch.on_drain(self.now);
        self.state = State::ProbeRtt(ProbeRtt {
            since: self.now,
            round: self.bandwidth.round(),
            bandwidth: self.bandwidth.estimate(),
            queue_before: self.delay.queue(),
            queue_min: f64::MAX,
            has_drained: false,
        });
        self.mark(Purpose::Other);
    }

    pub(super) fn on_probe_rtt_round(&mut self, mut probe: ProbeRtt) {
        probe.queue_min = probe.queue_min.min(self.delay.queue());
        let lasted = self.now - probe.since;
        let is_drained = self.pipe <= 0.85 * self.bdp() + 6.0;
        let is_seen = is_drained && probe.has_drained && (self.competition.is_none() || lasted > 0.3);
        probe.has_drained |= is_drained;
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
        let is_empty = probe.queue_min < 0.5 * self.target_queue();
        let is_alone = probe.queue_min < (0.75 * self.target_queue()).max(0.05 * probe.queue_before);
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
            None if is_empty => self.contest.drained(),
            None => {}
        }
        self.mark(Purpose::Calm);
    }
}
