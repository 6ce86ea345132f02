//! The sending half of a connection: what goes out next, when, and what has to go out again.
//!
//! Loss repair does not depend on the controller (specification section 11): a lost retransmission is sent again after
//! about 1.5 RTT, silence is probed with the first and the newest packet in flight, and retransmissions ignore the
//! window, though not the pace.

#[cfg(test)]
mod checks;
mod copies;
mod overtaken;
mod probing;
mod reports;
mod retransmission;
pub(super) mod steering;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::copies::{Copies, LossShare};
use self::overtaken::Overtaken;
pub(super) use self::reports::{AckReport, Acked, Received};
use self::retransmission::DROP_REQUESTS_MAX;
use super::flights::Flights;
use super::loss_list::LossList;
use super::pacer::Pacer;
use super::packet_pairs::PacketPairs;
use super::recent_rate::RecentRate;
use super::rtt::RttEstimator;
use super::send_buffer::{Need, Numbering, SendBuffer, SendMemory, SlabRun};
use super::stats::SenderStats;
use crate::config::RateBounds;
use crate::congestion::{Control, Controller};
use crate::datagram::SEGMENTS_MAX;
use crate::packet::HEADER_BYTES;
use crate::seq::{MsgNumber, Seq};

/// A writer is so far ahead of what has left, or a quarter of the round-trip: ACKs come each 10 ms, and a task may be late.
const AHEAD_MIN: Duration = Duration::from_millis(20);

/// On a path without delay the window says little, and what counts is how long a writer is away who found no room: the receiver
/// looks after 250 µs, the sender naps 200, and tasks wake up. What that was worth stands in docs/performance.md, "What was tried".
const WRITER_AWAY: Duration = Duration::from_millis(2);
/// What may be buffered for that: 16 Gbit/s. Many connections that are fast for a moment must not fill the memory.
const PACED_BYTES_MAX: usize = 4 << 20;

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
    copies: Copies,
    losses: LossShare,
    overtaken: Overtaken,
    /// The newest own measurement of the round-trip time.
    rtt_sample: Option<Duration>,
    /// Whether the peer reports a loss again that was not repaired; libudt never does.
    peer_repeats_naks: bool,
    /// Probes since the last progress.
    probes: u32,
    probe_at: Option<Instant>,
    mss_bytes: u32,
    peer_window_packets: u32,
    payload_bytes: usize,
    bounds: RateBounds,
    seed: u64,
    /// The number of the controller's cohort 0: each controller counts from there.
    cohort_base: u32,
}

/// What a [`Sender`] starts with, known when the handshake is complete.
#[derive(Debug)]
pub(super) struct SenderSetup {
    pub(super) numbering: Numbering,
    pub(super) peer_window_packets: u32,
    pub(super) mss_bytes: u32,
    pub(super) buffer_bytes: usize,
    pub(super) bounds: RateBounds,
    pub(super) seed: u64,
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
            copies: Copies::default(),
            losses: LossShare::default(),
            overtaken: Overtaken::new(now),
            rtt_sample: None,
            peer_repeats_naks: false,
            probes: 0,
            probe_at: None,
            mss_bytes: setup.mss_bytes,
            peer_window_packets: setup.peer_window_packets,
            payload_bytes,
            bounds: setup.bounds,
            seed: setup.seed,
            cohort_base: 0,
        };
        sender.set_rate_bounds(now, setup.bounds);
        sender
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

    /// Gives memory back that only a transfer needs.
    pub(super) fn shrink(&mut self) {
        self.buffer.shrink();
        self.flights.shrink();
        self.lost.shrink();
    }

    /// The probe timer and the controller's have run out, if they have.
    pub(super) fn on_timeout(&mut self, now: Instant, rtt: &RttEstimator) {
        if self.controller.next_timer().is_some_and(|at| at <= now) {
            self.controller.on_timer(now);
        }
        self.lose_held(now, rtt);
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
        let again = self
            .poll_retransmissions(now, allowed, room, stamp, rtt, scratch)
            .or_else(|| self.poll_copy(now, stamp, scratch));
        let outgoing = match again {
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

    /// An own measurement of the round-trip time since the last call. There is none for libudt's own controller, which computes with
    /// what the peer reports, nor from the tail of an ACK: what the hosts add, which it leaves out, counts for timers.
    pub(super) fn take_rtt_sample(&mut self) -> Option<Duration> {
        self.rtt_sample.take().filter(|_| self.controller.window_counts_pipe() && !self.flights.is_counted())
    }

    /// The next drop request to send.
    pub(super) fn poll_drop_request(&mut self) -> Option<DropRequest> {
        self.drop_requests.pop_front()
    }

    /// When [`poll`](Self::poll) or [`on_timeout`](Self::on_timeout) should be called next.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [self.pace_at(), self.probe_at, self.overtaken.next_due(), self.controller.next_timer()]
            .into_iter()
            .flatten()
            .min()
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

    /// What a writer may fill the send buffer with.
    pub(super) fn need(&self, rtt: &RttEstimator) -> Need {
        let held = u64::from(self.in_flight_packets());
        let window = u64::from(self.controller.window_packets()).min(self.window_end - self.una);
        let window = held + window.min(held.max(16));
        let ahead = AHEAD_MIN.max(rtt.srtt() / 4).as_secs_f64() / self.interval().as_secs_f64();
        let packet_bytes = self.payload_bytes + HEADER_BYTES;
        let paced = WRITER_AWAY.as_secs_f64() / self.interval().as_secs_f64() * packet_bytes as f64;
        Need {
            window_bytes: window as usize * packet_bytes,
            held_bytes: held as usize * packet_bytes,
            ahead_bytes: (ahead.min(window as f64) as usize) * packet_bytes,
            paced_bytes: (paced as usize).min(PACED_BYTES_MAX),
        }
    }

    /// What the send buffer holds.
    pub(super) fn memory(&self) -> SendMemory {
        let in_flight_bytes = self.in_flight_packets() as usize * (self.payload_bytes + HEADER_BYTES);
        SendMemory {
            held_bytes: self.buffer.held_bytes(),
            unsent_bytes: self.buffer.charged_bytes().saturating_sub(in_flight_bytes),
            spare_bytes: self.buffer.spare_bytes(),
        }
    }

    /// Whether a writer who found the send buffer full can go on.
    pub(super) fn has_room_again(&mut self, rtt: &RttEstimator) -> bool {
        self.buffer.is_refusing() && {
            let need = self.need(rtt);
            self.buffer.has_room_again(need)
        }
    }

    /// The window that the peer advertised, less what has been acknowledged since, in packets.
    pub(super) fn flow_window_packets(&self) -> u32 {
        (self.window_end - self.una) as u32
    }

    /// Packets that are known to have arrived since the beginning.
    pub(super) fn delivered_packets(&self) -> u64 {
        self.flights.delivered_total()
    }

    /// The controller, for the stats.
    pub(super) fn controller(&self) -> &Controller {
        &self.controller
    }

    /// The time of one packet on the wire at the pace allowed.
    pub(super) fn interval(&self) -> Duration {
        let ceiling = self.bounds.max_bits_per_s.map_or(Duration::ZERO, |rate| {
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

    /// The cohort of a packet that leaves now.
    fn cohort(&self) -> u32 {
        self.cohort_base + self.controller.cohort()
    }

    /// What the controller's window bounds.
    fn pipe_packets(&self) -> u32 {
        if self.controller.window_counts_pipe() { self.flights.pipe() } else { self.in_flight_packets() }
    }

    /// When the next packet may go, and with it a quantum, if there is anything to send.
    fn pace_at(&self) -> Option<Instant> {
        let is_waiting = self.lost.len_packets() > 0 || self.new_allowed() > 0;
        if is_waiting {
            return Some(self.pacer.due());
        }
        self.copies.next_due().map(|at| at.max(self.pacer.due()))
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
        let is_last = self.next + packets as u64 == self.buffer.end();
        let before_last_packets = self.pipe_packets().saturating_add(packets as u32 - 1);
        let app_limited = is_last && leaves_room(before_last_packets, self.controller.window_packets());
        self.flights.push(now, packets as u32, app_limited, self.cohort());
        self.next += packets as u64;
        self.controller.on_sent(self.pipe_packets());
        self.pairs.sent(self.seq_of(self.next - 1));
        self.losses.on_sent(packets as u32);
        self.count_sent(packets as u64, run.bytes().len() - packets * HEADER_BYTES);
        self.pacer.charge(now, packets, self.interval());
        Some(run)
    }

    fn count_sent(&mut self, packets: u64, payload_bytes: usize) {
        self.stats.sent_packets += packets;
        self.stats.sent_bytes += payload_bytes as u64;
    }
}

/// Whether so many packets are far from filling the window: then a sender with nothing more to send is limited by its
/// application. Near the window it is only a moment ahead of its writer.
fn leaves_room(pipe_packets: u32, window_packets: u32) -> bool {
    u64::from(pipe_packets) * 10 < u64::from(window_packets) * 7
}

#[cfg(test)]
mod tests {
    use super::leaves_room;

    #[test]
    fn an_empty_buffer_below_a_nearly_full_window_is_not_the_limit() {
        assert_eq!([leaves_room(0, 1), leaves_room(69, 100), leaves_room(70, 100)], [true, true, false]);
        assert!(!leaves_room(u32::MAX, u32::MAX));
    }
}
