//! What the buffers of all connections of a port may hold together.

use std::sync::atomic::{AtomicUsize, Ordering};

use godwit_proto::{Connection, EndpointConfig, SendMemory};

/// Of what send buffers may hold, this part may wait there to be sent: what is in flight has to be kept, the rest only spares a
/// wake-up of its writer. 128 MiB by default, with a thousand busy connections two slabs of 64 KiB each.
const UNSENT_PART: usize = 8;

/// The budgets of one port. The protocol leaves each connection a minimum of each.
#[derive(Debug)]
pub(crate) struct MemoryBudgets {
    received: Budget,
    sending: Budget,
    unsent: Budget,
}

/// What the budgets count for one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    received_bytes: usize,
    sending: SendMemory,
}

impl MemoryBudgets {
    pub(crate) const fn new(config: &EndpointConfig) -> Self {
        Self {
            received: Budget::new(config.receive_budget_bytes),
            sending: Budget::new(config.send_budget_bytes),
            unsent: Budget::new(config.send_budget_bytes / UNSENT_PART),
        }
    }

    /// Tells a connection what it may hold now.
    pub(crate) fn limit(&self, connection: &mut Connection) {
        connection.set_receive_limit(self.received.free_bytes());
        self.limit_sending(connection);
    }

    /// Tells a connection how much it may have in its send buffer now.
    pub(crate) fn limit_sending(&self, connection: &mut Connection) {
        let (held_bytes, unsent_bytes) = (self.sending.free_bytes(), self.unsent.free_bytes());
        connection.set_send_share(SendMemory { held_bytes, unsent_bytes });
    }

    /// Counts what a connection holds now.
    pub(crate) fn count(&self, connection: &Connection, counted: &mut Counted) {
        let now = Counted { received_bytes: connection.pinned_bytes(), sending: connection.send_memory() };
        self.change(counted, now);
    }

    /// The connection is gone.
    pub(crate) fn give_back(&self, counted: &mut Counted) {
        self.change(counted, Counted::default());
    }

    fn change(&self, counted: &mut Counted, now: Counted) {
        let before = std::mem::replace(counted, now);
        self.received.change(before.received_bytes, now.received_bytes);
        self.sending.change(before.sending.held_bytes, now.sending.held_bytes);
        self.unsent.change(before.sending.unsent_bytes, now.sending.unsent_bytes);
    }
}

/// Shares one budget: each connection may hold as much as is still free. One busy connection among idle ones can take half
/// of the budget, `n` busy ones share n/(n+1) of it, and none has to be told what the others do. What is unread counts
/// until it is read or its stream is dropped, whether or not the connection has ended.
///
/// The counter publishes nothing else, hence the relaxed order; a value that is a moment old only shifts the shares.
#[derive(Debug)]
struct Budget {
    total_bytes: usize,
    held_bytes: AtomicUsize,
}

impl Budget {
    const fn new(total_bytes: usize) -> Self {
        Self { total_bytes, held_bytes: AtomicUsize::new(0) }
    }

    fn free_bytes(&self) -> usize {
        self.total_bytes.saturating_sub(self.held_bytes.load(Ordering::Relaxed))
    }

    /// A connection held `before` and holds `now`.
    fn change(&self, before: usize, now: usize) {
        // Drivers on several cores share the counter, and most packets change nothing.
        if now > before {
            self.held_bytes.fetch_add(now - before, Ordering::Relaxed);
        } else if now < before {
            self.held_bytes.fetch_sub(before - now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_missing_for_all() {
        let budget = Budget::new(100);
        budget.change(0, 60);
        budget.change(0, 70);
        assert_eq!(budget.free_bytes(), 0);
        budget.change(70, 10);
        assert_eq!(budget.free_bytes(), 30);
    }
}
