//! What the emulated path did in an interval.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Of a hundred packets one may be later: twice what the RTT may be off.
const LATENESS_P99_MAX: Duration = Duration::from_millis(1);

/// Both directions since the last reading (or the start).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// How long the interval was.
    pub interval: Duration,
    /// From left to right.
    pub forward: DirectionCounters,
    /// From right to left.
    pub reverse: DirectionCounters,
    /// Packets that the kernel dropped between the emulator and a host, of both directions, because the cores were busy. It counts them for
    /// the whole machine.
    #[serde(default)]
    pub backlog_drops: u64,
    /// How late packets left the emulator, mean over all of both directions.
    pub lateness_mean: Duration,
    /// 99th percentile of that, in steps of 0.1 ms.
    pub lateness_p99: Duration,
    /// The latest of them.
    pub lateness_max: Duration,
    /// CPU time of the emulator's thread. With a single core it includes the receivers' side of IP, TCP and UDP, until the bytes lie in the
    /// socket; with more, other cores do that.
    pub emulator_cpu: Duration,
}

impl Counters {
    /// Packets lost in both directions that nobody planned to lose. If there are any, the machine was too slow, and whatever was measured is
    /// invalid.
    pub fn unplanned_drops(&self) -> u64 {
        self.forward.unplanned_drops + self.reverse.unplanned_drops + self.backlog_drops
    }

    /// Whether the path was what it should be.
    ///
    /// # Errors
    /// Packets were lost that nobody planned to lose, or left so late that delays were not what was asked for: whatever was measured is invalid.
    pub fn check(&self) -> Result<(), TooSlow> {
        let (unplanned_drops, lateness_p99) = (self.unplanned_drops(), self.lateness_p99);
        let is_good = unplanned_drops == 0 && lateness_p99 <= LATENESS_P99_MAX;
        if is_good { Ok(()) } else { Err(TooSlow { unplanned_drops, lateness_p99 }) }
    }

    /// The emulator's share of one core.
    pub fn emulator_cpu_share(&self) -> f64 {
        self.emulator_cpu.as_secs_f64() / self.interval.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// The machine was too slow for the path asked for, so whatever was measured over it is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the machine was too slow for the path: {unplanned_drops} packets were dropped that should not be, and one of a hundred left it {lateness_p99:?} \
     late; repeat it on an idle machine, or at a lower rate"
)]
pub struct TooSlow {
    /// Packets that nobody planned to lose.
    pub unplanned_drops: u64,
    /// 99 % of the packets were less late.
    pub lateness_p99: Duration,
}

/// One direction in an interval. Packets are IP packets, and bytes count their IP headers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct DirectionCounters {
    /// Packets that entered the path.
    pub entered_packets: u64,
    /// Bytes of those.
    pub entered_bytes: u64,
    /// Packets that left it, duplicates included.
    pub left_packets: u64,
    /// Bytes of those.
    pub left_bytes: u64,
    /// Packets that the queue in front of the bottleneck dropped.
    pub queue_dropped: u64,
    /// Packets lost at random, as planned.
    pub lost: u64,
    /// Packets that the policer dropped.
    pub policed: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Packets that left after one that had entered later.
    pub reordered: u64,
    /// Packets that nobody planned to lose: the kernel's queue towards the emulator or the emulator's memory was full, or the kernel did not
    /// take the packet from it.
    pub unplanned_drops: u64,
    /// How long a packet that entered would have to wait for the bottleneck: mean over the packets.
    pub queue_delay_mean: Duration,
    /// 95th percentile of that, in steps of 0.1 ms.
    pub queue_delay_p95: Duration,
    /// The longest.
    pub queue_delay_max: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_or_late_packets_make_a_run_invalid() {
        assert_eq!(Counters::default().check(), Ok(()));
        let late = Counters { lateness_p99: Duration::from_millis(2), ..Counters::default() };
        assert!(late.check().is_err());
        let mut dropped = Counters::default();
        dropped.reverse.unplanned_drops = 1;
        dropped.backlog_drops = 2;
        assert_eq!(dropped.check(), Err(TooSlow { unplanned_drops: 3, lateness_p99: Duration::ZERO }));
    }
}
