//! Round-trip time, smoothed as UDT does: 1/8 of each new sample, 1/4 of its deviation.

use std::time::Duration;

/// The estimate before anything was measured.
///
/// Source: specification section 3.3.
pub(crate) const INITIAL_RTT: Duration = Duration::from_millis(100);
/// The variance before anything was measured.
pub(crate) const INITIAL_RTT_VAR: Duration = Duration::from_millis(50);
/// A shorter sample counts as this much: libudt ignores samples of 0 µs altogether (pitfall 22). Deviation 39.
pub(crate) const MIN_SAMPLE: Duration = Duration::from_micros(1);
/// A longer sample counts as this much. The peer names any number up to 71 minutes in its ACKs, and timeouts grow with
/// it.
pub(crate) const MAX_SAMPLE: Duration = Duration::from_secs(10);

/// The smoothed round-trip time and its variance.
///
/// The receiver of data measures (its ACK to the peer's ACK2), the sender of data learns the result from the peer's
/// ACKs and smooths it once more. A connection that does both feeds both in, as in libudt.
///
/// Source: specification sections 3.3 (point 5), 4.3 and 11.1.
#[derive(Clone, Debug)]
pub(crate) struct RttEstimator {
    srtt_ns: u64,
    var_ns: u64,
    first_sample_replaces: bool,
    knowledge: Knowledge,
}

/// Where the estimate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Knowledge {
    Initial,
    Reported,
    Measured,
}

impl RttEstimator {
    /// An estimator at 100 ms ± 50 ms. With `first_sample_replaces` the first sample takes the place of these values,
    /// otherwise they fade as in libudt, whose timers stay near 300 ms for about 20 rounds even on a LAN (pitfall 30).
    /// Deviation 39; nothing is kept from former connections, deviation 30.
    pub(crate) fn new(first_sample_replaces: bool) -> Self {
        let srtt_ns = nanos(INITIAL_RTT);
        Self { srtt_ns, var_ns: nanos(INITIAL_RTT_VAR), first_sample_replaces, knowledge: Knowledge::Initial }
    }

    /// Takes in an own measurement, from the sending of an ACK to the arrival of its ACK2.
    pub(crate) fn on_sample(&mut self, rtt: Duration) {
        let sample_ns = clamped(rtt);
        if self.first_sample_replaces && self.knowledge != Knowledge::Measured {
            self.replace(sample_ns, sample_ns / 2);
        } else {
            self.smooth(sample_ns);
        }
        self.knowledge = Knowledge::Measured;
    }

    /// Takes in what the peer wrote into words 1 and 2 of a full ACK.
    ///
    /// A report of exactly 100 ms ± 50 ms says that the peer has measured nothing yet; with `first_sample_replaces` it
    /// is ignored.
    pub(crate) fn on_peer_report(&mut self, rtt: Duration, var: Duration) {
        if self.first_sample_replaces {
            if rtt == INITIAL_RTT && var == INITIAL_RTT_VAR {
                return;
            }
            if self.knowledge == Knowledge::Initial {
                self.replace(clamped(rtt), nanos(var.min(MAX_SAMPLE)));
                self.knowledge = Knowledge::Reported;
                return;
            }
        }
        self.smooth(clamped(rtt));
        self.knowledge = self.knowledge.max(Knowledge::Reported);
    }

    /// The smoothed round-trip time, 1 µs ..= 10 s.
    pub(crate) fn srtt(&self) -> Duration {
        Duration::from_nanos(self.srtt_ns)
    }

    /// The smoothed deviation from it.
    pub(crate) fn var(&self) -> Duration {
        Duration::from_nanos(self.var_ns)
    }

    /// RTT + 4 · RTTVar: what EXP, repeated ACKs and repeated NAKs wait for, before their own terms.
    pub(crate) fn exp_base(&self) -> Duration {
        Duration::from_nanos(self.srtt_ns + 4 * self.var_ns)
    }

    /// Whether the estimate rests on a measurement of either end.
    pub(crate) fn is_known(&self) -> bool {
        self.knowledge != Knowledge::Initial
    }

    fn replace(&mut self, srtt_ns: u64, var_ns: u64) {
        (self.srtt_ns, self.var_ns) = (srtt_ns, var_ns);
    }

    fn smooth(&mut self, sample_ns: u64) {
        self.var_ns = (3 * self.var_ns + sample_ns.abs_diff(self.srtt_ns)) / 4;
        self.srtt_ns = ((7 * self.srtt_ns + sample_ns) / 8).max(nanos(MIN_SAMPLE));
    }
}

fn clamped(sample: Duration) -> u64 {
    nanos(sample.clamp(MIN_SAMPLE, MAX_SAMPLE))
}

/// Nanoseconds of a duration of at most [`MAX_SAMPLE`]: fits easily.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn starts_and_smooths_as_libudt() {
        let mut rtt = RttEstimator::new(false);
        assert_eq!((rtt.srtt(), rtt.var(), rtt.exp_base()), (ms(100), ms(50), ms(300)));
        rtt.on_sample(ms(20));
        assert_eq!((rtt.srtt(), rtt.var()), (ms(90), Duration::from_micros(57_500)));
        rtt.on_peer_report(ms(20), ms(1));
        assert_eq!(rtt.srtt(), Duration::from_micros(81_250));
    }

    /// Pitfall 30: without this EXP stays at 310 ms for some 20 rounds.
    #[test]
    fn the_first_sample_replaces_the_initial_guess() {
        let mut rtt = RttEstimator::new(true);
        rtt.on_sample(ms(2));
        assert_eq!((rtt.srtt(), rtt.var(), rtt.exp_base()), (ms(2), ms(1), ms(6)));
    }

    #[test]
    fn an_unmeasured_report_says_nothing_and_an_own_sample_beats_a_report() {
        let mut rtt = RttEstimator::new(true);
        rtt.on_peer_report(ms(100), ms(50));
        assert!(!rtt.is_known());
        rtt.on_peer_report(ms(88), ms(56));
        assert_eq!((rtt.srtt(), rtt.var()), (ms(88), ms(56)));
        rtt.on_sample(ms(4));
        assert_eq!((rtt.srtt(), rtt.var()), (ms(4), ms(2)));
    }

    /// Pitfall 22: a loopback sample of 0 µs counts, as 1 µs.
    #[test]
    fn extremes_are_clamped() {
        let mut rtt = RttEstimator::new(true);
        rtt.on_sample(Duration::ZERO);
        assert_eq!(rtt.srtt(), MIN_SAMPLE);
        for _ in 0..1000 {
            rtt.on_peer_report(Duration::from_micros(u64::from(u32::MAX)), Duration::MAX);
        }
        assert!(rtt.srtt() <= MAX_SAMPLE && rtt.exp_base() <= 5 * MAX_SAMPLE);
    }
}
