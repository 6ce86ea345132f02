//! How far a peer may be ahead of the reader, in packets: little at first, and more as far as it is seen to need it.
//!
//! The handshake announces all that the peer will ever get (`Config::flow_window_packets`, or what the receive buffer has room for);
//! libudt cannot work with an ACK that offers more (deviation 16). The first ACK offers 1 MiB of that. What is offered is no memory
//! yet; it becomes memory when the application reads more slowly than the peer sends.
//!
//! A window that never holds a peer back which is read in time has room for what lies behind a gap, and for what arrives in a
//! round-trip and until the next ACK, with a reader as late as that, at the greatest speed of the last second; three times all that,
//! because the peer may be about to double its rate. Before the round-trip time is known it counts as a long one. The window
//! never shrinks, and stays as it is while more than half of it waits for the reader.
//!
//! Messages have the whole window from the beginning: one of them may need it.

use std::time::Duration;

/// What the first ACK offers, in bytes: with a first flight of 32 packets nobody needs more before the second.
const INITIAL_BYTES: usize = 1 << 20;
/// A peer may double its rate before it hears of the next window, and a queue may build up. With 2 a path of 10 Mbit/s and 600 ms carried 0.974
/// instead of 0.987 of its rate in the simulator.
const GROWTH: f64 = 3.0;
/// The round-trip time of a path that was not measured yet: a link by satellite.
const UNKNOWN_RTT: Duration = Duration::from_millis(600);

/// What a peer was seen to need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Packets from the first that is missing to the newest.
    pub(super) behind_gap_packets: u64,
    /// The greatest speed of arrivals lately; at the beginning, what the path seems to carry.
    pub(super) packets_per_s: u32,
    /// The smoothed round-trip time, if it was measured.
    pub(super) srtt: Option<Duration>,
    /// How often an ACK says that there is room again.
    pub(super) ack_interval: Duration,
    /// What waits for the reader.
    pub(super) unread_packets: u64,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    /// What is offered as long as the round-trip time isn't known...
    first_packets: u32,
    /// ... and from then on.
    packets: u32,
    announced_packets: u32,
    is_rtt_known: bool,
}

impl ReceiveWindow {
    /// For a stream of packets that are charged `packet_bytes`, to a peer that was told of `announced_packets`.
    pub(super) fn new(announced_packets: u32, packet_bytes: usize) -> Self {
        let initial = u32::try_from(INITIAL_BYTES / packet_bytes.max(1)).unwrap_or(u32::MAX);
        let packets = initial.min(announced_packets);
        Self { first_packets: packets, packets, announced_packets, is_rtt_known: false }
    }

    /// All of it from the beginning.
    pub(super) fn whole(announced_packets: u32) -> Self {
        let packets = announced_packets;
        Self { first_packets: packets, packets, announced_packets, is_rtt_known: true }
    }

    /// Packets that may be ahead of the reader.
    pub(super) fn packets(&self) -> u32 {
        if self.is_rtt_known { self.packets } else { self.first_packets }
    }

    /// Grows, if that is needed.
    pub(super) fn tune(&mut self, seen: &Seen) {
        self.is_rtt_known |= seen.srtt.is_some();
        if seen.unread_packets * 2 > u64::from(self.packets()) {
            return;
        }
        let time = seen.srtt.unwrap_or(UNKNOWN_RTT) + 2 * seen.ack_interval;
        let arriving = f64::from(seen.packets_per_s) * time.as_secs_f64();
        let needed = GROWTH * (seen.behind_gap_packets as f64 + arriving);
        let needed = (needed.min(f64::from(self.announced_packets))) as u32;
        let packets = if self.is_rtt_known { &mut self.packets } else { &mut self.first_packets };
        *packets = needed.max(*packets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNOUNCED: u32 = 65_536;

    fn seen(packets_per_s: u32, srtt_ms: Option<u64>) -> Seen {
        let srtt = srtt_ms.map(Duration::from_millis);
        Seen { behind_gap_packets: 0, packets_per_s, srtt, ack_interval: Duration::from_millis(10), unread_packets: 0 }
    }

    #[test]
    fn it_begins_small_and_grows_with_need() {
        let mut window = ReceiveWindow::new(ANNOUNCED, 1552);
        assert_eq!(window.packets(), 675);
        window.tune(&seen(1000, Some(100)));
        assert_eq!(window.packets(), 675);
        window.tune(&seen(10_000, Some(100)));
        assert_eq!(window.packets(), 3600);
        window.tune(&seen(1000, Some(100)));
        assert_eq!(window.packets(), 3600, "it does not shrink");
        window.tune(&Seen { behind_gap_packets: 3000, ..seen(10_000, Some(100)) });
        assert_eq!(window.packets(), 12_600);
        window.tune(&seen(u32::MAX, Some(100)));
        assert_eq!(window.packets(), ANNOUNCED, "never more than the handshake said");
    }

    #[test]
    fn a_window_that_waits_for_the_reader_stays() {
        let mut window = ReceiveWindow::new(ANNOUNCED, 1552);
        window.tune(&Seen { unread_packets: 338, ..seen(10_000, Some(100)) });
        assert_eq!(window.packets(), 675);
    }

    #[test]
    fn a_path_that_was_not_measured_yet_counts_as_long_until_it_is() {
        let mut window = ReceiveWindow::new(ANNOUNCED, 1552);
        window.tune(&seen(10_000, None));
        assert_eq!(window.packets(), 18_600);
        window.tune(&seen(5_000, Some(10)));
        assert_eq!(window.packets(), 675);
    }
}
