//! What the emulated path did in an interval.

use std::time::Duration;

/// Both directions since the last reading (or the start).
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// How long the interval was.
    pub interval: Duration,
    /// From left to right.
    pub forward: DirectionCounters,
    /// From right to left.
    pub reverse: DirectionCounters,
    /// How late packets left the emulator, mean over all of both directions.
    pub lateness_mean: Duration,
    /// The latest of them.
    pub lateness_max: Duration,
    /// CPU time of the emulator's thread, what the kernel does for it included.
    pub emulator_cpu: Duration,
}

/// One direction in an interval. Packets are IP packets, and bytes count their IP headers.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
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
    /// Packets that nobody planned to lose: the kernel's queue towards the emulator was full, or the emulator's memory. If this is not 0,
    /// the machine was too slow and the run is invalid.
    pub unplanned_drops: u64,
    /// How long a packet that entered would wait for the bottleneck: mean over the packets.
    pub queue_delay_mean: Duration,
    /// 95th percentile of that, in steps of 0.1 ms.
    pub queue_delay_p95: Duration,
    /// The longest.
    pub queue_delay_max: Duration,
}
