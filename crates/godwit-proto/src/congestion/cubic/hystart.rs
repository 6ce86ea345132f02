//! HyStart++ (RFC 9406): a slow start that ends when the round-trip time rises, before packets are lost, and that looks twice.

use std::time::Duration;

/// A rise by this part of the least RTT counts, within the bounds (section 4.3).
const RTT_DIVISOR: u32 = 8;
const RTT_RISE_MIN: Duration = Duration::from_millis(4);
const RTT_RISE_MAX: Duration = Duration::from_millis(16);
/// Samples that a round needs (section 4.2)...
const SAMPLES: u32 = 8;
/// ... or fewer where it can't have them: a UDT receiver acknowledges each 10 ms.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);
/// Conservative slow start grows by this much less, for so many rounds (section 4.3).
const CONSERVATIVE_DIVISOR: f64 = 4.0;
const CONSERVATIVE_ROUNDS: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// As fast as slow start can.
    Fast,
    /// The RTT has risen: slower, until the rise is confirmed by time or refuted by an RTT below `baseline`.
    Conservative { baseline: Duration, rounds: u32 },
    /// It does not interfere any more.
    Stopped,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct HyStart {
    phase: Phase,
    last_round_min: Option<Duration>,
    round_min: Option<Duration>,
    samples: u32,
}

impl Default for HyStart {
    fn default() -> Self {
        Self { phase: Phase::Fast, last_round_min: None, round_min: None, samples: 0 }
    }
}

impl HyStart {
    /// What the growth of slow start is divided by.
    pub(super) fn divisor(&self) -> f64 {
        if matches!(self.phase, Phase::Conservative { .. }) { CONSERVATIVE_DIVISOR } else { 1.0 }
    }

    pub(super) fn on_rtt(&mut self, rtt: Duration, srtt: Duration) {
        let round_min = self.round_min.map_or(rtt, |least| least.min(rtt));
        self.round_min = Some(round_min);
        self.samples += 1;
        let possible = srtt.as_micros() / SAMPLE_INTERVAL.as_micros();
        if u128::from(self.samples) < possible.clamp(1, SAMPLES.into()) {
            return;
        }
        match self.phase {
            Phase::Fast => {
                let Some(last) = self.last_round_min else { return };
                let rise = (last / RTT_DIVISOR).clamp(RTT_RISE_MIN, RTT_RISE_MAX);
                if round_min >= last + rise {
                    self.phase = Phase::Conservative { baseline: round_min, rounds: 0 };
                }
            }
            Phase::Conservative { baseline, .. } if round_min < baseline => self.phase = Phase::Fast,
            Phase::Conservative { .. } | Phase::Stopped => {}
        }
    }

    /// A round is over; true if slow start is.
    pub(super) fn on_round(&mut self) -> bool {
        self.last_round_min = self.round_min.take();
        self.samples = 0;
        let Phase::Conservative { rounds, .. } = &mut self.phase else { return false };
        *rounds += 1;
        let is_over = *rounds >= CONSERVATIVE_ROUNDS;
        if is_over {
            self.phase = Phase::Stopped;
        }
        is_over
    }

    /// From now on slow start ends at its threshold.
    pub(super) fn stop(&mut self) {
        self.phase = Phase::Stopped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of ten samples, rising from `least_ms`, at an RTT of 100 ms; the divisor in it, and whether it was the last.
    fn round(hystart: &mut HyStart, least_ms: u64) -> (f64, bool) {
        for extra in 0..10 {
            hystart.on_rtt(Duration::from_millis(least_ms + extra), Duration::from_millis(100));
        }
        (hystart.divisor(), hystart.on_round())
    }

    #[test]
    fn a_lasting_rise_ends_slow_start_after_five_slower_rounds() {
        let mut hystart = HyStart::default();
        assert_eq!([round(&mut hystart, 100), round(&mut hystart, 111)], [(1.0, false); 2], "an eighth is 12.5 ms");
        let rounds = [125, 126, 127, 128, 129].map(|rtt| round(&mut hystart, rtt));
        assert_eq!(rounds.map(|(divisor, _)| divisor), [4.0; 5]);
        assert_eq!(rounds.map(|(_, is_over)| is_over), [false, false, false, false, true]);
        assert_eq!(round(&mut hystart, 200), (1.0, false), "and nothing after that");
    }

    #[test]
    fn a_rise_that_goes_away_was_noise() {
        let mut hystart = HyStart::default();
        let divisors = [100, 120, 130, 119, 119].map(|rtt| round(&mut hystart, rtt).0);
        assert_eq!(divisors, [1.0, 4.0, 4.0, 1.0, 1.0]);
    }

    #[test]
    fn the_rise_has_bounds() {
        let rise = |from, to| {
            let mut hystart = HyStart::default();
            round(&mut hystart, from);
            round(&mut hystart, to).0 > 1.0
        };
        assert_eq!([rise(8, 11), rise(8, 12), rise(400, 415), rise(400, 416)], [false, true, false, true]);
    }

    #[test]
    fn few_samples_say_nothing() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 100);
        for _ in 0..7 {
            hystart.on_rtt(Duration::from_millis(200), Duration::from_millis(100));
        }
        assert_eq!(hystart.divisor(), 1.0);
        hystart.on_rtt(Duration::from_millis(200), Duration::from_millis(100));
        assert_eq!(hystart.divisor(), 4.0);
    }
}
