//! The receiving half of a connection: what arrived, what is missing, and when the peer is told.
//!
//! ACK, NAK and window rules hold whatever controller the peer runs (specification section 11): NAKs are merged and
//! repeated, irregular packets are acknowledged at once, and while the buffer is full the acknowledgement of the last
//! packet is withheld, because only an advancing ACK wakes a libudt sender that waits for window.

mod acknowledgement;
#[cfg(test)]
mod checks;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ack_history::AckHistory;
use super::ack_tail::AckTail;
use super::arrival::{ArrivalEstimator, Batch as ArrivalBatch};
use super::missing::{Found, MissingList};
use super::payloads::Payloads;
use super::receive_buffer::{Inserted, Keeping, ReceiveBuffer, Segment};
use super::receive_window::ReceiveWindow;
use super::reordering::ReorderWindow;
use super::rtt::RttEstimator;
use super::stats::ReceiverStats;
use crate::datagram::Batch;
use crate::packet::{AckRates, Control, DataHeader, FullAck, HEADER_BYTES, LossRange, Packet};
use crate::seq::{AckNumber, MsgNumber, Seq};

/// UDT's SYN: a full ACK follows the one before after this time if there is news, and its long form no sooner.
const ACK_INTERVAL: Duration = Duration::from_millis(10);
/// New losses wait this long for company after a NAK: a libudt sender cuts its rate per NAK packet, whatever is in it. Deviation 32.
const NAK_MERGE: Duration = Duration::from_millis(5);
/// A loss is reported again no sooner than this (specification section 11). Deviation 33.
const NAK_REPEAT_MIN: Duration = Duration::from_millis(20);

/// What the data packets of one batch were, for the decisions at its end.
#[derive(Debug, Default)]
struct BatchSummary {
    packets: u32,
    payload_bytes: u64,
    first: Option<Seq>,
    last: Seq,
    timestamp_us: u32,
    has_irregular: bool,
    /// Something came that the peer was told had arrived.
    has_duplicate: bool,
    /// The most that a packet was late that had been overtaken.
    late: Option<Duration>,
}

/// Data packets of a batch that follow each other.
#[derive(Debug)]
struct Run {
    first: Seq,
    packets: u32,
    payload_bytes: usize,
    has_irregular: bool,
    /// Of the last.
    timestamp_us: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) stats: ReceiverStats,
    buffer: ReceiveBuffer,
    initial_seq: Seq,
    full_payload_bytes: usize,
    window_packets: u32,
    window: ReceiveWindow,
    /// Index after the highest packet seen.
    highest: u64,
    missing: MissingList,
    /// What the next NAK reports: empty but for its allocation.
    due: Vec<(Seq, Seq)>,
    reordering: ReorderWindow,
    arrival: ArrivalEstimator,
    acks: AckHistory,
    ack_number: AckNumber,
    /// What the last full ACK said.
    acked: u64,
    /// What the peer is known to know, by an ACK2.
    confirmed: u64,
    /// Index after the last packet that the peer may send.
    advertised_end: u64,
    advertised_packets: u32,
    packets_since_ack: u32,
    /// How many of these there were at the last light ACK.
    light_acked_packets: u32,
    repeats: u32,
    is_withholding: bool,
    /// An ACK is due that says nothing new but the window, or what the peer seems not to have heard.
    owes_ack: bool,
    last_ack: Option<Instant>,
    /// When an ACK last carried the rates.
    last_rates: Option<Instant>,
    last_nak: Option<Instant>,
    ack_at: Option<Instant>,
    nak_at: Option<Instant>,
    wants_light_ack: bool,
    is_peer_godwit: bool,
    /// Different packets that arrived.
    unique_packets: u64,
    /// Time stamp and arrival of the newest data packet.
    newest: Option<(u32, Instant)>,
    summary: BatchSummary,
}

impl Receiver {
    /// A receiver of packets from `initial_seq` on, for a peer that was told of a window of `window_packets`.
    pub(super) fn new(
        now: Instant,
        buffer: ReceiveBuffer,
        initial_seq: Seq,
        window_packets: u32,
        full_payload_bytes: usize,
    ) -> Self {
        let window = match buffer.holds_messages() {
            true => ReceiveWindow::whole(window_packets),
            false => ReceiveWindow::new(window_packets, buffer.packet_charge_bytes()),
        };
        Self {
            stats: ReceiverStats::default(),
            buffer,
            window,
            initial_seq,
            full_payload_bytes,
            window_packets,
            highest: 0,
            missing: MissingList::new(),
            due: Vec::new(),
            reordering: ReorderWindow::new(now),
            arrival: ArrivalEstimator::new(),
            acks: AckHistory::new(),
            ack_number: AckNumber::FIRST,
            acked: 0,
            confirmed: 0,
            advertised_end: u64::from(window_packets),
            advertised_packets: window_packets,
            packets_since_ack: 0,
            light_acked_packets: 0,
            repeats: 0,
            is_withholding: false,
            owes_ack: false,
            last_ack: None,
            last_rates: None,
            last_nak: None,
            ack_at: None,
            nak_at: None,
            wants_light_ack: false,
            is_peer_godwit: false,
            unique_packets: 0,
            newest: None,
            summary: BatchSummary::default(),
        }
    }

    /// Reports this capacity instead of the measured one.
    pub(super) fn pin_capacity(&mut self, packets_per_s: Option<u32>) {
        self.arrival.pin_capacity(packets_per_s);
    }

    /// The peer is one of our own: it understands the tail of an ACK, and more ACKs are of use to it.
    pub(super) fn set_peer_godwit(&mut self) {
        self.is_peer_godwit = true;
    }

    /// Changes the memory that may be used.
    pub(super) fn set_limit_bytes(&mut self, limit_bytes: usize) {
        self.buffer.set_limit_bytes(limit_bytes);
    }

    /// Gives memory back that only a transfer needs.
    pub(super) fn shrink(&mut self) {
        self.buffer.shrink();
        self.missing.shrink();
        self.acks.shrink();
        self.due = Vec::new();
    }

    /// The packets from byte `start` of the batch on, as far as nothing is missing and each follows the one before: all of them taken in
    /// as one. Says how many bytes of the batch those are; 0 if there are no two, and then nothing was taken in.
    pub(super) fn on_run(&mut self, batch: &Batch, start: usize, keeping: Keeping) -> usize {
        let room_bytes = self.buffer.room_for_run(self.highest);
        if room_bytes == 0 {
            return 0;
        }
        let first = self.seq_of(self.highest);
        let mut run = Run { first, packets: 0, payload_bytes: 0, has_irregular: false, timestamp_us: 0 };
        let mut run_charge_bytes = 0;
        for datagram in batch.contents[start..].chunks(batch.stride) {
            let Ok(Packet::Data(data)) = Packet::decode(datagram) else { break };
            let (length, charge_bytes) = (data.payload.len(), keeping.charge_bytes(data.payload.len()));
            let follows = data.header.seq == first.add(run.packets);
            if !follows || length == 0 || run_charge_bytes + charge_bytes > room_bytes {
                break;
            }
            run_charge_bytes += charge_bytes;
            run.packets += 1;
            run.payload_bytes += length;
            run.has_irregular |= length != self.full_payload_bytes;
            run.timestamp_us = data.header.timestamp_us;
        }
        if run.packets < 2 {
            return 0;
        }
        let datagrams_bytes = run.payload_bytes + run.packets as usize * HEADER_BYTES;
        let datagrams = batch.contents.slice(start..start + datagrams_bytes);
        let payloads = keeping.keep_run(Payloads::of_datagrams(datagrams, batch.stride));
        self.buffer.append(payloads, u64::from(run.packets), run_charge_bytes);
        self.count_in_batch(&run);
        self.highest += u64::from(run.packets);
        self.unique_packets += u64::from(run.packets);
        self.packets_since_ack += run.packets;
        datagrams_bytes
    }

    /// One data packet of the batch that is being handled.
    pub(super) fn on_data(&mut self, now: Instant, header: &DataHeader, payload: Bytes, keeping: Keeping) {
        let length = payload.len();
        self.count_in_batch(&Run {
            first: header.seq,
            packets: 1,
            payload_bytes: length,
            has_irregular: length != self.full_payload_bytes,
            timestamp_us: header.timestamp_us,
        });
        let next = self.buffer.next();
        let index = next as i64 + i64::from(self.seq_of(next).offset_to(header.seq));
        self.summary.has_duplicate |= index < self.acked as i64;
        let Ok(index) = u64::try_from(index) else {
            self.stats.duplicate_packets += 1;
            return;
        };
        // A packet without payload would read as the end of the stream in libudt; there is nothing to deliver in it. Deviation 7.
        if length == 0 || index >= next + u64::from(self.window_packets) {
            self.stats.out_of_window_packets += 1;
            return;
        }
        let (payload, charge_bytes) = keeping.keep(payload);
        let (position, in_order, message) = (header.position, header.in_order, header.message);
        match self.buffer.insert(index, Segment { payload, charge_bytes, position, in_order, message }) {
            Inserted::New => self.arrived(now, index, header),
            Inserted::Duplicate => self.stats.duplicate_packets += 1,
            Inserted::NoRoom => {
                self.stats.out_of_window_packets += 1;
                let found = Found { at: now, stamp_us: header.timestamp_us };
                self.note_gap(index + 1, found);
                self.missing.insert(header.seq, header.seq, found);
            }
        }
    }

    /// The batch is complete: decides on ACKs and NAKs.
    pub(super) fn finish_batch(&mut self, now: Instant, batch: &Batch, rtt: &RttEstimator) {
        let summary = std::mem::take(&mut self.summary);
        let Some(first) = summary.first else { return };
        self.newest = Some((summary.timestamp_us, batch.arrived));
        if let Some(late) = summary.late {
            self.reordering.on_late(late, rtt.srtt());
        }
        self.missing.set_patience(self.reordering.at(now, rtt.srtt()));
        self.arrival.on_batch(ArrivalBatch {
            arrived: batch.arrived,
            stamped: batch.is_stamped,
            packets: summary.packets,
            bytes: summary.payload_bytes,
            first,
            last: summary.last,
        });
        self.schedule_ack(now, summary.has_irregular, rtt);
        if summary.has_duplicate {
            self.acknowledge_again(now);
        }
        self.schedule_nak(now, rtt);
    }

    /// The peer won't send these packets.
    pub(super) fn on_message_drop(
        &mut self,
        now: Instant,
        message: MsgNumber,
        first: Seq,
        last: Seq,
        rtt: &RttEstimator,
    ) {
        let next = self.buffer.next();
        let base = self.seq_of(next);
        let (first_index, last_index) =
            (next as i64 + i64::from(base.offset_to(first)), next as i64 + i64::from(base.offset_to(last)));
        // Ranges are limited to the window: libudt would walk all of them (specification section 10.2).
        let within = last_index < (next + u64::from(self.window_packets)) as i64;
        // And a stream has no messages: libudt would leave a hole in it. Deviation 4.
        if last_index < first_index || !within || !self.buffer.holds_messages() {
            self.stats.invalid_entries += 1;
            return;
        }
        if last_index < next as i64 {
            return self.acknowledge_again(now);
        }
        let first_index = u64::try_from(first_index).unwrap_or(0).max(next);
        // What lies between was lost, like before any other packet.
        self.note_gap(first_index, Found { at: now, stamp_us: self.newest.map_or(0, |(stamp_us, _)| stamp_us) });
        self.buffer.drop_message(message, first_index, last_index as u64);
        self.missing.remove_range(self.seq_of(first_index), last);
        self.highest = self.highest.max(last_index as u64 + 1);
        self.stats.dropped_messages += 1;
        self.ack_at = Some(now);
        self.schedule_nak(now, rtt);
    }

    /// An ACK2: the peer knows of the ACK with this number. Returns the time since it was sent.
    pub(super) fn on_ack2(&mut self, now: Instant, number: AckNumber) -> Option<Duration> {
        let (rtt, ack_seq) = self.acks.acknowledge(number, now)?;
        let confirmed = self.acked as i64 + i64::from(self.seq_of(self.acked).offset_to(ack_seq));
        self.confirmed = self.confirmed.max(u64::try_from(confirmed).unwrap_or(0));
        if self.confirmed == self.buffer.next() && self.packets_since_ack == 0 && !self.owes_ack {
            self.ack_at = None;
        }
        Some(rtt)
    }

    /// Moves what can be read to `out`, about `max_bytes` of it.
    pub(super) fn read(&mut self, now: Instant, max_bytes: usize, out: &mut VecDeque<Payloads>) -> usize {
        let taken = self.buffer.read(max_bytes, out);
        if taken > 0 {
            self.window_may_open(now);
        }
        taken
    }

    /// The next message.
    pub(super) fn pop_message(&mut self, now: Instant) -> Option<Bytes> {
        let message = self.buffer.pop_message()?;
        self.window_may_open(now);
        Some(message)
    }

    /// Whether there is something to read.
    pub(super) fn is_readable(&self) -> bool {
        self.buffer.is_readable()
    }

    /// The next ACK or NAK that is due at `now`, encoded into `out`; false if there is none.
    pub(super) fn poll_control(
        &mut self,
        now: Instant,
        destination: u32,
        max_words: usize,
        rtt: &RttEstimator,
        out: &mut Vec<u8>,
    ) -> bool {
        if self.ack_at.is_some_and(|at| at <= now)
            && let Some(ack) = self.full_ack(now, rtt)
        {
            let tail = self.tail(now).map(AckTail::encode);
            let tail = tail.as_ref().map_or(&[][..], |tail| &tail[..]);
            Control::Ack(FullAck { tail, ..ack }).encode(0, destination, out);
            return true;
        }
        if std::mem::take(&mut self.wants_light_ack) {
            Control::LightAck { ack_seq: self.seq_of(self.position()) }.encode(0, destination, out);
            self.stats.light_acks_sent_packets += 1;
            return true;
        }
        self.nak_at.is_some_and(|at| at <= now) && self.encode_nak(now, destination, max_words, rtt, out)
    }

    /// When [`poll_control`](Self::poll_control) will have something.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [self.ack_at, self.nak_at].into_iter().flatten().min()
    }

    /// Whether every packet before `final_seq` has arrived, or, without that number, every packet before the highest seen.
    pub(super) fn is_complete(&self, final_seq: Option<Seq>) -> bool {
        match final_seq {
            Some(seq) => self.seq_of(self.buffer.next()) == seq,
            None => self.buffer.next() >= self.highest,
        }
    }

    /// Memory kept alive by what has not been read, in bytes.
    pub(super) fn pinned_bytes(&self) -> usize {
        self.buffer.pinned_bytes()
    }

    /// Packets that the peer may still send, as last advertised.
    pub(super) fn advertised_packets(&self) -> u32 {
        self.advertised_packets
    }

    /// Arrival speed and link capacity as they are reported to the peer.
    pub(super) fn rates(&self) -> AckRates {
        AckRates {
            arrival_speed_packets_per_s: self.arrival.arrival_speed_packets_per_s(),
            link_capacity_packets_per_s: self.arrival.link_capacity_packets_per_s(),
        }
    }

    /// Speed of what arrives, in payload bytes per second.
    pub(super) fn arrival_speed_bytes_per_s(&self) -> u64 {
        self.arrival.arrival_speed_bytes_per_s()
    }

    /// Losses that were reported more than once, in packets.
    pub(super) fn nak_repeats_packets(&self) -> u64 {
        self.missing.repeated_packets()
    }

    fn seq_of(&self, index: u64) -> Seq {
        self.initial_seq.add(index as u32)
    }

    fn count_in_batch(&mut self, run: &Run) {
        self.stats.received_packets += u64::from(run.packets);
        self.stats.received_bytes += run.payload_bytes as u64;
        let summary = &mut self.summary;
        summary.packets += run.packets;
        summary.payload_bytes += run.payload_bytes as u64;
        summary.first.get_or_insert(run.first);
        summary.last = run.first.add(run.packets - 1);
        summary.timestamp_us = run.timestamp_us;
        summary.has_irregular |= run.has_irregular;
    }

    fn arrived(&mut self, now: Instant, index: u64, header: &DataHeader) {
        self.packets_since_ack += 1;
        self.unique_packets += 1;
        if index >= self.highest {
            self.note_gap(index, Found { at: now, stamp_us: header.timestamp_us });
            self.highest = index + 1;
        } else if let Some(found) = self.missing.remove(header.seq)
            && found.stamp_us.wrapping_sub(header.timestamp_us).cast_signed() >= 0
        {
            // It left no later than the packet that showed it missing: it is the original, and was overtaken.
            let late = now.saturating_duration_since(found.at);
            self.summary.late = self.summary.late.max(Some(late));
        }
    }

    /// Everything from the highest packet seen up to `index` has been skipped.
    fn note_gap(&mut self, index: u64, found: Found) {
        if index > self.highest {
            let (first, last) = (self.seq_of(self.highest), self.seq_of(index - 1));
            self.stats.lost_packets += u64::from(self.missing.insert(first, last, found));
            self.highest = index;
        }
    }

    fn schedule_nak(&mut self, now: Instant, rtt: &RttEstimator) {
        let merge = self.last_nak.map_or(now, |last| last + NAK_MERGE);
        self.nak_at = self.missing.next_due(nak_interval(rtt)).map(|due| due.max(merge));
    }

    fn encode_nak(
        &mut self,
        now: Instant,
        destination: u32,
        max_words: usize,
        rtt: &RttEstimator,
        out: &mut Vec<u8>,
    ) -> bool {
        self.due.clear();
        self.missing.due(now, nak_interval(rtt), max_words / 2, &mut self.due);
        self.last_nak = (!self.due.is_empty()).then_some(now).or(self.last_nak);
        self.schedule_nak(now, rtt);
        let ranges = self.due.iter().map(|&(first, last)| LossRange { first, last });
        let written = crate::packet::encode_nak(ranges, max_words, 0, destination, out);
        self.stats.naks_sent_packets += u64::from(written > 0);
        written > 0
    }
}

/// How long a reported loss may take to be repaired before it is reported again.
fn nak_interval(rtt: &RttEstimator) -> Duration {
    (rtt.exp_base() + ACK_INTERVAL).max(NAK_REPEAT_MIN)
}
