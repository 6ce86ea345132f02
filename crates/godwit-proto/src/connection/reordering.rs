//! How long a packet that seems lost is waited for, because the path is known to change the order.
//!
//! Nothing at first: a gap is taken for a loss at once, as libudt does. A packet that comes late after all teaches how long it would
//! have been worth waiting. Deviation 55.

use std::time::{Duration, Instant};

/// No longer than this, nor than a quarter of the RTT: what is really lost waits as well.
const WINDOW_MAX: Duration = Duration::from_millis(20);
/// The window halves after so many RTT in which less would have been enough.
const PERIOD_RTTS: u32 = 16;
/// A shorter window is none.
const WINDOW_MIN: Duration = Duration::from_micros(100);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReorderWindow {
    window: Duration,
    /// The latest of this period, and its end.
    latest: Duration,
    period_end: Instant,
}

impl ReorderWindow {
    /// No window.
    pub(super) fn new(now: Instant) -> Self {
        Self { window: Duration::ZERO, latest: Duration::ZERO, period_end: now }
    }

    /// A packet came so much later than the one that showed it missing. Later than half an RTT, it is no matter of order.
    pub(super) fn on_late(&mut self, late: Duration, rtt: Duration) {
        if late <= rtt / 2 {
            self.latest = self.latest.max(late);
            self.window = self.window.max(wanted(self.latest, rtt));
        }
    }

    /// Time has passed: how long to wait now.
    pub(super) fn at(&mut self, now: Instant, rtt: Duration) -> Duration {
        if now >= self.period_end {
            let fallen = (self.window / 2).max(wanted(self.latest, rtt));
            self.window = if fallen < WINDOW_MIN { Duration::ZERO } else { fallen.min(self.window) };
            self.latest = Duration::ZERO;
            self.period_end = now + rtt * PERIOD_RTTS;
        }
        self.window
    }
}

fn wanted(late: Duration, rtt: Duration) -> Duration {
    (late + late / 4).min(rtt / 4).min(WINDOW_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(40);

    #[test]
    fn the_window_is_what_was_late_and_a_quarter_and_fades() {
        let start = crate::tests::epoch();
        let mut window = ReorderWindow::new(start);
        assert_eq!(window.at(start, RTT), Duration::ZERO);
        window.on_late(Duration::from_millis(4), RTT);
        assert_eq!(window.at(start, RTT), Duration::from_millis(5));
        assert_eq!(window.at(start + RTT * 17, RTT), Duration::from_millis(5), "it was used in this period");
        assert_eq!(window.at(start + RTT * 34, RTT), Duration::from_micros(2500));
        let faded: Vec<_> = (3..12).map(|period| window.at(start + RTT * 17 * period, RTT)).collect();
        assert!(faded.is_sorted_by(|one, next| one >= next), "{faded:?}");
        assert_eq!(window.at(start + RTT * 300, RTT), Duration::ZERO);
    }

    #[test]
    fn it_stays_below_a_quarter_of_the_round_trip_and_20_ms() {
        let start = crate::tests::epoch();
        let mut window = ReorderWindow::new(start);
        window.on_late(Duration::from_millis(19), RTT);
        assert_eq!(window.at(start, RTT), RTT / 4);
        window.on_late(Duration::from_millis(21), RTT);
        assert_eq!(window.at(start, RTT), RTT / 4, "a retransmission of a peer whose clock stands");
        window.on_late(Duration::from_millis(80), RTT * 10);
        assert_eq!(window.at(start, RTT * 10), WINDOW_MAX);
    }
}
