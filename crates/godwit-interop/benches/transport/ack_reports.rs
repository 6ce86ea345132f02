//! What a receiver reports about its path, read from its ACKs as they pass the relay.

use std::sync::{Arc, Mutex, PoisonError};

use godwit_interop::raw::{Packet, words};
use godwit_relay::{Direction, Filter, Verdict};

/// Header words, then the words of an ACK: its sixth is the link capacity.
const CAPACITY_WORD: usize = 4 + 5;

/// Collects word 5 of the ACKs that have one.
#[derive(Clone, Debug, Default)]
pub(crate) struct AckReports {
    capacities: Arc<Mutex<Vec<u32>>>,
}

impl AckReports {
    /// A filter that lets everything pass and reads the ACKs that travel backward.
    pub(crate) fn filter(&self) -> Filter {
        let capacities = Arc::clone(&self.capacities);
        Box::new(move |datagram, direction| {
            if direction == Direction::Backward
                && matches!(Packet::of(&datagram[..datagram.len().min(16)]), Packet::Ack(_))
                && let Some(&capacity) = words(datagram).get(CAPACITY_WORD)
            {
                capacities.lock().unwrap_or_else(PoisonError::into_inner).push(capacity);
            }
            Verdict::Pass
        })
    }

    /// The median of the second half, in packets per second: the first is the start. `None` if none was seen.
    pub(crate) fn capacity_packets_per_s(&self) -> Option<u32> {
        let capacities = self.capacities.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settled = capacities[capacities.len() / 2..].to_vec();
        settled.sort_unstable();
        settled.get(settled.len() / 2).copied()
    }
}
