//! The sending half of a connection: what goes out next, when, and what has to go out again.
//!
//! Loss repair does not depend on the controller (specification section 11): a lost retransmission is sent again after
//! about 1.5 RTT, silence is probed with the first and the newest packet in flight, and retransmissions ignore the
//! window, though not the pace.

#[cfg(test)]
mod checks;
mod probing;
mod retransmission;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::retransmission::DROP_REQUESTS_MAX;
use super::flights::Flights;
use super::loss_list::LossList;
use super::pacer::Pacer;
use super::packet_pairs::PacketPairs;
use super::recent_rate::{Arrival, RecentRate};
use super::rtt::RttEstimator;
use super::send_buffer::{Numbering, SendBuffer, SlabRun};
use super::stats::SenderStats;
use crate::congestion::{Control, Controller, Feedback, Lost, ReceiverReport, RttSample, Sent};
use crate::datagram::SEGMENTS_MAX;
use crate::packet::{AckRates, HEADER_BYTES, LossReport};
use crate::seq::{MsgNumber, Seq};

/// The peer's view of what it received, from a full ACK.
#[derive(Clone, Copy, Debug)]
pub(super) struct AckReport {
    /// When the kernel got it.
    pub(super) arrived: Instant,
    pub(super) ack_seq: Seq,
    pub(super) available_packets: u32,
    pub(super) rates: Option<AckRates>,
    /// What only one of our own ends tells.
    pub(super) received: Option<Received>,
}

/// What the peer has received beside the cumulative position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    /// Everything before this has arrived or was reported missing.
    pub(super) known_to: Seq,
    /// Different packets that have arrived, modulo 2^32.
    pub(super) packets: u32,
    /// How long the peer held this news after its newest packet had arrived.
    pub(super) age: Duration,
    /// From the sending of that packet to this news, without the time that the peer held it.
    pub(super) rtt: Option<Duration>,
}

/// What an acknowledgement was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acked {
    /// It lies outside of what was sent; nothing was done (deviation 1).
    Invalid,
    /// Nothing new was acknowledged.
    Old,
    /// Packets were released.
    Progress,
}

/// What one call to the kernel can carry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Segments.
    pub(super) segments: usize,
    /// The largest datagram that the path takes in one piece; larger ones go alone, to be fragmented.
    pub(super) datagram_bytes: usize,
}

/// Data to be put on the wire.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// New packets, in the send buffer.
    Run(SlabRun),
    /// Retransmissions, appended to the scratch buffer; the size of all segments but the last.
    Copied { segment_bytes: usize },
}

/// A message that the peer must be told not to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DropRequest {
    pub(super) message: MsgNumber,
    pub(super) first: Seq,
    pub(super) last: Seq,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) buffer: SendBuffer,
    pub(super) stats: SenderStats,
    controller: Controller,
    numbering: Numbering,
    /// Packets from `una` to `next`.
    flights: Flights,
    recent_rate: RecentRate,
    /// Index of the first packet that no ACK has covered, and of the first that no full ACK has.
    una: u64,
    fully_acked: u64,
    /// Index of the next new packet.
    next: u64,
    /// Index after the last packet that the peer has room for.
    window_end: u64,
    lost: LossList,
    drop_requests: VecDeque<DropRequest>,
    pacer: Pacer,
    pairs: PacketPairs,
    /// Whether the peer reports a loss again that was not repaired; libudt never does.
    peer_repeats_naks: bool,
    /// Probes since the last progress.
    probes: u32,
    probe_at: Option<Instant>,
    mss_bytes: u32,
    peer_window_packets: u32,
    payload_bytes: usize,
    max_rate_bits_per_s: Option<u64>,
}

/// What a [`Sender`] starts with, known when the handshake is complete.
#[derive(Debug)]
pub(super) struct SenderSetup {
    pub(super) numbering: Numbering,
    pub(super) peer_window_packets: u32,
    pub(super) mss_bytes: u32,
    pub(super) buffer_bytes: usize,
    pub(super) max_rate_bits_per_s: Option<u64>,
    pub(super) controller: Controller,
}

impl Sender {
    pub(super) fn new(now: Instant, setup: SenderSetup) -> Self {
        let payload_bytes = crate::config::payload_bytes(setup.mss_bytes);
        let mut sender = Self {
            buffer: SendBuffer::new(payload_bytes, setup.buffer_bytes),
            stats: SenderStats::default(),
            controller: setup.controller,
            numbering: setup.numbering,
            flights: Flights::new(now),
            recent_rate: RecentRate::default(),
            una: 0,
            fully_acked: 0,
            next: 0,
            window_end: u64::from(setup.peer_window_packets),
            lost: LossList::new(),
            drop_requests: VecDeque::new(),
            pacer: Pacer::new(now),
            pairs: PacketPairs::default(),
            peer_repeats_naks: false,
            probes: 0,
            probe_at: None,
            mss_bytes: setup.mss_bytes,
            peer_window_packets: setup.peer_window_packets,
            payload_bytes,
            max_rate_bits_per_s: None,
        };
        sender.set_max_rate(setup.max_rate_bits_per_s);
        sender
    }

    /// Bounds the sending rate, headers included.
    pub(super) fn set_max_rate(&mut self, bits_per_s: Option<u64>) {
        self.max_rate_bits_per_s = bits_per_s;
        let packet_bits = f64::from(self.mss_bytes) * 8.0;
        self.controller.set_max_rate(bits_per_s.map(|rate| rate as f64 / packet_bits));
    }

    /// No data leaves before this.
    pub(super) fn hold_data_until(&mut self, at: Instant) {
        self.pacer.hold_until(at);
    }

    /// The peer turned out to be one of ours: it acknowledges without a short packet, and receives in batches.
    pub(super) fn peer_is_godwit(&mut self) {
        self.buffer.set_short_tail(false);
        self.pairs.peer_is_godwit();
        self.peer_repeats_naks = true;
    }

    /// Later packets carry at most this much, because the path takes no more; returns whether that changed anything.
    pub(super) fn shrink_payload(&mut self, payload_bytes: usize) -> bool {
        if payload_bytes >= self.payload_bytes {
            return false;
        }
        self.payload_bytes = payload_bytes;
        self.buffer.set_payload_bytes(payload_bytes);
        true
    }

    /// A full ACK.
    pub(super) fn on_ack(&mut self, now: Instant, report: &AckReport, rtt: &RttEstimator) -> Acked {
        let Some(index) = self.valid_ack(report.ack_seq) else { return Acked::Invalid };
        self.fully_acked = self.fully_acked.max(index);
        if index >= self.una {
            // A window of 0 could never be seen to open again: one packet is always allowed. Deviation 23.
            self.window_end = index + u64::from(report.available_packets.max(1));
        }
        let is_progress = self.release_before(now, report.arrived, index, rtt);
        if let Some(received) = report.received {
            self.on_received(report.arrived, received);
        }
        self.stats.acks_received_packets += u64::from(is_progress);
        self.feed_back(now, report, rtt);
        if is_progress { Acked::Progress } else { Acked::Old }
    }

    /// A light ACK. It says nothing of the peer's window and not enough for the controller; but what it covers has arrived, so
    /// it is released, where libudt waits for the full ACK: at 10 Gbit/s 12 MB fewer stay in the send buffer. Deviation 22.
    pub(super) fn on_light_ack(&mut self, now: Instant, ack_seq: Seq, rtt: &RttEstimator) -> Acked {
        let Some(index) = self.valid_ack(ack_seq) else { return Acked::Invalid };
        if self.release_before(now, now, index, rtt) { Acked::Progress } else { Acked::Old }
    }

    /// A NAK that the kernel got at `arrived`. Entries outside of what is in flight are counted and ignored (deviation 1).
    pub(super) fn on_nak(&mut self, now: Instant, arrived: Instant, report: &LossReport<'_>, rtt: &RttEstimator) {
        self.stats.naks_received_packets += 1;
        let mut lost = Lost { now, first: u64::MAX, packets: 0, next_tag: self.next, in_flight_packets: 0 };
        // Ranges that overlap must not multiply the work: one NAK can name no more than what is in flight.
        let mut budget = self.next - self.una;
        for range in report.ranges() {
            let (first, last) = (self.index_of(range.first), self.index_of(range.last));
            if last >= self.next as i64 || last < first {
                self.stats.invalid_entries += 1;
                continue;
            }
            let first = first.max(self.una as i64) as u64;
            if last < first as i64 || budget == 0 {
                continue;
            }
            let last = (last as u64).min(first + budget - 1);
            budget -= last - first + 1;
            lost.first = lost.first.min(first);
            // What lies between two reports was not reported: it has arrived. A later report may take that back.
            self.flights.deliver_before(arrived, first);
            lost.packets += self.mark_lost(now, first, last, rtt);
            self.flights.deliver_before(arrived, last + 2);
        }
        self.stats.invalid_entries += report.malformed_entries() as u64;
        if lost.first == u64::MAX {
            return;
        }
        self.stats.lost_packets += u64::from(lost.packets);
        lost.in_flight_packets = self.pipe_packets();
        self.controller.on_lost(&lost);
        self.report_cohorts(now);
    }

    /// The probe timer and the controller's have run out, if they have.
    pub(super) fn on_timeout(&mut self, now: Instant, rtt: &RttEstimator) {
        if self.controller.next_timer().is_some_and(|at| at <= now) {
            self.controller.on_timer(now);
        }
        self.probe(now, rtt);
    }

    /// Data that may be sent now: at most `max_segments` packets, retransmissions first.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        room: Room,
        stamp: u32,
        rtt: &RttEstimator,
        scratch: &mut Vec<u8>,
    ) -> Option<Outgoing> {
        let room = Room { segments: room.segments.min(SEGMENTS_MAX), ..room };
        let quantum_packets = self.controller.quantum_packets().max(1);
        let owed = self.pairs.take_owed(quantum_packets);
        // A whole quantum as soon as one packet may leave, its time to be made up for afterwards: what would leave sooner, at
        // an ACK or a write, would only be a smaller run.
        let allowed = match self.pacer.allowance(now, self.interval()) {
            0 => owed,
            packets => packets.max(quantum_packets as usize),
        };
        let allowed = allowed.min(room.segments);
        if allowed == 0 {
            return None;
        }
        let outgoing = match self.poll_retransmissions(now, allowed, room, stamp, scratch) {
            Some(segment_bytes) => Some(Outgoing::Copied { segment_bytes }),
            None => self.poll_new(now, allowed, room, stamp).map(Outgoing::Run),
        };
        self.pacer.set_dry(outgoing.is_none());
        // Also for packets that were given up unsent: the drop request may get lost.
        if self.probe_at.is_none() {
            self.arm_probe(now, rtt);
        }
        outgoing
    }

    /// The next drop request to send.
    pub(super) fn poll_drop_request(&mut self) -> Option<DropRequest> {
        self.drop_requests.pop_front()
    }

    /// When [`poll`](Self::poll) or [`on_timeout`](Self::on_timeout) should be called next.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [self.pace_at(), self.probe_at, self.controller.next_timer()].into_iter().flatten().min()
    }

    /// Whether everything committed has been covered by a full ACK. Light ones don't count here: what libudt has not
    /// acknowledged in full its application can't read any more after a shutdown (specification section 7).
    pub(super) fn is_flushed(&self) -> bool {
        self.fully_acked == self.buffer.end()
    }

    /// The longest message that the send buffer and the peer's window can ever take, in bytes.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.buffer.message_bytes_max().min(self.peer_window_packets as usize * self.payload_bytes)
    }

    /// The number after the last packet committed: everything before it is the whole stream.
    pub(super) fn final_seq(&self) -> Seq {
        self.seq_of(self.buffer.end())
    }

    /// Packets sent and not acknowledged.
    pub(super) fn in_flight_packets(&self) -> u32 {
        (self.next - self.una) as u32
    }

    /// Bytes that the send buffer has to hold for the window now, and for what a gap keeps from being released: a packet that is
    /// lost twice holds back three round-trips' worth.
    pub(super) fn window_bytes(&self) -> usize {
        let held = u64::from(self.in_flight_packets());
        let window = u64::from(self.controller.window_packets()).min(self.window_end - self.una);
        ((held + window.min(held.max(16))) as usize) * (self.payload_bytes + HEADER_BYTES)
    }

    /// The window that the peer advertised, less what has been acknowledged since, in packets.
    pub(super) fn flow_window_packets(&self) -> u32 {
        (self.window_end - self.una) as u32
    }

    /// The controller, for the stats.
    pub(super) fn controller(&self) -> &Controller {
        &self.controller
    }

    /// The time of one packet on the wire at the pace allowed.
    pub(super) fn interval(&self) -> Duration {
        let ceiling = self.max_rate_bits_per_s.map_or(Duration::ZERO, |rate| {
            Duration::from_nanos(u64::from(self.mss_bytes) * 8 * 1_000_000_000 / rate.max(1))
        });
        self.controller.pace().interval.max(ceiling)
    }

    /// Payload of full new packets, in bytes.
    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    fn seq_of(&self, index: u64) -> Seq {
        self.numbering.initial_seq.add(index as u32)
    }

    /// The index that a sequence number near the window stands for; negative for numbers before the first packet.
    fn index_of(&self, seq: Seq) -> i64 {
        self.una as i64 + i64::from(self.seq_of(self.una).offset_to(seq))
    }

    /// The index of an ACK if it lies in what was sent. Old ones count as the first unacknowledged packet.
    fn valid_ack(&mut self, ack_seq: Seq) -> Option<u64> {
        let index = self.index_of(ack_seq);
        if index > self.next as i64 {
            self.stats.invalid_entries += 1;
            return None;
        }
        Some(u64::try_from(index).unwrap_or(0))
    }

    /// Everything before `index` has arrived; false if that was known.
    fn release_before(&mut self, now: Instant, arrived: Instant, index: u64, rtt: &RttEstimator) -> bool {
        if index <= self.una {
            return false;
        }
        let stats = &mut self.stats;
        self.flights.release_before(arrived, index, |flight| {
            // Acknowledged sooner than a retransmission could have been: the original had arrived.
            if flight.transmissions > 1 && now - flight.sent < rtt.srtt() / 2 {
                stats.spurious_retransmissions_packets += 1;
            }
        });
        self.una = index;
        // The window may have shrunk since those packets left.
        self.window_end = self.window_end.max(index);
        self.lost.remove_before(self.seq_of(index));
        self.buffer.release_before(index);
        self.probes = 0;
        self.arm_probe(now, rtt);
        true
    }

    /// The peer has everything before this that it did not report missing.
    fn on_received(&mut self, arrived: Instant, received: Received) {
        let index = self.index_of(received.known_to);
        if index > self.next as i64 {
            self.stats.invalid_entries += 1;
        } else if let Ok(index) = u64::try_from(index) {
            self.flights.deliver_before(arrived, index);
            // The count is that of the moment when its newest packet arrived there.
            let counted = arrived.checked_sub(received.age).unwrap_or(arrived);
            self.flights.count_received(counted, received.packets);
        }
    }

    fn feed_back(&mut self, now: Instant, report: &AckReport, rtt: &RttEstimator) {
        self.pacer.set_rtt(rtt.srtt());
        let (news, sample) = self.flights.take_news();
        let exact = report.received.and_then(|received| received.rtt).map(|rtt| RttSample { rtt, exact: true });
        let recent_rate = report.received.and_then(|received| self.recent_rate(report.arrived, received, rtt.srtt()));
        let feedback = Feedback {
            now,
            acked_to: self.una,
            newly_delivered: news.delivered,
            delivered_total: self.flights.delivered_total(),
            interval: sample.map_or(Duration::ZERO, |sample| sample.interval),
            sample_delivered: sample.map_or(0, |sample| sample.delivered),
            sample_app_limited: sample.is_some_and(|sample| sample.app_limited),
            // Without the peer's help the ACK may have waited for its 10 ms timer.
            rtt: exact.or_else(|| news.rtt.map(|rtt| RttSample { rtt, exact: false })),
            srtt: rtt.srtt(),
            receiver: ReceiverReport {
                arrival_speed_packets_per_s: report.rates.map(|rates| rates.arrival_speed_packets_per_s),
                link_capacity_packets_per_s: report.rates.map(|rates| rates.link_capacity_packets_per_s),
                recent_rate_packets_per_s: recent_rate,
            },
            in_flight_packets: self.pipe_packets(),
            next_tag: self.next,
            is_round_start: news.is_round_start,
            is_exact: report.received.is_some(),
        };
        self.controller.on_feedback(&feedback);
        self.report_cohorts(now);
    }

    fn recent_rate(&mut self, heard: Instant, received: Received, srtt: Duration) -> Option<f64> {
        let arrived = heard.checked_sub(received.age)?;
        let sent = arrived.checked_sub(received.rtt?)?;
        self.recent_rate.on_arrival(Arrival { sent, arrived, packets: received.packets }, srtt)
    }

    fn report_cohorts(&mut self, now: Instant) {
        while let Some(report) = self.flights.pop_cohort() {
            self.controller.on_cohort(now, &report);
        }
    }

    /// What the controller's window bounds.
    fn pipe_packets(&self) -> u32 {
        if self.controller.window_counts_pipe() { self.flights.pipe() } else { self.in_flight_packets() }
    }

    /// When the next packet may go, and with it a quantum, if there is anything to send.
    fn pace_at(&self) -> Option<Instant> {
        let is_waiting = self.lost.len_packets() > 0 || self.new_allowed() > 0;
        is_waiting.then(|| self.pacer.due())
    }

    /// New packets that the windows allow and the buffer has.
    fn new_allowed(&self) -> u64 {
        let own = self.next + u64::from(self.controller.window_packets().saturating_sub(self.pipe_packets()));
        self.window_end.min(own).min(self.buffer.end()).saturating_sub(self.next)
    }

    fn poll_new(&mut self, now: Instant, allowed: usize, room: Room, stamp: u32) -> Option<SlabRun> {
        while self.new_allowed() > 0
            && let Some(expired) = self.buffer.expired_message(self.next, now)
            && self.drop_requests.len() < DROP_REQUESTS_MAX
        {
            self.give_up(now, expired);
        }
        let mut count = self.new_allowed().min(allowed as u64);
        if count == 0 {
            return None;
        }
        if self.buffer.packet_bytes(self.next).is_some_and(|size| size > room.datagram_bytes) {
            count = 1;
        }
        count = self.pairs.cut(self.next, self.seq_of(self.next), count);
        let run = self.buffer.take_run(self.next, count as usize, stamp, self.numbering)?;
        let packets = run.packets();
        for (offset, datagram) in run.bytes().chunks(run.stride()).enumerate() {
            let in_flight_packets = self.pipe_packets();
            let app_limited = self.next + 1 == self.buffer.end() && offset + 1 == packets;
            self.flights.push(now, app_limited, self.controller.cohort());
            let (tag, bytes) = (self.next, datagram.len() as u32);
            self.next += 1;
            self.controller.on_sent(&Sent { tag, now, bytes, app_limited, retransmission: false, in_flight_packets });
        }
        self.pairs.sent(self.seq_of(self.next - 1));
        self.count_sent(packets as u64, run.bytes().len() - packets * HEADER_BYTES);
        self.pacer.charge(now, packets, self.interval());
        Some(run)
    }

    fn count_sent(&mut self, packets: u64, payload_bytes: usize) {
        self.stats.sent_packets += packets;
        self.stats.sent_bytes += payload_bytes as u64;
    }
}
