//! Down-tests: a cohort at a lower pace shows whether a loss follows our rate, or stays because the path loses anyway.

use super::super::loss_floor::Tally;
use super::{Core, Purpose};

/// The pace that proves a loss to be random, as a part of the rate that arrived lately.
const PROOF_GAIN: f64 = 0.7;
/// Packets of a down-test.
const TEST_PACKETS: f64 = 100.0;
/// A proof is as long as so many of its packets take to be lost if the loss is random, so that the lack of it is no chance.
const PROOF_LOSSES: f64 = 10.0;
/// A loss is gone if so much less is lost than that seldom happens by chance: of ten expected losses two are left, or of seven none.
const GONE_SIGMAS: f64 = 2.5;

/// A cohort at a lower pace, to see whether the loss follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum DownTest {
    None,
    Sending(Test),
    Waiting(Test),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Test {
    pub(super) since: f64,
    pub(super) cohort: u32,
    pub(super) pace: f64,
    pub(super) trigger_loss: f64,
    pub(super) queue: f64,
    pub(super) reason: Reason,
    /// What arrived before, packets per second.
    pub(super) arriving: f64,
}

/// Why a down-test was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Loss that nothing explains.
    Suspicion,
    /// The floor is tested now and then.
    Routine,
    /// The loss stayed in a first test. A policer's bucket that was full can make one cohort look so, but not one at a rate far below
    /// what arrived lately.
    Proof,
}

impl Core {
    pub(super) fn start_test(&mut self, pace: f64, trigger_loss: f64, queue: f64, reason: Reason) {
        self.gain = if reason == Reason::Routine { 0.9 } else { 0.85 };
        let cohort = self.cohort + 1;
        let arriving = self.arriving();
        let test = Test { since: self.now, cohort, pace, trigger_loss, queue, reason, arriving };
        self.test = DownTest::Sending(test);
        self.mark(Purpose::Down);
    }

    /// Whether a down-test takes this round for itself.
    pub(super) fn advance_test(&mut self) -> bool {
        match self.test {
            DownTest::None => false,
            DownTest::Sending(test) => {
                let is_proof = test.reason == Reason::Proof;
                let packets = if is_proof { PROOF_LOSSES / test.trigger_loss } else { 0.0 };
                if (self.now - test.since) * self.pace() >= packets.max(TEST_PACKETS) {
                    self.test = DownTest::Waiting(test);
                    self.gain = 1.0;
                    self.mark(Purpose::Calm);
                }
                true
            }
            DownTest::Waiting(test) => {
                if self.now - test.since > 8.0 * self.delay.smoothed() + 0.5 {
                    self.test = DownTest::None;
                }
                false
            }
        }
    }

    pub(super) fn is_tested_by(&self, cohort: u32) -> bool {
        matches!(self.test, DownTest::Sending(test) | DownTest::Waiting(test) if test.cohort == cohort)
    }

    pub(super) fn judge_test(&mut self, tally: Tally) {
        let (DownTest::Sending(test) | DownTest::Waiting(test)) = std::mem::replace(&mut self.test, DownTest::None)
        else {
            return;
        };
        self.next_test = self.now + 5.0_f64.max(40.0 * self.delay.min_rtt());
        let tally = if test.reason == Reason::Routine { self.floor.add_up_tests(tally) } else { tally };
        let loss = tally.loss();
        let expected = tally.sent as f64 * test.trigger_loss;
        let is_gone = tally.lost as f64 + GONE_SIGMAS * expected.sqrt() < expected;
        let is_there = loss > 0.6 * test.trigger_loss && tally.lost >= 2;
        let stayed = is_there || (test.reason == Reason::Proof && !is_gone);
        if test.trigger_loss < 0.25 && tally.sent >= 40 && stayed {
            return self.take_for_random(&test, loss.min(test.trigger_loss));
        }
        if test.reason != Reason::Routine {
            self.floor.refute(loss);
            self.give_way(&test);
        } else if is_gone {
            self.floor.refute(loss);
        }
    }

    fn take_for_random(&mut self, test: &Test, loss: f64) {
        let arriving = self.arriving();
        match test.reason {
            Reason::Proof => self.floor.prove(loss),
            _ if self.floor.needs_proof(loss) && arriving > 0.0 => {
                self.start_test(PROOF_GAIN * arriving, test.trigger_loss, test.queue, Reason::Proof);
                if let DownTest::Sending(proof) = &mut self.test {
                    // A busy host may have been late with the last samples.
                    proof.arriving = arriving.max(test.pace * (1.0 - loss));
                }
                return;
            }
            Reason::Suspicion | Reason::Routine => self.floor.validate(loss),
        }
        self.hold.until = self.now;
    }

    /// The loss followed our rate: no more than what arrived, for a while.
    fn give_way(&mut self, test: &Test) {
        self.hold.until = self.now + (2.0 + self.random()).max(6.0 * self.delay.min_rtt());
        let proven = if self.floor.dispersion() > 3.0 { test.pace / 0.95 * 0.98 } else { 0.0 };
        // Since a test began, no more arrived than it sent: on a short path that is all that arrived in the last two rounds.
        let arriving = match test.reason {
            Reason::Proof => test.arriving,
            Reason::Suspicion | Reason::Routine => test.arriving.max(self.arriving()),
        };
        let rate = arriving.max(proven).min(self.bandwidth.estimate());
        if rate > 0.0 {
            self.bandwidth.reset(rate);
            self.hold.rate = 0.98 * rate;
        }
        if test.queue < 1.3 * self.target_queue() {
            self.queue_cap.set(0.5 * test.queue);
        }
    }

    fn arriving(&self) -> f64 {
        self.bandwidth.recent().min(self.bandwidth.estimate())
    }
}
