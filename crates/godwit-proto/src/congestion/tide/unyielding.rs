//! Beside a flow that does not yield to loss, TCP BBR as Linux has it: a window that yields to loss ends with a tenth of the link.
//!
//! What gives it away: each ten seconds it leaves the path for 200 ms to see the least RTT
//! (draft-cardwell-iccrg-bbr-congestion-control-00, section 4.3.5), and the queue that it kept is gone at once.
//! It is met with its own law: the highest rate of ten rounds, a window of two BDP, and a cycle of probing. Two such flows share evenly.

use std::collections::VecDeque;

use super::bandwidth::Bandwidth;

/// A queue that falls from more than the first to less than the second part of what stood, in so many round-trips, was taken away:
/// flows that yield to a loss leave some of a long one.
const STANDS: f64 = 0.6;
const GONE: f64 = 0.08;
/// ... and of what our own half keeps, once we stand.
const GONE_STANDING: f64 = 0.25;
const EDGE_RTTS: f64 = 3.0;
/// The time from one such fall to the next: ten seconds, those 200 ms, and the round-trips until they begin and end.
const PERIOD: f64 = 10.2;
const PERIOD_SLACK: f64 = 0.1;
const PERIOD_RTTS: f64 = 3.0;
/// Falls that are remembered: one may come in between. More of them are another's, who yields often.
const FALLS: usize = 2;
/// We drain the queue, and all our flows do it at the same moment: for so long around that a fall says nothing.
const OWN: f64 = 1.0;
/// One that was not seen for the time of two and a half periods has gone.
const FORGOTTEN: f64 = 25.0;
/// How fast the mean of the queue follows, for each round, and how fast it fades while the queue does not come back.
const STANDING_WEIGHT: f64 = 0.1;
const STANDING_FADES: f64 = 0.1 * STANDING_WEIGHT;
/// It keeps one BDP. Of a shorter queue nothing remains either when flows that yield have lost something, some of them each ten seconds.
const STANDING_RTTS: f64 = 0.5;
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
const ROUNDS: u64 = 10;
const WINDOW_GAIN: f64 = 2.0;
/// More loss than this above the path's own, over some twenty cohorts, and we yield all the same: the other one takes ten rounds to
/// find out that it got less, and loses as much meanwhile.
const LOSS_MAX: f64 = 0.15;
const LOSS_WEIGHT: f64 = 1.0 / 20.0;

/// Looks for the sign. Times in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// The mean queue, while it is not gone.
    standing: f64,
    stood_at: f64,
    /// Until then the queue falls because we drain it.
    explained_until: f64,
    is_gone: bool,
    falls: VecDeque<f64>,
    seen_at: Option<f64>,
}

impl Watch {
    /// A round-trip time was measured, in the competitive mode. True when the sign is complete.
    pub(super) fn on_sample(&mut self, now: f64, queue: f64, min_rtt: f64) -> bool {
        if queue > STANDS * self.standing {
            (self.stood_at, self.is_gone) = (now, false);
            return false;
        }
        let gone = if self.is_forgotten(now) { GONE } else { GONE_STANDING };
        let rtt = min_rtt + self.standing;
        let falls = queue < gone * self.standing && !self.is_gone && now - self.stood_at < EDGE_RTTS * rtt;
        if !falls || now < self.explained_until || self.standing < STANDING_RTTS * min_rtt {
            return false;
        }
        self.is_gone = true;
        let period = PERIOD..PERIOD + PERIOD_SLACK + PERIOD_RTTS * rtt;
        let is_periodic = self.falls.iter().any(|&fall| period.contains(&(now - fall)));
        self.falls.push_back(now);
        if self.falls.len() > FALLS {
            self.falls.pop_front();
        }
        if is_periodic {
            self.seen_at = Some(now);
        }
        is_periodic
    }

    pub(super) fn on_round(&mut self, queue: f64) {
        if queue > STANDS * self.standing || self.standing == 0.0 {
            let weight = if self.standing == 0.0 { 1.0 } else { STANDING_WEIGHT };
            self.standing += weight * (queue - self.standing);
        } else {
            self.standing *= 1.0 - STANDING_FADES;
        }
    }

    /// All our flows drain the queue now.
    pub(super) fn on_drain(&mut self, now: f64) {
        self.explained_until = now + OWN;
        while self.falls.back().is_some_and(|&fall| now - fall < OWN) {
            self.falls.pop_back();
        }
    }

    pub(super) fn is_forgotten(&self, now: f64) -> bool {
        self.seen_at.is_none_or(|at| now - at > FORGOTTEN)
    }
}

/// The law. Rates in packets per second.
#[derive(Clone, Debug)]
pub(super) struct Unyielding {
    bandwidth: Bandwidth,
    phase: usize,
    /// Mean loss above the path's own.
    loss: f64,
}

impl Unyielding {
    pub(super) fn new(rate: f64) -> Self {
        let mut bandwidth = Bandwidth::over(ROUNDS);
        bandwidth.on_sample(rate);
        Self { bandwidth, phase: 0, loss: 0.0 }
    }

    pub(super) fn on_round(&mut self, rate: f64) {
        self.bandwidth.on_round();
        self.bandwidth.on_sample(rate);
        self.phase = (self.phase + 1) % CYCLE.len();
    }

    pub(super) fn pace(&self) -> f64 {
        self.bandwidth.estimate() * CYCLE[self.phase]
    }

    pub(super) fn window(&self, min_rtt: f64) -> f64 {
        WINDOW_GAIN * self.bandwidth.estimate() * min_rtt
    }

    /// Whether too much is lost, now with this part of a cohort.
    pub(super) fn minds(&mut self, excess: f64) -> bool {
        self.loss += LOSS_WEIGHT * (excess.max(0.0) - self.loss);
        self.loss > LOSS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN_RTT: f64 = 0.05;

    /// Goes through `seconds` in rounds of 0.1 s with the queue that `queue` says, and counts how often the sign was complete.
    fn signs(watch: &mut Watch, seconds: f64, queue: impl Fn(f64) -> f64) -> usize {
        let mut signs = 0;
        for tick in 0..(seconds * 100.0) as u32 {
            let now = f64::from(tick) / 100.0;
            if tick % 10 == 0 {
                watch.on_round(queue(now));
            }
            signs += usize::from(watch.on_sample(now, queue(now), MIN_RTT));
        }
        signs
    }

    /// 45 ms, and nothing for 0.3 s out of each `period`.
    fn dips(period: f64) -> impl Fn(f64) -> f64 {
        move |now| if now % period > period - 0.3 { 0.0 } else { 0.045 }
    }

    #[test]
    fn a_queue_that_is_gone_each_ten_seconds_is_bbr() {
        let mut watch = Watch::default();
        assert_eq!(signs(&mut watch, 22.0, dips(10.3)), 1, "the second fall completes the sign");
        assert!(!watch.is_forgotten(40.0));
        assert!(watch.is_forgotten(50.0), "it was not seen since 20.3");
    }

    #[test]
    fn other_falls_are_not() {
        assert_eq!(signs(&mut Watch::default(), 60.0, dips(8.0)), 0, "another period");
        assert_eq!(signs(&mut Watch::default(), 60.0, dips(2.06)), 0, "others in between");
        let sawtooth = |now: f64| 0.01 + 0.045 * (now % 10.3) / 10.3;
        assert_eq!(signs(&mut Watch::default(), 60.0, sawtooth), 0, "some of it stays");
        let slope = |now: f64| (0.045 * (1.0 - (now % 10.3) / 9.0)).max(0.0);
        assert_eq!(signs(&mut Watch::default(), 60.0, slope), 0, "it falls slowly");
        let short = |now| 0.5 * dips(10.3)(now);
        assert_eq!(signs(&mut Watch::default(), 60.0, short), 0, "it is too short");
    }

    #[test]
    fn our_own_draining_is_not() {
        let mut watch = Watch::default();
        signs(&mut watch, 20.0, |_| 0.045);
        for fall in [20.0, 30.3, 40.6] {
            watch.on_drain(fall - 0.1);
            assert!(!watch.on_sample(fall - 0.01, 0.045, MIN_RTT));
            assert!(!watch.on_sample(fall, 0.0, MIN_RTT));
            watch.on_sample(fall + 0.5, 0.045, MIN_RTT);
        }
    }

    #[test]
    fn the_rate_is_the_highest_of_ten_rounds() {
        let mut law = Unyielding::new(1000.0);
        assert_eq!(law.window(MIN_RTT), 100.0, "two BDP");
        law.on_round(1200.0);
        (0..9).for_each(|_| law.on_round(800.0));
        assert_eq!(law.window(MIN_RTT), 120.0);
        law.on_round(800.0);
        assert_eq!(law.window(MIN_RTT), 80.0);
    }

    #[test]
    fn it_yields_to_loss_that_stays() {
        let mut law = Unyielding::new(1000.0);
        assert!((0..16).all(|_| !law.minds(0.25)), "what the other one needs to find out");
        assert!((0..10).any(|_| law.minds(0.25)));
        let mut law = Unyielding::new(1000.0);
        assert!((0..1000).all(|_| !law.minds(0.1)));
    }
}
