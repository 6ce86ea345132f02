//! What the receive buffers of all connections may hold together.

use crate::connection::State;

/// Shares one budget: each connection may hold as much as is still free. One busy connection among idle ones can take half
/// of the budget, `n` busy ones share n/(n+1) of it, and none has to be told what the others do.
#[derive(Debug)]
pub(crate) struct ReceiveBudget {
    total_bytes: usize,
    held_bytes: usize,
}

impl ReceiveBudget {
    pub(crate) const fn new(total_bytes: usize) -> Self {
        Self { total_bytes, held_bytes: 0 }
    }

    /// What one connection may hold now. (The protocol leaves each a minimum.)
    pub(crate) const fn limit_bytes(&self) -> usize {
        self.total_bytes.saturating_sub(self.held_bytes)
    }

    /// Takes note of what this connection holds now.
    pub(crate) fn note(&mut self, state: &mut State) {
        let held_bytes = state.protocol.pinned_bytes();
        self.held_bytes = self.held_bytes - state.budgeted_bytes + held_bytes;
        state.budgeted_bytes = held_bytes;
    }

    /// This connection has ended; what it holds is its reader's alone.
    pub(crate) fn forget(&mut self, state: &mut State) {
        self.held_bytes -= std::mem::take(&mut state.budgeted_bytes);
    }
}
