//! Tests of whole connections under a virtual clock.

mod acknowledgement;
mod hostile;
mod lifecycle;
mod malformed_input;
mod messages;
mod network;
mod path_memory;
mod pitfalls;
mod pitfalls_later;
mod puppet;
mod rendezvous;
mod reordering;
mod repair;
mod reports_once;
mod round_trips;
mod scenarios;
mod send_share;
mod steering;
mod streams;
mod windows;

use std::time::Instant;

/// The start of every virtual clock. Only differences of it are ever used.
pub(crate) fn epoch() -> Instant {
    crate::virtual_time::origin()
}
