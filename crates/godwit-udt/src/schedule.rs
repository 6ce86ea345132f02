//! Which connection is served when: one ordered queue of deadlines per driver, with exact removal.

use std::collections::BTreeMap;
use std::time::Instant;

/// Position in the schedule: the deadline, then the order in which it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    deadline: Instant,
    order: u64,
}

impl Slot {
    pub(crate) const fn deadline(self) -> Instant {
        self.deadline
    }
}

/// Deadlines of connections; an idle connection costs nothing before its own comes. A connection has one slot at most,
/// which it keeps itself.
#[derive(Debug)]
pub(crate) struct Schedule<T> {
    slots: BTreeMap<Slot, T>,
    order: u64,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self { slots: BTreeMap::new(), order: 0 }
    }
}

impl<T> Schedule<T> {
    /// Moves `item` to `deadline`, or out of the schedule. `slot` is where it is now, and then where it will be. One
    /// that is due at the same time as others comes after them.
    pub(crate) fn arm(&mut self, slot: &mut Option<Slot>, deadline: Option<Instant>, item: impl FnOnce() -> T) {
        if slot.map(|slot| slot.deadline) == deadline {
            return;
        }
        let item = match slot.take() {
            Some(old) => self.slots.remove(&old).unwrap_or_else(item),
            None if deadline.is_some() => item(),
            None => return,
        };
        if let Some(deadline) = deadline {
            let new = Slot { deadline, order: self.order };
            self.order += 1;
            self.slots.insert(new, item);
            *slot = Some(new);
        }
    }

    /// Makes `item` due at `now` unless it is due already.
    pub(crate) fn hasten(&mut self, slot: &mut Option<Slot>, now: Instant, item: impl FnOnce() -> T) {
        if slot.is_none_or(|slot| slot.deadline > now) {
            self.arm(slot, Some(now), item);
        }
    }

    /// What is due at `now` and was set before `turn` began, earliest first. It has left the schedule then: its owner
    /// must forget its slot.
    pub(crate) fn pop_due(&mut self, now: Instant, turn: Turn) -> Option<T> {
        let first = self.slots.first_entry()?;
        (first.key().deadline <= now && first.key().order < turn.0).then(|| first.remove())
    }

    /// How many are due at `now`, counted up to `max`.
    pub(crate) fn count_due(&self, now: Instant, max: usize) -> usize {
        self.slots.keys().take(max).take_while(|slot| slot.deadline <= now).count()
    }

    /// Begins a turn: whatever is set from now on has to wait for the next one, so that a turn ends.
    pub(crate) const fn begin_turn(&self) -> Turn {
        Turn(self.order)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.slots.first_key_value().map(|(slot, _)| slot.deadline)
    }
}

/// A moment in the life of a [`Schedule`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn(u64);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_comes_first_and_equals_in_the_order_they_were_set() {
        let (now, mut schedule) = (Instant::now(), Schedule::default());
        let mut slots = [None; 3];
        let at = |milliseconds| Some(now + Duration::from_millis(milliseconds));
        schedule.arm(&mut slots[0], at(2), || 'a');
        schedule.arm(&mut slots[1], at(1), || 'b');
        schedule.arm(&mut slots[2], at(2), || 'c');
        assert_eq!([at(1), at(2)].map(|now| schedule.count_due(now.unwrap(), 2)), [1, 2], "of three, up to two");
        let turn = schedule.begin_turn();
        let due: Vec<char> = std::iter::from_fn(|| schedule.pop_due(at(2).unwrap(), turn)).collect();
        assert_eq!(due, ['b', 'a', 'c']);
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn moving_and_removing_leaves_nothing_behind() {
        let (now, mut schedule) = (Instant::now(), Schedule::default());
        let mut slot = None;
        for microseconds in (0..1000).rev() {
            schedule.arm(&mut slot, Some(now + Duration::from_micros(microseconds)), || ());
        }
        assert_eq!((schedule.slots.len(), schedule.next()), (1, Some(now)));
        schedule.arm(&mut slot, None, || ());
        assert_eq!((schedule.slots.len(), slot), (0, None));
    }

    #[test]
    fn what_is_set_again_during_a_turn_waits_for_the_next() {
        let (now, mut schedule) = (Instant::now(), Schedule::default());
        let mut slot = None;
        schedule.hasten(&mut slot, now, || ());
        let turn = schedule.begin_turn();
        assert!(schedule.pop_due(now, turn).is_some());
        slot = None;
        schedule.hasten(&mut slot, now, || ());
        assert!(schedule.pop_due(now, turn).is_none());
        assert!(schedule.pop_due(now, schedule.begin_turn()).is_some());
    }
}
