//! When the next packet may leave: one packet per sending interval, in bursts no longer than a late wake-up.

use std::time::{Duration, Instant};

use crate::datagram::SEGMENTS_MAX;

/// A late wake-up is made good at once for this long, or a quarter of the round-trip time: short paths have small buffers. Lesson 15 of the controller's design: with credit for 2 ms a 10 Gbit/s flow
/// keeps 99 % of its rate under the wake-up noise of a normal host. Deviation 25.
const CREDIT: Duration = Duration::from_millis(2);
const CREDIT_MIN: Duration = Duration::from_micros(500);
/// What is missing beyond that becomes a debt of at most this much time...
const DEBT_MAX: Duration = Duration::from_millis(20);
/// ... which is paid by sending a quarter faster: each packet takes this part less of its time. A process that loses its
/// processor for 5 ms now and then would lose 5 % of its rate for ever, and teach the controller that the path carries no more.
const DEBT_PART: u32 = 5;

/// The least time between two bursts where a run of 44 packets takes less, above some 2.5 Gbit/s: a wake-up costs as much as
/// such a run, and a timer is 30 to 80 µs late anyway. What is due by then leaves together, at 10 Gbit/s a quarter of a
/// megabyte. Deviation 25.
const NAP: Duration = Duration::from_micros(200);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    /// Start of the slot of the next packet.
    next: Instant,
    /// Nothing leaves before this, whatever the rate.
    held_until: Instant,
    /// Before this it is not worth waking up.
    nap_end: Instant,
    /// Whether there was nothing to send at the last attempt: lateness since then is no debt.
    is_dry: bool,
    /// Time in which packets were due that could not leave.
    debt: Duration,
    credit: Duration,
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, held_until: now, nap_end: now, is_dry: true, debt: Duration::ZERO, credit: CREDIT }
    }

    /// The round-trip time is this now.
    pub(super) fn set_rtt(&mut self, rtt: Duration) {
        self.credit = (rtt / 4).clamp(CREDIT_MIN, CREDIT);
    }

    /// Nothing leaves before this.
    pub(super) fn hold_until(&mut self, at: Instant) {
        self.held_until = at;
        self.next = self.next.max(at);
    }

    /// Packets that may leave at `now`.
    pub(super) fn allowance(&mut self, now: Instant, interval: Duration) -> usize {
        if self.is_dry {
            self.next = self.next.max(now);
            self.debt = Duration::ZERO;
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
        let start = self.start(now);
        self.debt = (self.debt + start.saturating_duration_since(self.next)).min(DEBT_MAX);
        let time = interval * packets as u32;
        let paid = self.debt.min(time / DEBT_PART);
        self.debt -= paid;
        self.next = start + time - paid;
        if interval * (SEGMENTS_MAX as u32) < NAP {
            self.nap_end = now + NAP;
        }
    }

    /// Another rate was asked for: the wait for the next packet is no longer than it has it.
    pub(super) fn rate_changed(&mut self, now: Instant, interval: Duration) {
        self.next = self.next.min((now + interval).max(self.held_until));
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
        now.checked_sub(self.credit).map_or(self.next, |oldest| self.next.max(oldest))
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
    fn what_a_burst_can_not_make_good_is_paid_by_sending_faster_for_a_while() {
        let start = crate::tests::epoch();
        let mut pacer = Pacer::new(start);
        pacer.set_dry(false);
        // 5 ms late: 2 ms leave at once.
        let late = start + Duration::from_millis(5);
        let mut sent = pacer.allowance(late, INTERVAL);
        pacer.charge(late, sent, INTERVAL);
        for tick in 1..=400 {
            let now = late + Duration::from_micros(50 * tick);
            let packets = pacer.allowance(now, INTERVAL);
            assert!(packets <= 6, "no burst");
            pacer.charge(now, packets, INTERVAL);
            sent += packets;
        }
        assert_eq!(sent, 251, "25 ms at one packet each 100 us, and the first");
    }

    #[test]
    fn a_higher_rate_ends_a_long_wait_but_not_a_hold() {
        let start = crate::tests::epoch();
        let mut pacer = Pacer::new(start);
        pacer.charge(start, 1, Duration::from_secs(12));
        pacer.rate_changed(start, INTERVAL);
        assert_eq!(pacer.due(), start + INTERVAL);
        pacer.rate_changed(start, Duration::from_secs(1));
        assert_eq!(pacer.due(), start + INTERVAL, "what is due is due");
        pacer.hold_until(start + Duration::from_secs(1));
        pacer.rate_changed(start, INTERVAL);
        assert_eq!(pacer.due(), start + Duration::from_secs(1));
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
