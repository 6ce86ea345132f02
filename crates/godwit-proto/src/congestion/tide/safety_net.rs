//! What holds whatever the policy says: a flow that loses most of its packets sends half as fast, and a minimum rate is
//! not kept against loss that the path does not have by itself.

use super::loss_floor::Tally;

/// Smaller cohorts are added up to this many packets: two lost out of three say nothing.
const JUDGED_PACKETS: u64 = 8;
/// The loss against which a minimum rate is kept or not is that of at least this many packets.
const STRETCH_PACKETS: u64 = 60;
/// More than this share lost, twice in a row, is a rate that the path does not carry.
const HEAVY: f64 = 0.5;
/// The limit rises again after less loss than this.
const LIGHT: f64 = 0.25;
/// So much loss beyond the floor suspends a minimum rate.
const SUSPENDING: f64 = 0.1;
/// From one halving to the next try of the old rate, if it was not the first: doubled each time, within these.
const WAIT_MIN: f64 = 1.0;
const WAIT_MAX: f64 = 30.0;
/// A halving this long after the last counts as the first. More than `WAIT_MAX`.
const FORGET: f64 = 60.0;

/// A cohort whose packets are accounted for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) now: f64,
    pub(super) id: u32,
    /// The cohort that packets sent now belong to.
    pub(super) current: u32,
    pub(super) tally: Tally,
    /// The pace at which it was sent, if that is known, and the one that would be kept now without a limit.
    pub(super) pace: f64,
    pub(super) wanted: f64,
}

/// Times in seconds, rates in packets per second, losses are shares.
#[derive(Clone, Debug)]
pub(super) struct SafetyNet {
    judged: Tally,
    stretch: Tally,
    recent_loss: f64,
    heavy_in_a_row: u32,
    /// Cohorts up to this one were sent before the last change of the limit.
    reacted_to: u32,
    limit: f64,
    halved_at: f64,
    wait: f64,
}

impl Default for SafetyNet {
    fn default() -> Self {
        Self {
            judged: Tally::default(),
            stretch: Tally::default(),
            recent_loss: 0.0,
            heavy_in_a_row: 0,
            reacted_to: 0,
            limit: f64::MAX,
            halved_at: -FORGET,
            wait: 0.0,
        }
    }
}

impl SafetyNet {
    pub(super) fn on_cohort(&mut self, verdict: &Verdict) {
        self.stretch.add(verdict.tally);
        if self.stretch.sent >= STRETCH_PACKETS {
            self.recent_loss = self.stretch.take().loss();
        }
        if verdict.id <= self.reacted_to && self.reacted_to > 0 {
            return;
        }
        self.judged.add(verdict.tally);
        if self.judged.sent < JUDGED_PACKETS {
            return;
        }
        let loss = self.judged.take().loss();
        self.heavy_in_a_row = if loss > HEAVY { self.heavy_in_a_row + 1 } else { 0 };
        if self.heavy_in_a_row == 2 {
            self.halve(verdict);
        } else if loss < LIGHT {
            self.relax(verdict);
        }
    }

    /// The peer was silent, and all that is out counts as lost: packets of cohorts up to this one are no verdict on a pace.
    pub(super) fn on_timeout(&mut self, current: u32) {
        self.reacted_to = current;
        self.heavy_in_a_row = 0;
        self.judged = Tally::default();
    }

    /// Never faster than this.
    pub(super) fn limit(&self) -> f64 {
        self.limit
    }

    /// Whether a path that loses `loss_floor` by itself has lately lost so little that a minimum rate may be kept.
    pub(super) fn allows_minimum(&self, loss_floor: f64) -> bool {
        self.recent_loss < loss_floor + SUSPENDING
    }

    fn halve(&mut self, verdict: &Verdict) {
        self.limit = 0.5 * verdict.pace.min(verdict.wanted).min(self.limit);
        let is_first = verdict.now - self.halved_at > FORGET;
        self.wait = if is_first { 0.0 } else { (2.0 * self.wait).clamp(WAIT_MIN, WAIT_MAX) };
        self.halved_at = verdict.now;
        self.changed(verdict);
    }

    fn relax(&mut self, verdict: &Verdict) {
        if self.limit == f64::MAX || verdict.now - self.halved_at < self.wait {
            return;
        }
        self.limit = if 2.0 * self.limit < verdict.wanted { 2.0 * self.limit } else { f64::MAX };
        self.changed(verdict);
    }

    fn changed(&mut self, verdict: &Verdict) {
        self.heavy_in_a_row = 0;
        self.judged = Tally::default();
        self.reacted_to = verdict.current;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty seconds of cohorts, ten a second and each reported two later, of a sender that wants 1000 packets per second on a
    /// path that carries `capacity`: the limits after each, and the share lost.
    fn run(net: &mut SafetyNet, from: u32, capacity: f64) -> (Vec<f64>, f64) {
        let (mut limits, mut all) = (Vec::new(), Tally::default());
        let mut paces = std::collections::VecDeque::from([net.limit().min(1000.0); 2]);
        for id in from..from + 200 {
            paces.push_back(net.limit().min(1000.0));
            let pace = paces.pop_front().expect("two were put in");
            let sent = pace / 10.0;
            let tally = Tally { sent: sent as u64, lost: (sent - capacity / 10.0).max(0.0) as u64 };
            all.add(tally);
            let now = f64::from(id) / 10.0;
            net.on_cohort(&Verdict { now, id, current: id + 2, tally, pace, wanted: 1000.0 });
            limits.push(net.limit());
        }
        (limits, all.loss())
    }

    #[test]
    fn a_rate_that_the_path_does_not_carry_is_halved_until_it_does() {
        let mut net = SafetyNet::default();
        let (limits, loss) = run(&mut net, 1, 150.0);
        assert_eq!(limits.iter().copied().fold(f64::MAX, f64::min), 250.0, "two halvings: 40 % is borne");
        assert!(limits[20..].iter().all(|&limit| limit <= 500.0) && loss < 0.55, "{limits:?} {loss}");
    }

    #[test]
    fn the_limit_goes_when_the_path_carries_more() {
        let mut net = SafetyNet::default();
        run(&mut net, 1, 150.0);
        let (limits, _) = run(&mut net, 201, 1000.0);
        assert_eq!(limits.last(), Some(&f64::MAX));
    }

    #[test]
    fn one_cohort_and_half_the_packets_are_not_enough() {
        let mut net = SafetyNet::default();
        for id in 1..100 {
            let lost = if id % 2 == 0 { 90 } else { 50 };
            let tally = Tally { sent: 100, lost };
            net.on_cohort(&Verdict { now: 1.0, id, current: id, tally, pace: 1e3, wanted: 1e3 });
        }
        assert_eq!(net.limit(), f64::MAX);
    }

    #[test]
    fn one_outage_halves_once() {
        let mut net = SafetyNet::default();
        for id in 1..=7 {
            let tally = Tally { sent: 100, lost: 100 };
            net.on_cohort(&Verdict { now: 1.0, id, current: 8, tally, pace: 1e3, wanted: 1e3 });
        }
        assert_eq!(net.limit(), 500.0);
        let tally = Tally { sent: 100, lost: 0 };
        net.on_cohort(&Verdict { now: 1.2, id: 9, current: 10, tally, pace: 500.0, wanted: 1e3 });
        assert_eq!(net.limit(), f64::MAX, "the first time there is no wait");
    }

    #[test]
    fn a_minimum_is_suspended_by_loss_beyond_the_floor() {
        let mut net = SafetyNet::default();
        let mut lose = |lost| {
            let tally = Tally { sent: STRETCH_PACKETS, lost };
            net.on_cohort(&Verdict { now: 1.0, id: 1, current: 1, tally, pace: 1e3, wanted: 1e3 });
            [0.0, 0.1].map(|floor| net.allows_minimum(floor))
        };
        assert_eq!([lose(5), lose(9), lose(15), lose(0)], [[true; 2], [false, true], [false; 2], [true; 2]]);
    }
}
