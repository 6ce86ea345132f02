//! The bandwidth estimate: the highest delivery rate of the last rounds.

use std::collections::VecDeque;

/// Rates are in packets per second.
#[derive(Clone, Debug)]
pub(super) struct Bandwidth {
    /// Rounds that a rate counts for.
    rounds: u64,
    /// Falling rates with the round of each: the first is the maximum.
    maxima: VecDeque<(u64, f64)>,
    round: u64,
    /// Highest rate of this round and of the one before.
    round_max: f64,
    last_round_max: f64,
}

impl Bandwidth {
    /// The highest rate of so many rounds.
    pub(super) fn over(rounds: u64) -> Self {
        Self { rounds, maxima: VecDeque::new(), round: 0, round_max: 0.0, last_round_max: 0.0 }
    }

    /// The estimate; 0 before the first sample.
    pub(super) fn estimate(&self) -> f64 {
        self.maxima.front().map_or(0.0, |&(_, rate)| rate)
    }

    /// A delivery rate.
    pub(super) fn on_sample(&mut self, rate: f64) {
        self.round_max = self.round_max.max(rate);
        while self.maxima.back().is_some_and(|&(_, older)| older <= rate) {
            self.maxima.pop_back();
        }
        self.maxima.push_back((self.round, rate));
        while self.maxima.len() > 1 && self.maxima[0].0 + self.rounds <= self.round {
            self.maxima.pop_front();
        }
    }

    /// A new round begins.
    pub(super) fn on_round(&mut self) {
        self.round += 1;
        self.last_round_max = self.round_max;
        self.round_max = 0.0;
    }

    /// Forgets everything but this rate.
    pub(super) fn reset(&mut self, rate: f64) {
        self.maxima.clear();
        self.maxima.push_back((self.round, rate));
    }

    /// The highest rate of this round and the last: what the path carries now.
    pub(super) fn recent(&self) -> f64 {
        self.round_max.max(self.last_round_max)
    }

    /// The highest rate of the last whole round.
    pub(super) fn last_round(&self) -> f64 {
        self.last_round_max
    }

    pub(super) fn round(&self) -> u64 {
        self.round
    }
}
