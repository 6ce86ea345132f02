//! What the buffers of all connections of a port may hold together.

use std::sync::atomic::{AtomicUsize, Ordering};

use godwit_proto::{Connection, EndpointConfig, SendMemory};

/// Of what send buffers may hold, this part may wait there to be sent: what is in flight has to be kept, the rest only spares a
/// wake-up of its writer. 128 MiB by default, with a thousand busy connections two slabs of 64 KiB each.
const UNSENT_PART: usize = 8;

/// What a writer may add in its turn, while others wait for theirs: long runs cost less, and with a thousand at 10 Gbit/s it comes again
/// after 0.4 s.
const TURN_BYTES: usize = 512 << 10;

/// With so many writers who wait for their turn a port is crowded. Fewer are called soon enough.
const CROWD_MIN: usize = 16;

/// The budgets of one port. The protocol leaves each connection a minimum of each.
#[derive(Debug)]
pub(crate) struct MemoryBudgets {
    received: Budget,
    sending: Budget,
    unsent: Budget,
    /// Writers who wait for their turn.
    waiting_writers: AtomicUsize,
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
            waiting_writers: AtomicUsize::new(0),
        }
    }

    /// Tells a connection what it may hold now.
    pub(crate) fn limit(&self, connection: &mut Connection) {
        connection.set_receive_limit(self.received.free_bytes());
        self.limit_sending(connection);
    }

    /// Tells a connection how much it may have in its send buffer now.
    pub(crate) fn limit_sending(&self, connection: &mut Connection) {
        connection.set_send_share(self.send_share());
    }

    fn send_share(&self) -> SendMemory {
        let (held_bytes, free_bytes) = (self.sending.free_bytes(), self.unsent.free_bytes());
        if self.waiting_writers.load(Ordering::Relaxed) < CROWD_MIN {
            SendMemory { held_bytes, unsent_bytes: free_bytes, spare_bytes: free_bytes }
        } else {
            // What one keeps, another could use while it is in the cache.
            SendMemory { held_bytes, unsent_bytes: free_bytes.min(TURN_BYTES), spare_bytes: 0 }
        }
    }

    /// A writer waits for its turn.
    pub(crate) fn writer_waits(&self) {
        self.waiting_writers.fetch_add(1, Ordering::Relaxed);
    }

    /// A writer waits no longer.
    pub(crate) fn writer_goes_on(&self) {
        self.waiting_writers.fetch_sub(1, Ordering::Relaxed);
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
        let not_in_flight = |memory: SendMemory| memory.unsent_bytes + memory.spare_bytes;
        self.unsent.change(not_in_flight(before.sending), not_in_flight(now.sending));
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

    #[test]
    fn in_a_crowd_each_writes_for_one_turn_and_keeps_nothing() {
        let budgets = MemoryBudgets::new(&EndpointConfig::default());
        let alone = budgets.send_share();
        assert!(alone.unsent_bytes > TURN_BYTES && alone.spare_bytes > TURN_BYTES, "{alone:?}");
        (0..CROWD_MIN).for_each(|_| budgets.writer_waits());
        let crowded = SendMemory { unsent_bytes: TURN_BYTES, spare_bytes: 0, ..alone };
        assert_eq!(budgets.send_share(), crowded);
        budgets.writer_goes_on();
        assert_eq!(budgets.send_share(), alone);
    }
}
