//! A path as a fluid, and a flow on it, for the tests of the state machine.

use super::super::*;

/// Of the path, without a queue.
pub(super) const RTT: f64 = 0.1;
/// 100 Mbit/s in packets per second: the target queue is 4 ms.
pub(super) const CAPACITY: f64 = 8333.0;
/// At the beginning. Drain tests fall due 2 s later, and each 5 s after that.
const WALL_CLOCK: f64 = 1e9 + 3.0;

/// A path as a fluid, a round-trip at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) capacity: f64,
    /// Seconds of queue that the buffer holds, and that stand in it.
    pub(super) buffer: f64,
    pub(super) queue: f64,
    /// The share that is lost at random.
    pub(super) loss: f64,
    /// It is a policer: it queues nothing, and keeps tokens for so many packets at most.
    pub(super) bucket: Option<f64>,
    pub(super) tokens: f64,
}

pub(super) const CLEAN: Path =
    Path { capacity: CAPACITY, buffer: 10.0, queue: 0.0, loss: 0.0, bucket: None, tokens: 0.0 };

impl Path {
    /// Packets that get through of those that come within a round-trip, and the queue that they leave behind.
    fn carry(&mut self, sent: f64, rtt: f64) -> f64 {
        let carried = self.capacity * rtt;
        let passed = match self.bucket {
            Some(bucket) => {
                let passed = sent.min(self.tokens + carried);
                self.tokens = (self.tokens + carried - passed).min(bucket);
                passed
            }
            None => {
                let queue = (self.queue + (sent - carried) / self.capacity).max(0.0);
                self.queue = queue.min(self.buffer);
                sent - (queue - self.queue) * self.capacity
            }
        };
        passed * (1.0 - self.loss)
    }
}

/// A flow, what is fed to it, and what has become of its last round.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) core: Core,
    pub(super) now: f64,
    sent: f64,
    lost: f64,
    /// What is left of a packet that was lost in part.
    fraction: f64,
}

impl Flow {
    pub(super) fn new() -> Self {
        let policy = Policy { kind: PolicyKind::Fair, ceiling: None, floor: None };
        Self { core: Core::new(policy, RTT, WALL_CLOCK, 1), now: 0.0, sent: 0.0, lost: 0.0, fraction: 0.0 }
    }

    /// One that fills a clean path and has got through its start-up.
    pub(super) fn cruising() -> Self {
        let (mut flow, mut path) = (Self::new(), CLEAN);
        (0..60).for_each(|_| flow.round(&mut path));
        assert_eq!(flow.core.state, State::Cruise);
        assert!((flow.core.bandwidth() / CAPACITY - 1.0).abs() < 0.02, "{}", flow.core.bandwidth());
        flow
    }

    /// One that somebody with a queue of 60 ms has driven into the competitive mode.
    pub(super) fn competing() -> Self {
        let mut flow = Self::cruising();
        for _ in 0..20 {
            flow.hear(0.06, CAPACITY / 2.0);
        }
        assert!(flow.core.competition.is_some());
        flow
    }

    /// A round-trip of sending as fast as is allowed.
    pub(super) fn round(&mut self, path: &mut Path) {
        let (cohort, rtt) = (self.core.cohort(), RTT + path.queue);
        self.sent = self.core.pace().min(self.core.window() / rtt) * rtt;
        let arrived = path.carry(self.sent, rtt);
        self.lost = self.sent - arrived;
        let fastest = if path.bucket.is_some() { f64::MAX } else { path.capacity };
        self.hear(path.queue, (arrived / rtt).min(fastest));
        self.fraction += self.lost;
        let lost = self.fraction.floor();
        self.fraction -= lost;
        self.report(cohort, self.sent as u64, lost as u64);
    }

    /// A round is over: the queue and the rate at its end.
    pub(super) fn hear(&mut self, queue: f64, rate: f64) {
        self.now += RTT + queue;
        self.core.on_ack(&Ack {
            now: self.now,
            newly_delivered: rate * RTT,
            delivered_total: 1000,
            rtt: Some(RTT + queue),
            rate: Some(rate),
            is_round_start: true,
            pipe: rate * RTT,
            hint: None,
            recent_rate: None,
            is_exact: true,
        });
    }

    pub(super) fn report(&mut self, cohort: u32, sent: u64, lost: u64) {
        self.core.on_cohort(self.now, &CohortReport { cohort, sent, lost, ..CohortReport::default() });
    }

    /// Many rounds: the goodput in packets per second, and the share lost.
    pub(super) fn run(&mut self, rounds: u32, path: &mut Path) -> (f64, f64) {
        let (start, mut sent, mut lost) = (self.now, 0.0, 0.0);
        for _ in 0..rounds {
            self.round(path);
            sent += self.sent;
            lost += self.lost;
        }
        ((sent - lost) / (self.now - start), lost / sent)
    }
}
