//! The runs of one peer in one scenario, taken together.

use super::{Outcome, Run, ScenarioResults, Spread, Work, cpu_s_per_gb};

/// Medians over the valid runs of one peer, of those over a path as it should be if there are any; of several flows at once, of one flow.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Its name.
    pub peer: String,
    /// Which of several flows at once.
    pub flow: usize,
    /// Bits per second.
    pub goodput_bits_per_s: Option<Spread>,
    /// Of what the path could carry.
    pub ratio: Option<Spread>,
    /// Seconds, of runs that got to the end.
    pub seconds: Option<Spread>,
    /// Seconds.
    pub first_byte_s: Option<Spread>,
    /// Seconds to so many bytes, for each number of bytes that every run reached.
    pub milestones: Vec<(u64, Spread)>,
    /// Of several flows at once: this flow's share of what all of them got while all ran.
    pub share: Option<Spread>,
    /// Share of the packets sent.
    pub retransmitted: Option<Spread>,
    /// Bytes of IP packets that entered the path forwards, per byte of the file.
    pub wire_bytes_per_byte: Option<Spread>,
    /// Seconds per 10^9 bytes.
    pub sender_cpu_s_per_gb: Option<Spread>,
    /// Seconds per 10^9 bytes.
    pub receiver_cpu_s_per_gb: Option<Spread>,
    /// Milliseconds.
    pub queue_mean_ms: Option<Spread>,
    /// Milliseconds.
    pub queue_p95_ms: Option<Spread>,
    /// Bytes.
    pub sender_resident: Option<Spread>,
    /// Bytes.
    pub receiver_resident: Option<Spread>,
    /// What the kernel said of its TCP.
    pub tcp: Option<String>,
    /// How many runs there were, valid or not.
    pub runs: usize,
    /// What a reader must know: failures, stops, wrong algorithms, drops of the machine.
    pub notes: Vec<String>,
}

impl ScenarioResults {
    /// One summary per peer, or per flow if several ran at once, in the order of the first round.
    pub fn summaries(&self) -> Vec<Summary> {
        let mut keys: Vec<(usize, &str)> = Vec::new();
        for run in &self.runs {
            if !keys.contains(&(run.flow, &run.peer)) {
                keys.push((run.flow, &run.peer));
            }
        }
        keys.into_iter().map(|(flow, peer)| self.summary(flow, peer)).collect()
    }

    fn summary(&self, flow: usize, peer: &str) -> Summary {
        let runs: Vec<&Run> = self.runs.iter().filter(|run| run.flow == flow && run.peer == peer).collect();
        let valid: Vec<&Run> = runs.iter().copied().filter(|run| run.is_valid()).collect();
        let sound: Vec<&Run> = valid.iter().copied().filter(|run| run.path.check().is_ok()).collect();
        // Over a path that was not what it should be only if there is nothing better.
        let valid = if sound.is_empty() { valid } else { sound };
        let spread = |value: &dyn Fn(&Run) -> Option<f64>| Spread::of(valid.iter().filter_map(|run| value(run)));
        let per_gb = |cpu_s: f64, run: &Run| (run.bytes > 0).then(|| cpu_s_per_gb(cpu_s, run.bytes));
        let is_alone = !matches!(self.work, Work::Sharing { .. });
        Summary {
            peer: peer.to_owned(),
            flow,
            goodput_bits_per_s: spread(&|run| run.overlap_bits_per_s.or_else(|| Some(run.goodput_bits_per_s()))),
            ratio: spread(&|run| Some(run.ratio(&self.path))),
            seconds: spread(&|run| matches!(run.outcome, Outcome::Complete { .. }).then_some(run.seconds)),
            first_byte_s: spread(&|run| run.first_byte_s),
            milestones: milestones(&valid),
            share: spread(&|run| self.share(run)),
            retransmitted: spread(&|run| run.retransmitted),
            wire_bytes_per_byte: spread(&|run| {
                (is_alone && run.bytes > 0).then(|| run.path.forward.entered_bytes as f64 / run.bytes as f64)
            }),
            sender_cpu_s_per_gb: spread(&|run| per_gb(run.sender.cpu_s, run)),
            receiver_cpu_s_per_gb: spread(&|run| per_gb(run.receiver.cpu_s, run)),
            queue_mean_ms: spread(&|run| Some(run.path.forward.queue_delay_mean.as_secs_f64() * 1e3)),
            queue_p95_ms: spread(&|run| Some(run.path.forward.queue_delay_p95.as_secs_f64() * 1e3)),
            sender_resident: spread(&|run| Some(run.sender.resident_bytes_max as f64)),
            receiver_resident: spread(&|run| Some(run.receiver.resident_bytes_max as f64)),
            tcp: valid
                .iter()
                .find_map(|run| run.tcp.as_ref())
                .map(|tcp| format!("{} ×{}", tcp.seen.join("+"), tcp.connections)),
            runs: runs.len(),
            notes: notes(&runs, self.work),
        }
    }

    /// What a run got of all that the flows of its round got while all of them ran.
    fn share(&self, run: &Run) -> Option<f64> {
        let of_round = self.runs.iter().filter(|other| other.round == run.round);
        let sum: f64 = of_round.filter_map(|other| other.overlap_bits_per_s).sum();
        run.overlap_bits_per_s.filter(|_| sum > 0.0).map(|rate| rate / sum)
    }
}

fn milestones(runs: &[&Run]) -> Vec<(u64, Spread)> {
    let reached = |bytes: u64| -> Option<Vec<f64>> {
        let seconds =
            |run: &&Run| run.milestones.iter().find(|milestone| milestone.0 == bytes).map(|milestone| milestone.1);
        runs.iter().map(seconds).collect()
    };
    let first = runs.first().map_or(&[][..], |run| &run.milestones[..]);
    first.iter().filter_map(|&(bytes, _)| Some((bytes, Spread::of(reached(bytes)?)?))).collect()
}

fn notes(runs: &[&Run], work: Work) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |count: usize, what: String| {
        if count > 0 {
            notes.push(format!("{count} of {}: {what}", runs.len()));
        }
    };
    let count = |is: &dyn Fn(&Run) -> bool| runs.iter().filter(|run| is(run)).count();
    let reasons: Vec<String> = runs.iter().filter_map(|run| reason_not_to_count(run)).collect();
    for (place, reason) in reasons.iter().enumerate().filter(|(place, reason)| !reasons[..*place].contains(reason)) {
        note(reasons[place..].iter().filter(|other| *other == reason).count(), reason.clone());
    }
    if matches!(work, Work::File { .. }) {
        note(count(&|run| run.outcome == Outcome::Stopped), "not complete at the time limit".into());
    }
    let too_slow: Vec<_> = runs.iter().filter_map(|run| run.path.check().err()).collect();
    if let Some(worst) = too_slow.iter().max_by_key(|too_slow| (too_slow.unplanned_drops, too_slow.lateness_p99)) {
        let count = if too_slow.len() == runs.len() { "counted, for want of better ones" } else { "not counted" };
        note(too_slow.len(), format!("{count}: {worst}"));
    }
    let worst = runs.iter().map(|run| run.socket_drops).max().unwrap_or(0);
    note(count(&|run| run.socket_drops > 0), format!("a full socket buffer dropped up to {worst} datagrams"));
    notes
}

fn reason_not_to_count(run: &Run) -> Option<String> {
    if let Outcome::Failed { reason } = &run.outcome {
        return Some(format!("failed: {reason}"));
    }
    let tcp = run.tcp.as_ref().filter(|tcp| !tcp.is_as_told())?;
    let seen = if tcp.seen.is_empty() { "nothing".to_owned() } else { tcp.seen.join(", ") };
    Some(format!("not counted: told to use {}, the kernel showed {seen}", tcp.wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::fixture;

    #[test]
    fn medians_are_over_the_valid_runs() {
        let scenario = &fixture::results().scenarios[0];
        let [ours, curl] = &scenario.summaries()[..] else { panic!("two peers") };
        assert_eq!((ours.peer.as_str(), curl.runs, curl.notes.len()), ("godwit-fair", 3, 1));
        assert_eq!(curl.goodput_bits_per_s.map(|rate| (rate.min, rate.median, rate.max)), Some((200e6, 210e6, 220e6)));
        assert_eq!(curl.notes, ["1 of 3: failed: it was made up"]);
        assert_eq!(curl.tcp.as_deref(), Some("bbr ×1"));
        assert_eq!(ours.milestones.iter().map(|(bytes, _)| *bytes).collect::<Vec<_>>(), [1_000_000, 10_000_000]);
    }

    #[test]
    fn a_run_over_a_path_that_was_too_slow_counts_only_for_want_of_a_better_one() {
        let mut scenario = fixture::results().scenarios.remove(0);
        scenario.runs.retain(|run| run.peer == "godwit-fair");
        let rate = |scenario: &ScenarioResults| scenario.summaries()[0].goodput_bits_per_s.map(|rate| rate.median);
        scenario.runs[0].path.forward.unplanned_drops = 1;
        assert_eq!(rate(&scenario), Some(285e6));
        scenario.runs[1].path.lateness_p99 = std::time::Duration::from_millis(5);
        assert_eq!((rate(&scenario), scenario.summaries()[0].notes.len()), (Some(280e6), 1));
    }

    #[test]
    fn shares_are_of_the_same_round() {
        let shares: Vec<_> = fixture::results().scenarios[1].summaries().iter().map(|row| row.share).collect();
        assert_eq!(shares.iter().map(|share| share.expect("both ran").median).collect::<Vec<_>>(), [0.8, 0.2]);
    }
}
