//! One ceiling over everything that a driver sends, or several drivers that share it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Unused sending time that may be made up for: a late wake-up (some hundred µs, milliseconds under load) must not cost
/// rate, and the burst that it allows is short.
const BURST: Duration = Duration::from_millis(2);
/// A run of datagrams may take this long at the ceiling, so that acknowledgements of other connections do not wait long.
const RUN: Duration = Duration::from_millis(1);
/// Headers of IPv4 and UDP, which the ceiling includes.
const HEADERS_BYTES: u64 = 28;
/// What a full datagram takes on the wire, to size a run.
const FULL_DATAGRAM_BYTES: u64 = 1500;

/// A token bucket, kept as the time at which the next datagram may leave.
#[derive(Debug)]
pub(crate) struct RateLimit {
    /// Whether there is a ceiling: spares the lock where there is none.
    limited: AtomicBool,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    bits_per_s: Option<u64>,
    ready_at: Instant,
}

impl RateLimit {
    pub(crate) fn new(now: Instant) -> Self {
        Self { limited: AtomicBool::new(false), bucket: Mutex::new(Bucket { bits_per_s: None, ready_at: now }) }
    }

    /// Sets the ceiling in bits per second (IP and UDP headers included) or lifts it. Zero counts as 1.
    pub(crate) fn set(&self, bits_per_s: Option<u64>) {
        self.lock().bits_per_s = bits_per_s.map(|rate| rate.max(1));
        self.limited.store(bits_per_s.is_some(), Ordering::Release);
    }

    /// When sending may go on, if not now.
    pub(crate) fn blocked_until(&self, now: Instant) -> Option<Instant> {
        if !self.limited.load(Ordering::Acquire) {
            return None;
        }
        Some(self.lock().ready_at).filter(|ready_at| *ready_at > now)
    }

    /// How many datagrams may leave in one run: at least one, at most `most`.
    pub(crate) fn segments(&self, most: usize) -> usize {
        if !self.limited.load(Ordering::Acquire) {
            return most;
        }
        let Some(bits_per_s) = self.lock().bits_per_s else { return most };
        let bytes = u128::from(bits_per_s) * RUN.as_nanos() / 8_000_000_000;
        usize::try_from(bytes / u128::from(FULL_DATAGRAM_BYTES)).unwrap_or(most).clamp(1, most)
    }

    /// Notes that this many datagrams with this much payload have left.
    pub(crate) fn charge(&self, now: Instant, datagrams: usize, payload_bytes: usize) {
        if !self.limited.load(Ordering::Acquire) {
            return;
        }
        let mut bucket = self.lock();
        let Some(bits_per_s) = bucket.bits_per_s else { return };
        let bits = 8 * (payload_bytes as u64 + HEADERS_BYTES * datagrams as u64);
        let nanos = u128::from(bits) * 1_000_000_000 / u128::from(bits_per_s);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        bucket.ready_at =
            bucket.ready_at.max(earliest) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_sending_takes_the_rate_and_no_more_than_one_burst() {
        let start = Instant::now();
        let limit = RateLimit::new(start);
        limit.set(Some(8_000_000));
        let (mut now, mut sent) = (start, 0);
        while now < start + Duration::from_secs(1) {
            match limit.blocked_until(now) {
                Some(until) => now = until,
                None => {
                    limit.charge(now, 1, 972);
                    sent += 1000;
                }
            }
        }
        assert!((1_000_000..=1_004_000).contains(&sent), "{sent} bytes");
    }

    #[test]
    fn without_a_ceiling_nothing_waits_and_runs_are_full() {
        let start = Instant::now();
        let limit = RateLimit::new(start);
        limit.charge(start, 44, 60_000);
        assert_eq!((limit.blocked_until(start), limit.segments(44)), (None, 44));
        limit.set(Some(120_000_000));
        assert_eq!(limit.segments(44), 10);
        limit.set(Some(0));
        assert_eq!(limit.segments(44), 1);
        limit.set(None);
        assert_eq!(limit.segments(44), 44);
    }
}
