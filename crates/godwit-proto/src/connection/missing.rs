//! What the receiver misses, and when it last told the sender so.
//!
//! libudt 4.11 reports each gap once; a lost retransmission then stops the transfer until the sender's EXP timer
//! (specification section 5.5). Here each range carries the time and the number of its reports, and is reported again
//! after k report intervals, as the draft does (section 12).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::loss_list::packets_between;
use crate::seq::Seq;

/// The greatest k of the k · interval between two reports of the same range. The draft lets k grow for ever; a range
/// that was lost again and again is what holds up the whole stream, so it is asked for at least every fourth interval.
pub(crate) const MAX_BACKOFF: u8 = 4;
/// The least interval, so that what was reported just now is never due just now: a caller drains what is due in a loop.
pub(crate) const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// An inclusive range of missing packets that share one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Missing {
    first: Seq,
    last: Seq,
    /// When the range was last reported; while it has not been, when it was found.
    since: Instant,
    found: Found,
    /// How often it was reported; stays at 255.
    reports: u8,
}

/// How a gap was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// When.
    pub(crate) at: Instant,
    /// Time stamp of the packet behind the gap: what left no later than it was overtaken by it, and what left later was sent again.
    pub(crate) stamp_us: u32,
}

impl Missing {
    fn packets(&self) -> u32 {
        packets_between(self.first, self.last)
    }

    fn reported_at(&self) -> Option<Instant> {
        (self.reports > 0).then_some(self.since)
    }

    /// When the range should be reported: after `patience` if it never was.
    fn due_at(&self, interval: Duration, patience: Duration) -> Instant {
        match self.reported_at() {
            None => self.since + patience,
            Some(reported_at) => reported_at + interval * u32::from(self.reports.min(MAX_BACKOFF)),
        }
    }

    /// Whether the two ranges can be kept as one.
    fn has_history_of(&self, other: &Self) -> bool {
        self.since == other.since && self.found == other.found && self.reports == other.reports
    }
}

/// Ordered, disjoint ranges of missing packets with the state of their reports.
///
/// Ranges with different histories stay apart though they touch. There are never more ranges than missing packets, and
/// the caller takes only packets inside its receive window, so the list is bounded by that window; ranges of 56 bytes.
/// The same precondition as for `LossList`: all numbers lie within 2^30 of each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct MissingList {
    ranges: VecDeque<Missing>,
    packets: u32,
    repeated_packets: u64,
    /// How long a new gap may turn out to be a change of order.
    patience: Duration,
    /// The interval asked for last, and a time before which nothing is due with it.
    next_due: Option<(Duration, Instant)>,
}

impl MissingList {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// From now on new gaps are due so much later than they are found.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        if self.patience != patience {
            self.patience = patience;
            self.next_due = None;
        }
    }

    /// Adds what of `first ..= last` is not in the list yet, as never reported and due at once, or after the patience. Returns how
    /// many were added. What is in the list already keeps its history.
    pub(crate) fn insert(&mut self, first: Seq, last: Seq, found: Found) -> u32 {
        let packets_before = self.packets;
        let mut from = first;
        while !from.is_after(last) {
            let at = self.ranges.partition_point(|range| range.last.is_before(from));
            let (to, resume) = match self.ranges.get(at) {
                Some(next) if !next.first.is_after(from) => (None, next.last.next()),
                Some(next) if !next.first.is_after(last) => (Some(next.first.prev()), next.last.next()),
                _ => (Some(last), last.next()),
            };
            if let Some(to) = to {
                self.insert_at(at, Missing { first: from, last: to, since: found.at, found, reports: 0 });
            }
            from = resume;
        }
        let added = self.packets - packets_before;
        if let (1.., Some((_, due))) = (added, &mut self.next_due) {
            *due = (found.at + self.patience).min(*due);
        }
        added
    }

    /// Gives memory back that nothing needs now.
    pub(crate) fn shrink(&mut self) {
        self.ranges.shrink_to_fit();
    }

    /// Takes `seq` out because it arrived. `None`: it was not missing; otherwise how its gap was found.
    pub(crate) fn remove(&mut self, seq: Seq) -> Option<Found> {
        let at = self.ranges.partition_point(|range| range.last.is_before(seq));
        let range = *self.ranges.get(at).filter(|range| !range.first.is_after(seq))?;
        match (range.first == seq, range.last == seq) {
            (true, true) => drop(self.ranges.remove(at)),
            (true, false) => self.ranges[at].first = seq.next(),
            (false, true) => self.ranges[at].last = seq.prev(),
            (false, false) => {
                self.ranges[at].last = seq.prev();
                self.ranges.insert(at + 1, Missing { first: seq.next(), ..range });
            }
        }
        self.packets -= 1;
        Some(range.found)
    }

    /// Takes out what of `first ..= last` is in the list (the sender dropped it) and returns how many that were.
    pub(crate) fn remove_range(&mut self, first: Seq, last: Seq) -> u32 {
        if first.is_after(last) {
            return 0;
        }
        let begin = self.ranges.partition_point(|range| range.last.is_before(first));
        let end = self.ranges.partition_point(|range| !range.first.is_after(last));
        if begin == end {
            return 0;
        }
        let (head, tail) = (self.ranges[begin], self.ranges[end - 1]);
        let packets_before = self.packets;
        self.packets -= self.ranges.drain(begin..end).map(|range| range.packets()).sum::<u32>();
        let kept_head = head.first.is_before(first).then(|| Missing { last: first.prev(), ..head });
        let kept_tail = tail.last.is_after(last).then(|| Missing { first: last.next(), ..tail });
        for kept in [kept_tail, kept_head].into_iter().flatten() {
            self.ranges.insert(begin, kept);
            self.packets += kept.packets();
        }
        packets_before - self.packets
    }

    /// Appends to `report` the inclusive ranges to report now, lowest first and at most `max_ranges` of them, and marks
    /// them as reported. If more is due, [`next_due`](Self::next_due) is then `now`.
    ///
    /// Due is what was never reported, and what was reported k times and last at least min(k, [`MAX_BACKOFF`]) ·
    /// `interval` ago. An `interval` under [`MIN_INTERVAL`] counts as that.
    pub(crate) fn due(&mut self, now: Instant, interval: Duration, max_ranges: usize, report: &mut Vec<(Seq, Seq)>) {
        let interval = interval.max(MIN_INTERVAL);
        if max_ranges == 0 || self.next_due(interval).is_none_or(|due| due > now) {
            return;
        }
        let patience = self.patience;
        let mut next_due: Option<Instant> = None;
        let mut ranges = 0;
        for range in &mut self.ranges {
            if range.due_at(interval, patience) <= now {
                let joins = ranges > 0 && report.last().is_some_and(|&(_, last)| last.next() == range.first);
                match report.last_mut() {
                    Some((_, last)) if joins => *last = range.last,
                    _ if ranges == max_ranges => {
                        next_due = Some(now);
                        break;
                    }
                    _ => {
                        report.push((range.first, range.last));
                        ranges += 1;
                    }
                }
                if range.reports > 0 {
                    self.repeated_packets += u64::from(range.packets());
                }
                range.since = now;
                range.reports = range.reports.saturating_add(1);
            }
            let due_at = range.due_at(interval, patience);
            next_due = Some(next_due.map_or(due_at, |soonest| soonest.min(due_at)));
        }
        self.next_due = next_due.map(|due| (interval, due));
    }

    /// The lowest number of the newest losses that were never reported.
    pub(crate) fn first_unreported(&self) -> Option<Seq> {
        self.ranges.iter().rev().take_while(|range| range.reports == 0).last().map(|range| range.first)
    }

    /// When [`due`](Self::due) may have something to report: never later than the truth; earlier only when what was due
    /// then has arrived meanwhile, and then a call of `due` corrects it. O(1) unless `interval` changed.
    pub(crate) fn next_due(&mut self, interval: Duration) -> Option<Instant> {
        let interval = interval.max(MIN_INTERVAL);
        if self.ranges.is_empty() {
            self.next_due = None;
            return None;
        }
        match self.next_due {
            Some((for_interval, due)) if for_interval == interval => Some(due),
            _ => {
                let due = self.ranges.iter().map(|range| range.due_at(interval, self.patience)).min()?;
                self.next_due = Some((interval, due));
                Some(due)
            }
        }
    }

    /// The first missing number in circular order: what the cumulative acknowledgement stands at.
    #[cfg(test)]
    pub(crate) fn first(&self) -> Option<Seq> {
        self.ranges.front().map(|range| range.first)
    }

    /// Whether `seq` is missing.
    #[cfg(test)]
    pub(crate) fn contains(&self, seq: Seq) -> bool {
        let at = self.ranges.partition_point(|range| range.last.is_before(seq));
        self.ranges.get(at).is_some_and(|range| !range.first.is_after(seq))
    }

    /// Missing packets.
    #[cfg(test)]
    pub(crate) fn len_packets(&self) -> u32 {
        self.packets
    }

    /// Whether nothing is missing.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Packets reported again since the connection began: each counts once per report after its first.
    pub(crate) fn repeated_packets(&self) -> u64 {
        self.repeated_packets
    }

    /// The missing ranges, inclusive, first to last, with the time of their last report. Ranges may touch.
    #[cfg(test)]
    pub(crate) fn ranges(&self) -> impl ExactSizeIterator<Item = (Seq, Seq, Option<Instant>)> + '_ {
        self.ranges.iter().map(|range| (range.first, range.last, range.reported_at()))
    }

    /// Inserts a range at its place, joined with the neighbours whose history it shares.
    fn insert_at(&mut self, at: usize, new: Missing) {
        self.packets += new.packets();
        let joins_left =
            at > 0 && self.ranges[at - 1].last.next() == new.first && self.ranges[at - 1].has_history_of(&new);
        let joins_right =
            self.ranges.get(at).is_some_and(|right| new.last.next() == right.first && right.has_history_of(&new));
        match (joins_left, joins_right) {
            (true, true) => {
                self.ranges[at - 1].last = self.ranges[at].last;
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at - 1].last = new.last,
            (false, true) => self.ranges[at].first = new.first,
            (false, false) => self.ranges.insert(at, new),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::virtual_time;

    const INTERVAL: Duration = Duration::from_millis(20);

    fn found(at: Instant) -> Found {
        Found { at, stamp_us: 0 }
    }

    fn seq(value: u32) -> Seq {
        Seq::new(value)
    }

    fn reported(list: &mut MissingList, now: Instant, max_ranges: usize) -> Vec<(u32, u32)> {
        let mut report = Vec::new();
        list.due(now, INTERVAL, max_ranges, &mut report);
        report.into_iter().map(|(first, last)| (first.value(), last.value())).collect()
    }

    #[test]
    fn reports_at_once_then_with_growing_pauses() {
        let origin = virtual_time::origin();
        let mut list = MissingList::new();
        list.insert(seq(5), seq(6), found(origin));
        let mut at = Vec::new();
        for step in 0..16 {
            let now = origin + INTERVAL * step;
            if !reported(&mut list, now, 8).is_empty() {
                at.push(step);
            }
        }
        assert_eq!(at, [0, 1, 3, 6, 10, 14]);
        assert_eq!(list.repeated_packets(), 5 * 2);
        assert_eq!(list.next_due(INTERVAL), Some(origin + INTERVAL * 18));
    }

    #[test]
    fn lowest_first_and_no_more_than_asked_for() {
        let origin = virtual_time::origin();
        let mut list = MissingList::new();
        for first in [30, 10, 20] {
            list.insert(seq(first), seq(first + 1), found(origin));
        }
        assert_eq!(reported(&mut list, origin, 2), [(10, 11), (20, 21)]);
        assert_eq!(list.next_due(INTERVAL), Some(origin));
        assert_eq!(reported(&mut list, origin, 2), [(30, 31)]);
        assert_eq!(list.next_due(INTERVAL), Some(origin + INTERVAL));
        assert_eq!(reported(&mut list, origin, 0), []);
    }

    #[test]
    fn an_interval_of_zero_drains_all_the_same() {
        let origin = virtual_time::origin();
        let mut list = MissingList::new();
        list.insert(seq(1), seq(2), found(origin));
        let mut report = Vec::new();
        list.due(origin, Duration::ZERO, 1, &mut report);
        assert_eq!(list.next_due(Duration::ZERO), Some(origin + MIN_INTERVAL));
    }

    #[test]
    fn a_union_keeps_the_history_of_what_was_known() {
        let origin = virtual_time::origin();
        let mut list = MissingList::new();
        list.insert(seq(10), seq(12), found(origin));
        assert_eq!(reported(&mut list, origin, 9), [(10, 12)]);
        let later = origin + Duration::from_millis(5);
        assert_eq!(list.insert(seq(8), seq(15), found(later)), 5);
        assert_eq!(reported(&mut list, later, 9), [(8, 9), (13, 15)]);
        assert_eq!(list.remove(seq(11)), Some(found(origin)));
        assert_eq!(list.remove(seq(11)), None);
        assert_eq!(list.remove_range(seq(9), seq(13)), 4);
        assert_eq!(
            list.ranges().map(|(first, last, _)| (first, last)).collect::<Vec<_>>(),
            [(seq(8), seq(8)), (seq(14), seq(15))]
        );
        assert_eq!(list.len_packets(), 3);
    }

    #[test]
    fn patience_delays_the_first_report_only() {
        let (origin, mut list) = (virtual_time::origin(), MissingList::new());
        list.set_patience(Duration::from_millis(3));
        list.insert(seq(1), seq(1), found(origin));
        assert_eq!(list.next_due(INTERVAL), Some(origin + Duration::from_millis(3)));
        assert_eq!(reported(&mut list, origin + Duration::from_millis(2), 1), []);
        assert_eq!(reported(&mut list, origin + Duration::from_millis(3), 1), [(1, 1)]);
        list.set_patience(Duration::ZERO);
        assert_eq!(list.next_due(INTERVAL), Some(origin + Duration::from_millis(3) + INTERVAL));
    }

    #[test]
    fn due_ranges_that_touch_are_reported_as_one() {
        let origin = virtual_time::origin();
        let mut list = MissingList::new();
        list.insert(seq(1), seq(2), found(origin));
        list.insert(seq(3), seq(4), found(origin + Duration::from_millis(1)));
        assert_eq!(list.ranges().len(), 2);
        assert_eq!(reported(&mut list, origin + Duration::from_millis(1), 1), [(1, 4)]);
    }

    #[test]
    fn an_arrival_tells_how_its_gap_was_found() {
        let (mut list, found) = (MissingList::new(), Found { at: virtual_time::origin(), stamp_us: 7 });
        list.insert(seq(0x7FFF_FFFF), seq(0), found);
        assert_eq!(list.remove(seq(0)), Some(found));
        assert_eq!(list.first(), Some(seq(0x7FFF_FFFF)));
        assert_eq!(list.remove(seq(0x7FFF_FFFF)), Some(found));
        assert_eq!(list.next_due(INTERVAL), None);
    }

    const SPAN: u32 = 150;

    #[derive(Clone, Copy)]
    struct Model {
        since: Instant,
        found: Found,
        reports: u8,
    }

    fn model_due_at(model: &Model, interval: Duration) -> Instant {
        model.since + interval * u32::from(model.reports.min(MAX_BACKOFF))
    }

    /// Random operations in passing time, checked packet by packet after each step.
    #[test]
    fn agrees_with_one_record_per_packet() {
        for seed in 0..60 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let base = seq(0x7FFF_FFFF - rng.random_range(0..2 * SPAN));
            let mut now = virtual_time::origin();
            let (mut list, mut model) = (MissingList::new(), BTreeMap::<u32, Model>::new());
            for _ in 0..400 {
                now += Duration::from_micros(rng.random_range(0..9_000));
                let interval = Duration::from_millis(rng.random_range(20..23));
                let first = rng.random_range(0..SPAN);
                let last = (first + rng.random_range(0..15)).min(SPAN);
                match rng.random_range(0..8) {
                    0..3 => {
                        let before = model.len();
                        for offset in first..=last {
                            model.entry(offset).or_insert_with(|| Model { since: now, found: found(now), reports: 0 });
                        }
                        let added = list.insert(base.add(first), base.add(last), found(now)) as usize;
                        assert_eq!(added, model.len() - before);
                    }
                    3..5 => {
                        let expected = model.remove(&first).map(|packet| packet.found);
                        assert_eq!(list.remove(base.add(first)), expected);
                    }
                    5 => {
                        let removed = (first..=last).filter(|offset| model.remove(offset).is_some()).count();
                        assert_eq!(list.remove_range(base.add(first), base.add(last)) as usize, removed);
                    }
                    _ => check_report(&mut list, &mut model, base, now, interval, rng.random_range(1..6)),
                }
                check(&mut list, &model, base, interval);
            }
        }
    }

    fn check_report(
        list: &mut MissingList,
        model: &mut BTreeMap<u32, Model>,
        base: Seq,
        now: Instant,
        interval: Duration,
        max_ranges: usize,
    ) {
        let mut report = Vec::new();
        while list.next_due(interval).is_some_and(|due| due <= now) {
            let begin = report.len();
            list.due(now, interval, max_ranges, &mut report);
            assert!(report.len() - begin <= max_ranges);
        }
        let offsets: Vec<u32> = report
            .iter()
            .flat_map(|&(first, last)| (base.offset_to(first) as u32)..=(base.offset_to(last) as u32))
            .collect();
        let expected: Vec<u32> = model
            .iter()
            .filter(|(_, packet)| model_due_at(packet, interval) <= now)
            .map(|(&offset, _)| offset)
            .collect();
        assert_eq!(offsets, expected);
        for offset in expected {
            let packet = model.get_mut(&offset).expect("just listed");
            *packet = Model { since: now, reports: packet.reports.saturating_add(1), ..*packet };
        }
        let due = list.next_due(interval);
        assert!(due.is_none_or(|due| due > now), "a drained list is not due");
    }

    fn check(list: &mut MissingList, model: &BTreeMap<u32, Model>, base: Seq, interval: Duration) {
        let offsets: Vec<u32> = list
            .ranges()
            .flat_map(|(first, last, _)| (base.offset_to(first) as u32)..=(base.offset_to(last) as u32))
            .collect();
        assert!(offsets.iter().eq(model.keys()));
        assert_eq!(list.len_packets() as usize, model.len());
        assert_eq!(list.is_empty(), model.is_empty());
        assert!((0..SPAN).all(|offset| list.contains(base.add(offset)) == model.contains_key(&offset)));
        let truth = model.values().map(|packet| model_due_at(packet, interval)).min();
        let due = list.next_due(interval);
        assert_eq!(due.is_some(), truth.is_some());
        assert!(due <= truth, "due later than it should be");
    }
}
