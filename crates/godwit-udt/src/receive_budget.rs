//! What the receive buffers of all connections may hold together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Shares one budget: each connection may hold as much as is still free. One busy connection among idle ones can take half
/// of the budget, `n` busy ones share n/(n+1) of it, and none has to be told what the others do. What is unread counts
/// until it is read or its stream is dropped, whether or not the connection has ended.
///
/// The counter publishes nothing else, hence the relaxed order; a value that is a moment old only shifts the shares.
#[derive(Debug)]
pub(crate) struct ReceiveBudget {
    total_bytes: usize,
    held_bytes: AtomicUsize,
}

impl ReceiveBudget {
    pub(crate) const fn new(total_bytes: usize) -> Self {
        Self { total_bytes, held_bytes: AtomicUsize::new(0) }
    }

    /// What one connection may hold now. (The protocol leaves each a minimum.)
    pub(crate) fn limit_bytes(&self) -> usize {
        self.total_bytes.saturating_sub(self.held_bytes.load(Ordering::Relaxed))
    }

    /// A connection held `before` and holds `now`.
    pub(crate) fn change(&self, before: usize, now: usize) {
        if now >= before {
            self.held_bytes.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.held_bytes.fetch_sub(before - now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_missing_for_all() {
        let budget = ReceiveBudget::new(100);
        budget.change(0, 60);
        budget.change(0, 70);
        assert_eq!(budget.limit_bytes(), 0);
        budget.change(70, 10);
        assert_eq!(budget.limit_bytes(), 30);
    }
}
