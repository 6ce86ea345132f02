//! When the next packet may leave: one packet per sending interval, in bursts no longer than a late wake-up.

use std::time::{Duration, Instant};

use crate::datagram::SEGMENTS_MAX;

/// A late wake-up may be made good for this long; after that its share of the rate is lost. Lesson 15 of the controller's
/// design: with credit for 2 ms a 10 Gbit/s flow keeps 99 % of its rate under the wake-up noise of a normal host. Deviation 25.
const CREDIT: Duration = Duration::from_millis(2);

/// The least time between two bursts where a run of 44 packets takes less, above some 2.5 Gbit/s: a wake-up costs as much as
/// such a run, and a timer is 30 to 80 µs late anyway. What is due by then leaves together, at 10 Gbit/s a quarter of a
/// megabyte. Deviation 25.
const NAP: Duration = Duration::from_micros(200);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    /// Start of the slot of the next packet.
    next: Instant,
    /// Before this it is not worth waking up.
    nap_end: Instant,
    /// Whether there was nothing to send at the last attempt: lateness since then is no debt.
    is_dry: bool,
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, nap_end: now, is_dry: true }
    }

    /// Nothing leaves before this.
    pub(super) fn hold_until(&mut self, at: Instant) {
        self.next = self.next.max(at);
    }

    /// Packets that may leave at `now`.
    pub(super) fn allowance(&mut self, now: Instant, interval: Duration) -> usize {
        if self.is_dry {
            self.next = self.next.max(now);
        }
        match now.checked_duration_since(self.start(now)) {
            Some(late) => {
                let packets = 1 + late.as_nanos() / interval.as_nanos().max(1);
                packets.min(SEGMENTS_MAX as u128) as usize
            }
            None => 0,
        }
    }

    /// Packets have left.
    pub(super) fn charge(&mut self, now: Instant, packets: usize, interval: Duration) {
        self.next = self.start(now) + interval * packets as u32;
        if interval * (SEGMENTS_MAX as u32) < NAP {
            self.nap_end = now + NAP;
        }
    }

    /// Tells whether there is nothing to send.
    pub(super) fn set_dry(&mut self, is_dry: bool) {
        self.is_dry = is_dry;
    }

    /// When to look again whether packets may leave.
    pub(super) fn due(&self) -> Instant {
        self.next.max(self.nap_end)
    }

    fn start(&self, now: Instant) -> Instant {
        now.checked_sub(CREDIT).map_or(self.next, |oldest| self.next.max(oldest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_micros(100);

    #[test]
    fn a_late_wake_up_is_made_good_but_not_an_idle_time() {
        let start = crate::tests::epoch();
        let mut pacer = Pacer::new(start);
        assert_eq!(pacer.allowance(start, INTERVAL), 1);
        pacer.charge(start, 1, INTERVAL);
        pacer.set_dry(false);
        assert_eq!(pacer.allowance(start + Duration::from_micros(50), INTERVAL), 0);
        let late = start + Duration::from_micros(1050);
        assert_eq!(pacer.allowance(late, INTERVAL), 10);
        pacer.charge(late, 10, INTERVAL);
        assert_eq!(pacer.due(), start + Duration::from_micros(1100));
        pacer.set_dry(true);
        assert_eq!(pacer.allowance(start + Duration::from_secs(1), INTERVAL), 1);
    }

    #[test]
    fn a_fast_flow_naps_between_bursts() {
        let start = crate::tests::epoch();
        let fast = Duration::from_micros(1);
        let mut pacer = Pacer::new(start);
        pacer.set_dry(false);
        pacer.charge(start, 44, fast);
        assert_eq!((pacer.due(), pacer.allowance(start + NAP, fast)), (start + NAP, 44));
    }

    #[test]
    fn credit_ends_after_two_milliseconds() {
        let start = crate::tests::epoch();
        let mut pacer = Pacer::new(start);
        pacer.set_dry(false);
        assert_eq!(pacer.allowance(start + Duration::from_secs(1), INTERVAL), 21);
    }
}
