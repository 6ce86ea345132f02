//! Looking for the least RTT, and for those who keep the queue.

use super::{Core, Hold, Purpose, State};

/// What a drain leaves in flight, as a part of what the path holds of us without a queue. Of a queue that others keep, their share of the
/// rate stays, less what is missing here: to enter the competitive mode takes a queue that is seen all the same, ...
const FILL: f64 = 0.8;
/// ... and to leave it one that is gone indeed. Beside a flow with four fifths of the rate a fifth of it is what shows the others.
const FILL_COMPETING: f64 = 0.95;
/// A test lasts at least so long, so that those of ours that drain at the same moment, as far as clocks agree, do it together.
const TEST_MIN: f64 = 0.3;
/// Less than this part of what is sent arrives of a link that has become slower. One that others share carries what it did.
const SLOWER: f64 = 0.9;

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
    pub(super) fill: f64,
    /// When no more was in flight than the path holds of us without a queue.
    pub(super) drained_at: Option<f64>,
    /// Whether it is to show if somebody else keeps the queue.
    pub(super) is_test: bool,
}

impl ProbeRtt {
    /// Packets per second, before what the path loses.
    pub(super) fn pace(&self) -> f64 {
        match (self.is_test, self.drained_at) {
            (true, None) => 0.5 * self.bandwidth,
            (true, Some(_)) => self.fill * self.arriving,
            (false, _) => 0.75 * self.bandwidth,
        }
    }

    /// Whether the link may have become slower meanwhile: what we had in flight did not drain, or less arrived at last than was sent.
    fn is_slower(&self, arrived: f64) -> bool {
        self.drained_at.is_none() || arrived < SLOWER * self.fill * self.arriving
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
            fill: if self.competition.is_some() { FILL_COMPETING } else { FILL },
            queue_min: f64::MAX,
            drained_at: None,
            is_test,
        });
        self.mark(Purpose::Other);
    }

    pub(super) fn on_probe_rtt_round(&mut self, mut probe: ProbeRtt) {
        let (lasted, min_rtt) = (self.now - probe.since, self.delay.min_rtt());
        probe.queue_min = probe.queue_min.min(self.delay.queue());
        let is_settled = |at: f64| !probe.is_test || (lasted > TEST_MIN && self.now - at > 2.0 * min_rtt);
        let is_seen = probe.drained_at.is_some_and(is_settled);
        if probe.drained_at.is_none() && self.pipe <= 0.9 * probe.arriving * min_rtt + 6.0 {
            probe.drained_at = Some(self.now);
        }
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
        let arrived = self.bandwidth.last_round();
        self.bandwidth.reset(probe.bandwidth);
        // To enter takes a queue that never went, to leave one that has gone and stays away: who yields to nothing but loss fills the
        // path again while less of ours is there.
        let queue = if self.competition.is_some() { self.delay.queue() } else { probe.queue_min };
        let is_alone = queue < (0.3 * self.target_queue()).max(0.1 * probe.queue_before);
        match &mut self.competition {
            Some(competition) if is_alone => {
                let window = competition.window(self.delay.min_rtt());
                self.competition = None;
                (self.gain, self.lean) = (1.0, 0.0);
                let until = self.now + 2.0_f64.max(15.0 * self.delay.min_rtt());
                self.hold = Hold { since: self.now, until, rate: 0.97 * probe.bandwidth, is_repeated: false };
                self.contest.left(self.now, window, probe.bandwidth);
            }
            Some(competition) => {
                competition.restart_epoch();
                self.contest.lengthen_slot();
            }
            None if is_alone => self.contest.drained(self.now, probe.bandwidth, probe.is_test),
            None if probe.is_test && probe.is_slower(arrived) && self.contest.is_doubtful(self.now) => {
                self.contest.suspect();
            }
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
