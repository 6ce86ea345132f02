//! What a connection counts. The names in brackets are those of libudt's `perfmon` (specification section 9.2).

use std::time::{Duration, Instant};

use super::{Connection, Halves};
use crate::config::payload_bytes;
use crate::congestion::{Control as _, ControllerKind};

/// A snapshot of one connection. Counters run from the start of the connection; subtract two snapshots for an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Since the connection object was made (msTimeStamp).
    pub age: Duration,
    /// The sending half.
    pub sender: SenderStats,
    /// The receiving half.
    pub receiver: ReceiverStats,
    /// Smoothed round-trip time (msRTT).
    pub rtt: Duration,
    /// Its mean deviation.
    pub rtt_variance: Duration,
    /// The time between two packets at the pace allowed now (usPktSndPeriod).
    pub sending_interval: Duration,
    /// Packets that the peer has room for beyond what it acknowledged (pktFlowWindow).
    pub flow_window_packets: u32,
    /// Packets that the controller allows in flight (pktCongestionWindow).
    pub congestion_window_packets: u32,
    /// Packets sent and not acknowledged (pktFlightSize).
    pub in_flight_packets: u32,
    /// Packets that this side last told the peer it may send.
    pub advertised_window_packets: u32,
    /// Capacity of the link as estimated from what arrives here, packets per second (mbpsBandwidth, in packets).
    pub link_capacity_packets_per_s: u32,
    /// Speed of what arrives here, packets per second.
    pub arrival_speed_packets_per_s: u32,
    /// The same in bytes of payload per second (mbpsRecvRate, in bytes).
    pub arrival_speed_bytes_per_s: u64,
    /// What the send buffer may still grow by, bytes (byteAvailSndBuf). A stream's writer gets it only as the path needs it.
    pub send_buffer_available_bytes: usize,
    /// Memory that the send buffer uses, bytes.
    pub send_buffer_used_bytes: usize,
    /// What the receive buffer may still grow by, bytes (byteAvailRcvBuf). A stream's peer is offered it only as it needs it.
    pub receive_buffer_available_bytes: usize,
    /// Memory that the receive buffer keeps alive, bytes.
    pub receive_buffer_used_bytes: usize,
    /// MSS agreed in the handshake, bytes.
    pub mss_bytes: u32,
    /// Payload of a full packet now, bytes: less than MSS − 44 once the path has turned out to take less.
    pub payload_bytes: usize,
    /// The congestion controller.
    pub controller: ControllerKind,
    /// Whether the peer is known to be a godwit too.
    pub is_peer_godwit: bool,
    /// Datagrams for this connection that were no valid packets.
    pub malformed_packets: u64,
}

/// What the sending half counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderStats {
    /// Data packets sent, retransmissions included (pktSentTotal).
    pub sent_packets: u64,
    /// Their payload, bytes.
    pub sent_bytes: u64,
    /// Retransmissions (pktRetransTotal).
    pub retransmitted_packets: u64,
    /// Their payload, bytes.
    pub retransmitted_bytes: u64,
    /// Packets put on the loss list, by NAK or by a probe (pktSndLossTotal).
    pub lost_packets: u64,
    /// Retransmissions whose original turned out to have arrived.
    pub spurious_retransmissions_packets: u64,
    /// Full ACKs that acknowledged something new (pktRecvACKTotal).
    pub acks_received_packets: u64,
    /// NAK packets (pktRecvNAKTotal).
    pub naks_received_packets: u64,
    /// Times that silence was probed.
    pub probes: u64,
    /// Messages given up because their time to live ran out.
    pub dropped_messages: u64,
    /// ACKs and NAK entries outside of what was sent, ignored.
    pub invalid_entries: u64,
    /// Time with unacknowledged data (usSndDurationTotal).
    pub busy: Duration,
}

/// What the receiving half counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverStats {
    /// Data packets received, duplicates and those out of the window included (pktRecvTotal).
    pub received_packets: u64,
    /// Their payload, bytes.
    pub received_bytes: u64,
    /// Packets that were here already.
    pub duplicate_packets: u64,
    /// Packets beyond the window or without room, thrown away.
    pub out_of_window_packets: u64,
    /// Sizes of gaps when first seen; reordering counts as loss (pktRcvLossTotal).
    pub lost_packets: u64,
    /// Full ACKs sent (pktSentACKTotal).
    pub acks_sent_packets: u64,
    /// Light ACKs sent.
    pub light_acks_sent_packets: u64,
    /// NAK packets sent (pktSentNAKTotal).
    pub naks_sent_packets: u64,
    /// Losses reported again because a report or its retransmission was lost, packets.
    pub nak_repeats_packets: u64,
    /// Messages that the peer gave up.
    pub dropped_messages: u64,
    /// Drop requests outside of the window, ignored.
    pub invalid_entries: u64,
}

impl Connection {
    /// A snapshot of what this connection counts: a copy, no walk.
    pub fn stats(&self, now: Instant) -> Stats {
        let mut stats = Stats {
            age: now.saturating_duration_since(self.created),
            rtt: self.rtt.srtt(),
            rtt_variance: self.rtt.var(),
            advertised_window_packets: self.announced_window_packets,
            send_buffer_available_bytes: self.config.send_buffer_bytes,
            receive_buffer_available_bytes: self.config.receive_buffer_bytes,
            mss_bytes: self.config.mss_or_default(),
            payload_bytes: payload_bytes(self.config.mss_or_default()),
            controller: self.config.controller,
            is_peer_godwit: self.is_peer_godwit,
            malformed_packets: self.malformed_packets,
            ..Stats::default()
        };
        if let Some(halves) = &self.halves {
            halves.fill_stats(&mut stats, self.config.receive_buffer_bytes);
            stats.sender.busy = self.busy.total(now);
        }
        stats
    }
}

impl Halves {
    fn fill_stats(&self, stats: &mut Stats, receive_buffer_bytes: usize) {
        let (sender, receiver) = (&self.sender, &self.receiver);
        stats.sender = sender.stats;
        stats.receiver = receiver.stats;
        stats.receiver.nak_repeats_packets = receiver.nak_repeats_packets();
        stats.sending_interval = sender.interval();
        stats.flow_window_packets = sender.flow_window_packets();
        stats.congestion_window_packets = sender.controller().window_packets();
        stats.in_flight_packets = sender.in_flight_packets();
        stats.advertised_window_packets = receiver.advertised_packets();
        stats.link_capacity_packets_per_s = receiver.rates().link_capacity_packets_per_s;
        stats.arrival_speed_packets_per_s = receiver.rates().arrival_speed_packets_per_s;
        stats.arrival_speed_bytes_per_s = receiver.arrival_speed_bytes_per_s();
        stats.send_buffer_available_bytes = sender.buffer.available_bytes();
        stats.send_buffer_used_bytes = sender.buffer.charged_bytes();
        stats.receive_buffer_used_bytes = receiver.pinned_bytes();
        stats.receive_buffer_available_bytes = receive_buffer_bytes.saturating_sub(receiver.pinned_bytes());
        stats.payload_bytes = sender.payload_bytes();
    }
}

/// Adds up the time during which something was going on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BusyClock {
    total: Duration,
    since: Option<Instant>,
}

impl BusyClock {
    /// Tells the clock whether it is going on now.
    pub(super) fn set(&mut self, now: Instant, is_busy: bool) {
        match (self.since, is_busy) {
            (None, true) => self.since = Some(now),
            (Some(since), false) => {
                self.total += now.saturating_duration_since(since);
                self.since = None;
            }
            _ => {}
        }
    }

    /// The time so far.
    pub(super) fn total(&self, now: Instant) -> Duration {
        self.total + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}
