//! What round-trip times tell: the path's own delay, the queue that stands in it, and how much of the rest is noise.

use std::collections::VecDeque;

/// The queue is judged by the least RTT of at least this time: a receiver acknowledges each 10 ms.
const RECENT_MIN: f64 = 0.012;
/// The path's own delay is the least RTT of one to two periods of this length, or of 40 RTT if those are longer.
const MIN_RTT_PERIOD: f64 = 10.0;
const MIN_RTT_PERIOD_RTTS: f64 = 40.0;
/// A sample this close to the least RTT confirms it.
const CONFIRMING: f64 = 1.005;
const CONFIRMING_SLACK: f64 = 0.000_2;
/// Queues of this many rounds are remembered, to see whether they fall.
const HISTORY_ROUNDS: usize = 8;
const UNKNOWN: f64 = 1e9;

/// All times in seconds.
#[derive(Clone, Debug)]
pub(super) struct Delay {
    initial_rtt: f64,
    smoothed: Option<f64>,
    /// Least RTT of this period and of the last one.
    periods: [f64; 2],
    period_start: f64,
    min_rtt: f64,
    confirmed_at: f64,
    /// Rising RTTs of the recent past with their times: the first is the least.
    recent: VecDeque<(f64, f64)>,
    queue: f64,
    jitter: f64,
    round_max: f64,
    /// The highest queue of the last round, and of a long past that fades slowly.
    round_queue_max: f64,
    long_queue_max: f64,
    history: VecDeque<f64>,
}

impl Delay {
    pub(super) fn new(initial_rtt: f64) -> Self {
        Self {
            initial_rtt,
            smoothed: None,
            periods: [UNKNOWN; 2],
            period_start: 0.0,
            min_rtt: UNKNOWN,
            confirmed_at: 0.0,
            recent: VecDeque::new(),
            queue: 0.0,
            jitter: 0.0,
            round_max: 0.0,
            round_queue_max: 0.0,
            long_queue_max: 0.0,
            history: VecDeque::new(),
        }
    }

    pub(super) fn on_sample(&mut self, now: f64, rtt: f64) {
        if self.smoothed.is_none() {
            (self.period_start, self.confirmed_at) = (now, now);
        }
        let smoothed = self.smoothed.map_or(rtt, |smoothed| 0.9 * smoothed + 0.1 * rtt);
        self.smoothed = Some(smoothed);
        self.periods[0] = self.periods[0].min(rtt);
        let min = self.periods[0].min(self.periods[1]);
        if rtt <= self.min_rtt * CONFIRMING + CONFIRMING_SLACK || rtt <= min {
            self.confirmed_at = now;
        }
        self.min_rtt = min;
        self.round_max = self.round_max.max(rtt);
        while self.recent.back().is_some_and(|&(_, older)| older >= rtt) {
            self.recent.pop_back();
        }
        self.recent.push_back((now, rtt));
        let oldest = now - (smoothed * 0.5).max(RECENT_MIN);
        while self.recent.len() > 1 && self.recent[0].0 < oldest {
            self.recent.pop_front();
        }
        let recent_min = self.recent[0].1;
        self.queue = (recent_min - self.min_rtt).max(0.0);
        self.jitter = 0.98 * self.jitter + 0.02 * (rtt - recent_min);
    }

    pub(super) fn on_round(&mut self, now: f64) {
        if self.round_max > 0.0 {
            self.round_queue_max = (self.round_max - self.min_rtt).max(0.0);
        }
        self.round_max = 0.0;
        self.long_queue_max = (self.long_queue_max * 0.9995).max(self.round_queue_max);
        self.history.push_back(self.queue);
        if self.history.len() > HISTORY_ROUNDS {
            self.history.pop_front();
        }
        if now - self.period_start > self.period() {
            self.periods = [UNKNOWN, self.periods[0]];
            self.period_start = now;
        }
    }

    /// The least RTT was sought on purpose, and this is what was found.
    pub(super) fn on_probed(&mut self, now: f64) {
        self.confirmed_at = now;
        if self.periods[0] < UNKNOWN {
            self.min_rtt = self.periods[0].min(self.periods[1]);
        }
    }

    /// Whether the least RTT has not been seen for so long that it must be sought: in a slot where others seek it too, as they then find an
    /// empty queue. Who came to a queue that others keep has never seen one, and would take more than its share.
    pub(super) fn is_stale(&self, now: f64, is_slot: bool) -> bool {
        let unseen = now - self.confirmed_at;
        unseen > 1.5 * self.period() || (is_slot && unseen > 0.1 * self.period())
    }

    /// The path's own delay.
    pub(super) fn min_rtt(&self) -> f64 {
        if self.min_rtt >= UNKNOWN { self.initial_rtt } else { self.min_rtt }
    }

    pub(super) fn smoothed(&self) -> f64 {
        self.smoothed.unwrap_or(self.initial_rtt)
    }

    /// The queue that stands now.
    pub(super) fn queue(&self) -> f64 {
        self.queue
    }

    pub(super) fn jitter(&self) -> f64 {
        self.jitter
    }

    /// The highest queue of the last round.
    pub(super) fn round_queue_max(&self) -> f64 {
        self.round_queue_max
    }

    /// The highest queue of the last minutes.
    pub(super) fn long_queue_max(&self) -> f64 {
        self.long_queue_max
    }

    /// Whether the queue has not fallen over the last three rounds.
    pub(super) fn is_rising(&self) -> bool {
        let rounds = self.history.len();
        rounds < 4 || self.queue >= 0.97 * self.history[rounds - 3]
    }

    /// Whether the queue has fallen by a third over the last five rounds.
    pub(super) fn is_falling(&self) -> bool {
        let rounds = self.history.len();
        rounds >= 5 && self.queue < 0.7 * self.history[rounds - 5]
    }

    /// Whether the queue has fallen by a third over the last round.
    pub(super) fn is_draining(&self) -> bool {
        let rounds = self.history.len();
        rounds >= 2 && self.queue < 0.7 * self.history[rounds - 2]
    }

    fn period(&self) -> f64 {
        MIN_RTT_PERIOD.max(MIN_RTT_PERIOD_RTTS * self.min_rtt())
    }
}
