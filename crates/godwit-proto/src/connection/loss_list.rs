//! A set of sequence numbers as ordered, disjoint ranges: what the sender has to send again.
//!
//! Ranges are kept in circular order in a `VecDeque`: a lookup is a binary search, a change shifts at most the ranges
//! on one side of it. Neighbouring ranges are always joined, so n ranges have n − 1 gaps between them: the list holds
//! at most half as many ranges as the window that its numbers come from has packets (8 bytes each).

use std::collections::VecDeque;

use crate::seq::Seq;

/// An inclusive range of sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: Seq,
    last: Seq,
}

impl Range {
    fn packets(self) -> u32 {
        packets_between(self.first, self.last)
    }
}

/// Packets in the inclusive range `first ..= last`; 0 if `last` comes before `first`.
pub(super) fn packets_between(first: Seq, last: Seq) -> u32 {
    u32::try_from(first.offset_to(last) + 1).unwrap_or(0)
}

/// Ordered, disjoint, coalesced inclusive ranges of [`Seq`].
///
/// The caller inserts only numbers of one window: everything in the list at one time lies within 2^30 of everything
/// else, otherwise "before" has no meaning. Reports of a peer are checked against the window before they get here.
///
/// Source: specification sections 3.2 (order of retransmission) and 3.4 (union of NAK entries).
#[derive(Clone, Debug, Default)]
pub(crate) struct LossList {
    ranges: VecDeque<Range>,
    packets: u32,
}

impl LossList {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds `first ..= last` and returns how many of these were not in the list before.
    /// A range whose `last` comes before its `first` is empty.
    pub(crate) fn insert(&mut self, first: Seq, last: Seq) -> u32 {
        if first.is_after(last) {
            return 0;
        }
        let begin = self.ranges.partition_point(|range| range.last.next().is_before(first));
        let end = self.ranges.partition_point(|range| !range.first.is_after(last.next()));
        let mut merged = Range { first, last };
        let mut before = 0;
        for &range in self.ranges.range(begin..end) {
            before += range.packets();
            merged.first = if range.first.is_before(merged.first) { range.first } else { merged.first };
            merged.last = if range.last.is_after(merged.last) { range.last } else { merged.last };
        }
        if begin == end {
            self.ranges.insert(begin, merged);
        } else {
            self.ranges[begin] = merged;
            self.ranges.drain(begin + 1..end);
        }
        let added = merged.packets() - before;
        self.packets += added;
        added
    }

    /// Gives memory back that nothing needs now.
    pub(crate) fn shrink(&mut self) {
        self.ranges.shrink_to_fit();
    }

    /// Takes `seq` out; whether it was in the list.
    #[cfg(test)]
    pub(crate) fn remove(&mut self, seq: Seq) -> bool {
        self.remove_range(seq, seq) == 1
    }

    /// Takes `first ..= last` out and returns how many of these were in the list.
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
        let before: u32 = self.ranges.range(begin..end).map(|range| range.packets()).sum();
        let kept_head = head.first.is_before(first).then(|| Range { first: head.first, last: first.prev() });
        let kept_tail = tail.last.is_after(last).then(|| Range { first: last.next(), last: tail.last });
        self.ranges.drain(begin..end);
        let mut kept_packets = 0;
        for kept in [kept_tail, kept_head].into_iter().flatten() {
            self.ranges.insert(begin, kept);
            kept_packets += kept.packets();
        }
        let removed = before - kept_packets;
        self.packets -= removed;
        removed
    }

    /// Takes out everything that comes before `seq` and returns how many that were.
    pub(crate) fn remove_before(&mut self, seq: Seq) -> u32 {
        let packets_before = self.packets;
        while let Some(front) = self.ranges.front_mut() {
            if front.last.is_before(seq) {
                self.packets -= front.packets();
                self.ranges.pop_front();
                continue;
            }
            if front.first.is_before(seq) {
                self.packets -= packets_between(front.first, seq.prev());
                front.first = seq;
            }
            break;
        }
        packets_before - self.packets
    }

    /// Takes out the first number.
    pub(crate) fn pop_first(&mut self) -> Option<Seq> {
        let front = self.ranges.front_mut()?;
        let first = front.first;
        if first == front.last {
            self.ranges.pop_front();
        } else {
            front.first = first.next();
        }
        self.packets -= 1;
        Some(first)
    }

    /// The first number in circular order.
    pub(crate) fn first(&self) -> Option<Seq> {
        self.ranges.front().map(|range| range.first)
    }

    /// Whether `seq` is in the list.
    #[cfg(test)]
    pub(crate) fn contains(&self, seq: Seq) -> bool {
        let at = self.ranges.partition_point(|range| range.last.is_before(seq));
        self.ranges.get(at).is_some_and(|range| !range.first.is_after(seq))
    }

    /// Numbers in the list.
    pub(crate) fn len_packets(&self) -> u32 {
        self.packets
    }

    /// Whether nothing is in the list.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The inclusive ranges, first to last; between two of them at least one number is absent.
    #[cfg(test)]
    pub(crate) fn ranges(&self) -> impl ExactSizeIterator<Item = (Seq, Seq)> + '_ {
        self.ranges.iter().map(|range| (range.first, range.last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn seq(value: u32) -> Seq {
        Seq::new(value)
    }

    fn collected(list: &LossList) -> Vec<(u32, u32)> {
        list.ranges().map(|(first, last)| (first.value(), last.value())).collect()
    }

    #[test]
    fn joins_neighbours_and_overlaps() {
        let mut list = LossList::new();
        assert_eq!(list.insert(seq(10), seq(12)), 3);
        assert_eq!(list.insert(seq(20), seq(20)), 1);
        assert_eq!(list.insert(seq(13), seq(14)), 2);
        assert_eq!(collected(&list), [(10, 14), (20, 20)]);
        assert_eq!(list.insert(seq(5), seq(25)), 21 - 6);
        assert_eq!(collected(&list), [(5, 25)]);
        assert_eq!(list.insert(seq(7), seq(7)), 0);
        assert_eq!(list.insert(seq(9), seq(8)), 0);
    }

    #[test]
    fn removal_splits() {
        let mut list = LossList::new();
        list.insert(seq(10), seq(19));
        assert!(list.remove(seq(15)));
        assert!(!list.remove(seq(15)));
        assert_eq!(collected(&list), [(10, 14), (16, 19)]);
        assert_eq!(list.remove_range(seq(14), seq(16)), 2);
        assert_eq!(list.remove_before(seq(12)), 2);
        assert_eq!(collected(&list), [(12, 13), (17, 19)]);
        assert_eq!(list.pop_first(), Some(seq(12)));
        assert_eq!(list.len_packets(), 4);
    }

    /// Pitfall 13: ranges across the wrap, and the number 0x7FFFFFFF itself.
    #[test]
    fn a_range_crosses_the_wrap() {
        let mut list = LossList::new();
        assert_eq!(list.insert(seq(0x7FFF_FFFE), seq(1)), 4);
        assert!(list.contains(seq(0x7FFF_FFFF)) && list.contains(seq(0)) && !list.contains(seq(2)));
        assert!(list.remove(seq(0x7FFF_FFFF)));
        assert_eq!(collected(&list), [(0x7FFF_FFFE, 0x7FFF_FFFE), (0, 1)]);
        assert_eq!(list.remove_before(seq(1)), 2);
        assert_eq!(list.first(), Some(seq(1)));
    }

    /// Random operations, checked against a set of offsets from the base after each step.
    #[test]
    fn agrees_with_a_naive_set() {
        const SPAN: u32 = 200;
        for seed in 0..60 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let base = seq(0x7FFF_FFFF - rng.random_range(0..2 * SPAN));
            let (mut list, mut model) = (LossList::new(), BTreeSet::new());
            for _ in 0..400 {
                let first = rng.random_range(0..SPAN);
                let last = (first + rng.random_range(0..20)).min(SPAN);
                let (first_seq, last_seq) = (base.add(first), base.add(last));
                match rng.random_range(0..10) {
                    0..4 => {
                        let added = (first..=last).filter(|&offset| model.insert(offset)).count();
                        assert_eq!(list.insert(first_seq, last_seq) as usize, added);
                    }
                    4..6 => assert_eq!(list.remove(first_seq), model.remove(&first)),
                    6 => {
                        let removed = (first..=last).filter(|offset| model.remove(offset)).count();
                        assert_eq!(list.remove_range(first_seq, last_seq) as usize, removed);
                    }
                    7 => {
                        let cut = first / 8;
                        let kept = model.split_off(&cut);
                        assert_eq!(list.remove_before(base.add(cut)) as usize, model.len());
                        model = kept;
                    }
                    8 => assert_eq!(list.pop_first(), model.pop_first().map(|offset| base.add(offset))),
                    _ => assert_eq!(list.contains(first_seq), model.contains(&first)),
                }
                check(&list, &model, base);
            }
        }
    }

    fn check(list: &LossList, model: &BTreeSet<u32>, base: Seq) {
        let offsets: Vec<u32> = list
            .ranges()
            .flat_map(|(first, last)| (base.offset_to(first) as u32)..=(base.offset_to(last) as u32))
            .collect();
        assert!(offsets.iter().eq(model.iter()), "{offsets:?} instead of {model:?}");
        assert_eq!(list.len_packets() as usize, model.len());
        assert_eq!(list.is_empty(), model.is_empty());
        assert_eq!(list.first(), model.first().map(|&offset| base.add(offset)));
        let ranges: Vec<_> = list.ranges().collect();
        assert!(ranges.windows(2).all(|pair| pair[0].1.offset_to(pair[1].0) > 1), "neighbours not joined: {ranges:?}");
    }
}
