//! Writers whose connections have room again: they are called in turn, and no sooner than what they write can leave.
//!
//! If each wrote as soon as it has room, then of a thousand busy connections 200 MB would wait behind each other, each for 150 ms:
//! more than any cache holds. And what answers an ACK would wait as long, so that the peers measured round-trips of 100 ms.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::memory_budget::MemoryBudgets;

/// So many connections are due, or have a writer who was just called: what they write fits into a core's cache, and the driver does
/// not run dry.
pub(crate) const DUE_MAX: usize = 8;

/// The connections of one driver whose writers wait for their turn, each at most once.
#[derive(Debug)]
pub(crate) struct WriterQueue<T> {
    waiting: VecDeque<T>,
    budgets: Arc<MemoryBudgets>,
}

impl<T> WriterQueue<T> {
    pub(crate) const fn new(budgets: Arc<MemoryBudgets>) -> Self {
        Self { waiting: VecDeque::new(), budgets }
    }

    /// Adds `item`, unless `is_queued` says that it is there.
    pub(crate) fn enqueue(&mut self, is_queued: &mut bool, item: impl FnOnce() -> T) {
        if !std::mem::replace(is_queued, true) {
            self.waiting.push_back(item());
            self.budgets.writer_waits();
        }
    }

    /// While `due` connections are due, takes those out whose turn has come: `call` tells whether there was a writer to call, and
    /// forgets that they are queued. True if there was any; otherwise enough are due, or nobody waits.
    pub(crate) fn call(&mut self, due: usize, mut call: impl FnMut(T) -> bool) -> bool {
        let mut called = 0;
        while due + called < DUE_MAX
            && let Some(item) = self.waiting.pop_front()
        {
            self.budgets.writer_goes_on();
            called += usize::from(call(item));
        }
        called > 0
    }
}

#[cfg(test)]
mod tests {
    use godwit_proto::EndpointConfig;

    use super::*;

    fn queue_of(items: std::ops::Range<usize>) -> WriterQueue<usize> {
        let mut queue = WriterQueue::new(Arc::new(MemoryBudgets::new(&EndpointConfig::default())));
        items.for_each(|item| queue.enqueue(&mut false, || item));
        queue
    }

    #[test]
    fn they_are_called_in_order_and_no_more_than_can_be_due() {
        let mut queue = queue_of(0..20);
        let mut called = Vec::new();
        assert!(queue.call(0, |item| {
            called.push(item);
            true
        }));
        assert_eq!(called, Vec::from_iter(0..DUE_MAX));
        assert!(!queue.call(DUE_MAX, |_| true), "enough are due");
        assert!(queue.call(DUE_MAX - 1, |item| item == DUE_MAX));
    }

    #[test]
    fn one_that_does_not_wait_any_more_takes_nobodys_turn() {
        let mut queue = queue_of(0..20);
        let mut called = Vec::new();
        queue.call(0, |item| {
            called.push(item);
            item % 2 == 1
        });
        assert_eq!(called.len(), 2 * DUE_MAX);
        assert!(!queue.call(0, |_| false), "nobody is left to call, and the driver may wait");
    }

    #[test]
    fn each_waits_once() {
        let (mut queue, mut is_queued) = (queue_of(0..0), false);
        queue.enqueue(&mut is_queued, || 1);
        queue.enqueue(&mut is_queued, || 1);
        assert_eq!(queue.waiting.len(), 1);
    }
}
