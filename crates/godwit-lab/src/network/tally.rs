//! Counting in the emulator's thread, between two readings.

use std::time::Duration;

use godwit_relay::LinkCounters;

use super::counters::DirectionCounters;

/// The width of a bin.
const BIN: Duration = Duration::from_micros(100);
/// Bins: up to 10 s; the last one holds everything beyond.
const BINS_MAX: usize = 100_000;

/// How many durations of which length there were. Mean and maximum are exact, percentiles as wide as a bin.
#[derive(Debug, Clone, Default)]
pub(crate) struct Distribution {
    bins: Vec<u64>,
    count: u64,
    sum_ns: u128,
    max: Duration,
}

impl Distribution {
    pub(crate) fn record(&mut self, duration: Duration) {
        let bin = ((duration.as_nanos() / BIN.as_nanos()) as usize).min(BINS_MAX - 1);
        if bin >= self.bins.len() {
            self.bins.resize(bin + 1, 0);
        }
        self.bins[bin] += 1;
        self.count += 1;
        self.sum_ns += duration.as_nanos();
        self.max = self.max.max(duration);
    }

    pub(crate) fn mean(&self) -> Duration {
        let mean_ns = self.sum_ns.checked_div(self.count.into()).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean_ns).unwrap_or(u64::MAX))
    }

    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    pub(crate) fn merged(&self, other: &Self) -> Self {
        let bins = (0..self.bins.len().max(other.bins.len()))
            .map(|bin| self.bins.get(bin).unwrap_or(&0) + other.bins.get(bin).unwrap_or(&0))
            .collect();
        let (count, sum_ns) = (self.count + other.count, self.sum_ns + other.sum_ns);
        Self { bins, count, sum_ns, max: self.max.max(other.max) }
    }

    /// The upper end of the bin below which `share` of the durations are, but never beyond the longest.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= wanted
        };
        let bin = self.bins.iter().position(reaches).map_or(0, |bin| bin + 1);
        (BIN * u32::try_from(bin).expect("there are at most BINS_MAX")).min(self.max)
    }
}

/// One direction since the last reading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) entered_bytes: u64,
    pub(crate) left_bytes: u64,
    /// Packets from the kernel that made no sense.
    pub(crate) unread: u64,
    /// Packets that the kernel did not take from the emulator.
    pub(crate) unsent: u64,
    pub(crate) queue_delay: Distribution,
    /// How much earlier than asked packets come out of the link.
    pub(crate) head_start: Duration,
    /// How late packets left.
    pub(crate) lateness: Distribution,
    /// The link's counters at the last reading.
    pub(crate) link_before: LinkCounters,
}

impl Tally {
    /// What was counted, the link having come to `link`; counting starts anew.
    pub(crate) fn take(&mut self, link: LinkCounters) -> Self {
        std::mem::replace(self, Self { link_before: link, head_start: self.head_start, ..Self::default() })
    }

    /// The public view of a tally that was taken when the link had come to `link`. `kernel_drops`: packets that never reached the emulator.
    pub(crate) fn counters(&self, link: LinkCounters, kernel_drops: u64) -> DirectionCounters {
        let before = self.link_before;
        DirectionCounters {
            entered_packets: link.entered - before.entered,
            entered_bytes: self.entered_bytes,
            left_packets: link.left - before.left,
            left_bytes: self.left_bytes,
            queue_dropped: link.queue_dropped - before.queue_dropped,
            lost: link.lost - before.lost,
            policed: link.policed - before.policed,
            duplicated: link.duplicated - before.duplicated,
            reordered: link.reordered - before.reordered,
            unplanned_drops: link.overflowed - before.overflowed + self.unread + self.unsent + kernel_drops,
            queue_delay_mean: self.queue_delay.mean(),
            queue_delay_p95: self.queue_delay.percentile(0.95),
            queue_delay_max: self.queue_delay.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_percentile_and_maximum() {
        let mut distribution = Distribution::default();
        assert_eq!([distribution.mean(), distribution.percentile(0.95), distribution.max()], [Duration::ZERO; 3]);
        for milliseconds in 1..=100 {
            distribution.record(Duration::from_millis(milliseconds));
        }
        assert_eq!(distribution.mean(), Duration::from_micros(50_500));
        assert_eq!(distribution.percentile(0.95), Duration::from_micros(95_100));
        assert_eq!(distribution.percentile(1.0), Duration::from_millis(100));
        distribution.record(Duration::from_secs(3600));
        assert_eq!(distribution.max(), Duration::from_secs(3600));
        assert_eq!(distribution.percentile(1.0), BIN * BINS_MAX as u32);
    }

    #[test]
    fn a_reading_starts_a_new_interval() {
        let mut tally = Tally { entered_bytes: 10, ..Tally::default() };
        let link = LinkCounters { entered: 7, left: 5, lost: 2, overflowed: 1, ..LinkCounters::default() };
        let first = tally.take(link).counters(link, 3);
        assert_eq!((first.entered_packets, first.left_packets, first.lost, first.entered_bytes), (7, 5, 2, 10));
        assert_eq!(first.unplanned_drops, 4);
        let second = tally.take(link).counters(link, 0);
        assert_eq!(second, DirectionCounters::default());
    }
}
