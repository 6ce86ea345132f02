//! The greatest value of the last few rounds.

use std::collections::VecDeque;

/// See the module.
#[derive(Debug)]
pub(super) struct WindowMax {
    rounds: u64,
    /// Rounds and values, values falling.
    values: VecDeque<(u64, f64)>,
}

impl WindowMax {
    pub(super) fn new(rounds: u64) -> Self {
        Self { rounds, values: VecDeque::new() }
    }

    pub(super) fn insert(&mut self, round: u64, value: f64) {
        while self.values.back().is_some_and(|last| last.1 <= value) {
            self.values.pop_back();
        }
        self.values.push_back((round, value));
        while self.values.len() > 1 && self.values[0].0 + self.rounds <= round {
            self.values.pop_front();
        }
    }

    /// 0 while there is none.
    pub(super) fn value(&self) -> f64 {
        self.values.front().map_or(0.0, |first| first.1)
    }
}
