//! The virtual clock's origin: the one place that asks the real one, because an `Instant` can't be made from a number.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Room before the origin, so that nobody who looks back from it leaves the range of `Instant`.
const ROOM_BEFORE: Duration = Duration::from_secs(86_400);

/// When every simulation begins. Only distances from it mean anything.
pub fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(|| Instant::now() + ROOM_BEFORE)
}

/// Seconds since the origin.
pub fn seconds(at: Instant) -> f64 {
    at.saturating_duration_since(origin()).as_secs_f64()
}
