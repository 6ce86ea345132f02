//! What is to be shown, and whether the results show it.

use std::fmt;

use crate::results::{Results, ScenarioResults, Summary, Work};
use crate::scenario::{TCP_BBR, TCP_CUBIC, UDT_FAIR, UDT_LOW};

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// In which scenario.
    pub scenario: String,
    /// What is measured.
    pub what: String,
    /// What it came to, the median.
    pub measured: f64,
    /// What it is to come to.
    pub bound: Bound,
}

/// A line to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// No less.
    AtLeast(f64),
    /// No more.
    AtMost(f64),
    /// Neither less nor more.
    Between(f64, f64),
}

/// How many times as fast as these we are to be where 1 % is lost at 1 Gbit/s.
const TIMES_AT_LOSS: [(&str, f64); 4] = [(TCP_BBR, 2.5), ("aria2-bbr", 1.3), ("libudt", 20.0), (TCP_CUBIC, 50.0)];
/// No slower than anybody, as far as can be measured.
const NO_SLOWER: f64 = 0.97;
/// Of what can pass, for a minute.
const MINUTE_RATIO: f64 = 0.92;
/// The same towards a C++ receiver, at each loss.
const TO_LIBUDT: [(f64, f64); 3] = [(0.0, 0.95), (0.01, 0.93), (0.05, 0.85)];

/// The goals that these results have something to say about.
pub fn goals(results: &Results) -> Vec<Goal> {
    results.scenarios.iter().flat_map(|scenario| Judge::new(scenario).goals()).collect()
}

/// As Markdown.
pub(super) fn table(goals: &[Goal]) -> String {
    if goals.is_empty() {
        return String::new();
    }
    let line = |goal: &Goal| {
        let verdict = if goal.is_reached() { "yes" } else { "**no**" };
        format!("| {} | {} | {:.3} | {} | {verdict} |\n", goal.scenario, goal.what, goal.measured, goal.bound)
    };
    let lines: String = goals.iter().map(line).collect();
    format!("| scenario | goal | measured | asked for | reached |\n|---|---|---|---|---|\n{lines}\n")
}

impl Goal {
    /// Whether it is.
    pub fn is_reached(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.measured >= least,
            Bound::AtMost(most) => self.measured <= most,
            Bound::Between(least, most) => (least..=most).contains(&self.measured),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::Between(least, most) => write!(f, "{least}–{most}"),
        }
    }
}

/// Goals of one scenario.
struct Judge<'a> {
    scenario: &'a ScenarioResults,
    summaries: Vec<Summary>,
}

impl<'a> Judge<'a> {
    fn new(scenario: &'a ScenarioResults) -> Self {
        Self { scenario, summaries: scenario.summaries() }
    }

    fn goals(&self) -> Vec<Goal> {
        let goals = match self.scenario.work {
            Work::Sharing { .. } => self.sharing(),
            Work::Timed { .. } => self.for_a_minute(),
            Work::File { .. } if self.scenario.name.starts_with("short") => self.short(),
            Work::File { .. } if self.scenario.path.loss > 0.0 => self.where_packets_are_lost(),
            Work::File { .. } => self.where_nothing_is_lost(),
        };
        goals.into_iter().flatten().collect()
    }

    fn for_a_minute(&self) -> Vec<Option<Goal>> {
        let of_path = |peer: &str| self.value(peer, |summary| summary.ratio);
        let loss = self.scenario.path.loss;
        let asked = TO_LIBUDT.iter().find(|(of, _)| (of - loss).abs() < 1e-6);
        let times = Some(self.rate("libudt-to-godwit"))
            .zip(self.rate("libudt"))
            .and_then(|(ours, theirs)| Some(ours? / theirs));
        vec![
            self.goal("godwit-fair, of what can pass", of_path(UDT_FAIR), Bound::AtLeast(MINUTE_RATIO)),
            asked.and_then(|(_, ratio)| {
                self.goal(
                    "godwit to libudt, of what can pass",
                    of_path("godwit-fair-to-libudt"),
                    Bound::AtLeast(*ratio),
                )
            }),
            self.goal("libudt to godwit, times libudt to libudt", times, Bound::AtLeast(1.0)),
        ]
    }

    fn where_packets_are_lost(&self) -> Vec<Option<Goal>> {
        let goal = |(other, times): &(&str, f64)| {
            self.goal(&format!("godwit-fair, times {other}"), self.times(other), Bound::AtLeast(*times))
        };
        TIMES_AT_LOSS.iter().map(goal).collect()
    }

    fn where_nothing_is_lost(&self) -> Vec<Option<Goal>> {
        let others = self.summaries.iter().filter(|summary| !summary.peer.starts_with("godwit"));
        let goal = |other: &Summary| {
            self.goal(&format!("godwit-fair, times {}", other.peer), self.times(&other.peer), Bound::AtLeast(NO_SLOWER))
        };
        others.map(goal).collect()
    }

    fn short(&self) -> Vec<Option<Goal>> {
        let seconds = |peer: &str| self.value(peer, |summary| summary.seconds);
        let times = seconds(UDT_FAIR).zip(seconds(TCP_BBR)).map(|(ours, theirs)| ours / theirs);
        vec![self.goal("godwit-fair's time, times curl-bbr's", times, Bound::AtMost(1.0))]
    }

    fn sharing(&self) -> Vec<Option<Goal>> {
        if let [alone] = &self.summaries[..] {
            let queue = alone.queue_mean_ms.map(|queue| queue.median);
            return vec![self.goal("mean queue alone, ms", queue, Bound::AtMost(10.0))];
        }
        let goal = |summary: &Summary| {
            let bound = if summary.peer == UDT_LOW { Bound::AtMost(0.1) } else { Bound::Between(0.3, 0.7) };
            self.goal(&format!("{}'s share", summary.peer), summary.share.map(|share| share.median), bound)
        };
        self.summaries.iter().filter(|summary| summary.peer.starts_with("godwit")).map(goal).collect()
    }

    /// Our rate over another's.
    fn times(&self, other: &str) -> Option<f64> {
        Some(self.rate(UDT_FAIR)? / self.rate(other)?)
    }

    fn rate(&self, peer: &str) -> Option<f64> {
        self.value(peer, |summary| summary.goodput_bits_per_s).filter(|&rate| rate > 0.0)
    }

    fn value(&self, peer: &str, of: impl Fn(&Summary) -> Option<crate::results::Spread>) -> Option<f64> {
        of(self.summaries.iter().find(|summary| summary.peer == peer)?).map(|spread| spread.median)
    }

    fn goal(&self, what: &str, measured: Option<f64>, bound: Bound) -> Option<Goal> {
        Some(Goal { scenario: self.scenario.name.clone(), what: what.to_owned(), measured: measured?, bound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::fixture;

    #[test]
    fn goals_are_judged_by_their_bounds() {
        let goals = goals(&fixture::results());
        let found: Vec<_> = goals.iter().map(|goal| (goal.what.as_str(), goal.is_reached())).collect();
        assert_eq!(found, [("godwit-fair, of what can pass", true), ("godwit-fair's share", false)], "{goals:?}");
    }

    #[test]
    fn a_goal_nobody_measured_is_not_listed() {
        let mut results = fixture::results();
        results.scenarios.iter_mut().for_each(|scenario| scenario.runs.clear());
        assert_eq!(goals(&results), []);
        assert_eq!(table(&[]), "");
    }
}
