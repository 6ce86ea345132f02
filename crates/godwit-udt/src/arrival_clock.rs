//! Kernel receive time stamps (wall clock) as [`Instant`]s (monotonic clock).

use std::time::{Duration, Instant, SystemTime};

/// A datagram that seems to have waited longer in the socket than this was stamped before the wall clock was set, or
/// the process was stopped: its stamp says nothing about the network.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Turns the kernel's time stamps into instants that never lie in the future and never go backwards.
#[derive(Debug)]
pub(crate) struct ArrivalClock {
    now: Instant,
    wall_now: Duration,
    latest: Instant,
}

impl ArrivalClock {
    pub(crate) fn new(now: Instant) -> Self {
        Self { now, wall_now: Duration::MAX, latest: now }
    }

    /// Notes how both clocks stand, after each receive call: so a step of the wall clock spoils at most the datagrams
    /// that wait in the socket at that moment.
    pub(crate) fn synchronise(&mut self, now: Instant, wall_now: SystemTime) {
        self.now = now;
        self.wall_now = wall_now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::MAX);
    }

    /// When a datagram with this stamp (since the Unix epoch) arrived, and whether the stamp says so; now, if it has none
    /// or an implausible one.
    pub(crate) fn arrived(&mut self, stamp: Option<Duration>) -> (Instant, bool) {
        let waited = stamp.and_then(|stamp| self.wall_now.checked_sub(stamp)).filter(|waited| *waited <= WAIT_MAX);
        let arrived = self.now.checked_sub(waited.unwrap_or_default()).unwrap_or(self.now);
        self.latest = self.latest.max(arrived);
        (self.latest, waited.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Duration = Duration::from_secs(1_700_000_000);

    fn clock() -> (ArrivalClock, Instant) {
        let now = Instant::now() + Duration::from_secs(10);
        let mut clock = ArrivalClock::new(now - Duration::from_secs(5));
        clock.synchronise(now, SystemTime::UNIX_EPOCH + WALL);
        (clock, now)
    }

    #[test]
    fn a_stamp_becomes_the_same_time_on_the_other_clock() {
        let (mut clock, now) = clock();
        let waited = Duration::from_micros(345);
        assert_eq!(clock.arrived(Some(WALL - waited)), (now - waited, true));
    }

    #[test]
    fn times_never_go_backwards_nor_lie_in_the_future() {
        let (mut clock, now) = clock();
        let first = clock.arrived(Some(WALL - Duration::from_micros(10)));
        assert_eq!(clock.arrived(Some(WALL - Duration::from_micros(20))), first);
        assert_eq!(clock.arrived(Some(WALL + Duration::from_secs(1))), (now, false));
    }

    #[test]
    fn an_implausible_or_missing_stamp_means_now() {
        let (mut clock, now) = clock();
        assert_eq!(clock.arrived(Some(WALL - Duration::from_secs(3600))), (now, false));
        assert_eq!(clock.arrived(None), (now, false));
    }
}
