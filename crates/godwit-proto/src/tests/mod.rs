//! Tests of whole connections under a virtual clock.

mod network;
mod streams;

use std::time::Instant;

/// The start of every virtual clock. Only differences of it are ever used.
pub(crate) fn epoch() -> Instant {
    crate::virtual_time::origin()
}
