//! libudt's estimates of the arrival speed and the link capacity (specification section 4.4).

use std::time::Instant;

use godwit_proto::packet::AckRates;
use godwit_proto::seq::Seq;

const ARRIVALS: usize = 16;
const PROBES: usize = 64;
/// What an interval is taken for before it is measured, microseconds.
const ARRIVAL_US: u64 = 1_000_000;
const PROBE_US: u64 = 1000;
/// Intervals this many times away from the median do not count.
const OUTLIER: u64 = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Estimators {
    arrivals_us: [u64; ARRIVALS],
    next_arrival: usize,
    probes_us: [u64; PROBES],
    next_probe: usize,
    last_arrival: Option<Instant>,
    probe_began: Option<Instant>,
}

impl Estimators {
    pub(super) fn new() -> Self {
        Self {
            arrivals_us: [ARRIVAL_US; ARRIVALS],
            next_arrival: 0,
            probes_us: [PROBE_US; PROBES],
            next_probe: 0,
            last_arrival: None,
            probe_began: None,
        }
    }

    pub(super) fn on_arrival(&mut self, now: Instant, seq: Seq) {
        let micros_since = |at: Option<Instant>| at.map(|at| (now - at).as_micros() as u64);
        if let Some(interval) = micros_since(self.last_arrival.replace(now)) {
            self.arrivals_us[self.next_arrival] = interval;
            self.next_arrival = (self.next_arrival + 1) % ARRIVALS;
        }
        match seq.value() % 16 {
            0 => self.probe_began = Some(now),
            1 => {
                if let Some(interval) = micros_since(self.probe_began) {
                    self.probes_us[self.next_probe] = interval;
                    self.next_probe = (self.next_probe + 1) % PROBES;
                }
            }
            _ => {}
        }
    }

    pub(super) fn rates(&self) -> AckRates {
        AckRates {
            arrival_speed_packets_per_s: self.arrival_speed(),
            link_capacity_packets_per_s: self.link_capacity(),
        }
    }

    fn arrival_speed(&self) -> u32 {
        // The copy that is sorted leaves out the last entry.
        let mut sorted = self.arrivals_us;
        sorted[..ARRIVALS - 1].sort_unstable();
        let median = sorted[ARRIVALS / 2];
        let (sum, count) = near(&self.arrivals_us, median);
        if count <= 8 || sum / count == 0 { 0 } else { 1_000_000_u64.div_ceil(sum / count) as u32 }
    }

    fn link_capacity(&self) -> u32 {
        let mut sorted = self.probes_us;
        sorted[..PROBES - 1].sort_unstable();
        let median = sorted[PROBES / 2];
        let (sum, count) = near(&self.probes_us, median);
        let mean = (sum + median) as f64 / (count + 1) as f64;
        if mean == 0.0 { 0 } else { (1e6 / mean).ceil() as u32 }
    }
}

/// Sum and number of the intervals that are not far from the median.
fn near(intervals_us: &[u64], median: u64) -> (u64, u64) {
    let is_near = |&&interval: &&u64| interval > median / OUTLIER && interval < median * OUTLIER;
    intervals_us.iter().filter(is_near).fold((0, 0), |(sum, count), interval| (sum + interval, count + 1))
}
