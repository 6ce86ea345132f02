//! The receive buffer: packets wait here for the gaps before them, then for the application.
//!
//! Packets are named by their index, 0 for the peer's first. A packet is kept as a slice of the batch that it came in,
//! without a copy, and charged its share of the memory that the slice pins; where that would be more than twice its
//! length it is copied into storage of its own instead. So the limit bounds memory, not payload. Deviation 37. Packets of a
//! stream that follow each other in their batch are one slice.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};

use super::message_buffer::MessageBuffer;
use super::payloads::Payloads;
use crate::config::SocketType;
use crate::datagram::Batch;
use crate::packet::{HEADER_BYTES, MessagePosition};
use crate::seq::MsgNumber;

/// What keeping one packet costs beside its bytes: the slot in the ring, the handle and the allocator's share.
pub(crate) const PACKET_OVERHEAD_BYTES: usize = 96;

/// The window that a full buffer still advertises, as libudt does (specification section 4.6): the sender's probe.
pub(super) const WINDOW_PACKETS_MIN: u32 = 2;

/// One packet's payload and what it costs to keep it.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) payload: Bytes,
    pub(super) charge_bytes: usize,
    pub(super) position: MessagePosition,
    pub(super) in_order: bool,
    pub(super) message: MsgNumber,
}

impl Segment {
    /// Copies the payload out of the batch that it pins, if that saves anything; says how many bytes it did.
    pub(super) fn compact(&mut self) -> usize {
        let compact_bytes = self.payload.len() + PACKET_OVERHEAD_BYTES;
        let saved_bytes = self.charge_bytes.saturating_sub(compact_bytes);
        if saved_bytes > 0 {
            self.payload = Bytes::copy_from_slice(&self.payload);
            self.charge_bytes = compact_bytes;
        }
        saved_bytes
    }
}

/// How the payloads of one batch are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping {
    /// Pinned bytes per byte of the batch in 1/256, or `None` when packets are copied out of it.
    pinned_per_byte: Option<usize>,
}

impl Keeping {
    /// Slices are kept if the batch fills at least half of the memory that it pins.
    pub(super) fn of(batch: &Batch) -> Self {
        let (used, pinned) = (batch.contents.len().max(1), batch.capacity_bytes);
        Self { pinned_per_byte: (used * 2 >= pinned).then(|| pinned.saturating_mul(256).div_ceil(used)) }
    }

    /// The payload to keep, and what it is charged.
    pub(super) fn keep(self, payload: Bytes) -> (Bytes, usize) {
        let charge_bytes = self.charge_bytes(payload.len());
        match self.pinned_per_byte {
            Some(_) => (payload, charge_bytes),
            None => (Bytes::copy_from_slice(&payload), charge_bytes),
        }
    }

    /// The payloads to keep; each is charged as if it came alone.
    pub(super) fn keep_run(self, payloads: Payloads) -> Payloads {
        if self.pinned_per_byte.is_some() { payloads } else { payloads.copied() }
    }

    /// What a payload of so many bytes is charged.
    pub(super) fn charge_bytes(self, length: usize) -> usize {
        let pinned_bytes = self.pinned_per_byte.map_or(length, |factor| (length + HEADER_BYTES) * factor / 256);
        pinned_bytes + PACKET_OVERHEAD_BYTES
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inserted {
    /// It was not here before.
    New,
    /// It was.
    Duplicate,
    /// It lies beyond the window, or the memory is used up; it will have to come again.
    NoRoom,
}

/// See the module.
#[derive(Debug)]
pub(super) struct ReceiveBuffer {
    kind: Kind,
    pinned_bytes: usize,
    limit_bytes: usize,
    /// What the handshake announced, and what of it is offered now.
    window_packets: u32,
    offered_packets: u32,
    payload_bytes: usize,
}

#[derive(Debug)]
enum Kind {
    Stream(StreamBuffer),
    Messages(MessageBuffer),
}

impl ReceiveBuffer {
    /// A buffer of `limit_bytes` for a peer that was told of a window of `window_packets`.
    pub(super) fn new(socket_type: SocketType, limit_bytes: usize, window_packets: u32, payload_bytes: usize) -> Self {
        let kind = match socket_type {
            SocketType::Stream => Kind::Stream(StreamBuffer::default()),
            SocketType::Datagram => Kind::Messages(MessageBuffer::default()),
        };
        Self { kind, pinned_bytes: 0, limit_bytes, window_packets, offered_packets: window_packets, payload_bytes }
    }

    /// Index of the first packet that has not arrived.
    pub(super) fn next(&self) -> u64 {
        match &self.kind {
            Kind::Stream(stream) => stream.next,
            Kind::Messages(messages) => messages.next(),
        }
    }

    /// Takes in packet `index`.
    pub(super) fn insert(&mut self, index: u64, mut segment: Segment) -> Inserted {
        if index >= self.oldest() + u64::from(self.window_packets) {
            return Inserted::NoRoom;
        }
        // Before the question of room: what is here is not missing.
        if self.contains(index) {
            return Inserted::Duplicate;
        }
        if self.pinned_bytes + segment.charge_bytes > self.limit_bytes && !self.makes_exception_for(index, &mut segment)
        {
            return Inserted::NoRoom;
        }
        let charge = segment.charge_bytes;
        match &mut self.kind {
            Kind::Stream(stream) => stream.insert(index, segment),
            Kind::Messages(messages) => messages.insert(index, segment),
        }
        self.pinned_bytes += charge;
        self.collect_freed();
        Inserted::New
    }

    /// What a run of packets may be charged that comes next, behind all that have been seen, `highest` of them: nothing while one is
    /// missing, and for messages, which are put together packet by packet.
    pub(super) fn room_for_run(&self, highest: u64) -> usize {
        match &self.kind {
            Kind::Stream(stream) if stream.next == highest => self.limit_bytes.saturating_sub(self.pinned_bytes),
            _ => 0,
        }
    }

    /// Takes in the next packets of a stream, for which there is [room](Self::room_for_run).
    pub(super) fn append(&mut self, payloads: Payloads, packets: u64, charge_bytes: usize) {
        if let Kind::Stream(stream) = &mut self.kind {
            stream.ready.push_back((payloads, charge_bytes));
            stream.next += packets;
            self.pinned_bytes += charge_bytes;
        }
    }

    /// The peer won't send the packets `first ..= last` of a message again; those that are missing count as arrived.
    pub(super) fn drop_message(&mut self, message: MsgNumber, first: u64, last: u64) {
        if let Kind::Messages(messages) = &mut self.kind {
            let last = last.min(messages.next() + u64::from(self.window_packets));
            messages.drop_message(message, first, last);
            self.collect_freed();
        }
    }

    /// Moves at least what was taken in as one, and about `max_bytes` in all, to `out`; says how many bytes that were.
    pub(super) fn read(&mut self, max_bytes: usize, out: &mut VecDeque<Payloads>) -> usize {
        let Kind::Stream(stream) = &mut self.kind else { return 0 };
        let mut taken = 0;
        while taken < max_bytes
            && let Some((payloads, charge)) = stream.ready.pop_front()
        {
            taken += payloads.remaining();
            self.pinned_bytes -= charge;
            out.push_back(payloads);
        }
        taken
    }

    /// The next message.
    pub(super) fn pop_message(&mut self) -> Option<Bytes> {
        let Kind::Messages(messages) = &mut self.kind else { return None };
        let (message, charge) = messages.pop()?;
        self.pinned_bytes -= charge;
        Some(message)
    }

    /// Whether messages are received rather than a stream.
    pub(super) fn holds_messages(&self) -> bool {
        matches!(self.kind, Kind::Messages(_))
    }

    /// Whether the application would get something.
    pub(super) fn is_readable(&self) -> bool {
        match &self.kind {
            Kind::Stream(stream) => !stream.ready.is_empty(),
            Kind::Messages(messages) => messages.is_readable(),
        }
    }

    /// Packets that the peer may send beyond [`next`](Self::next): what is offered, less what waits for the reader.
    pub(super) fn available_packets(&self) -> u32 {
        let charge_bytes = self.packet_charge_bytes();
        let limit_bytes = self.limit_bytes.min(self.offered_packets as usize * charge_bytes);
        let free = limit_bytes.saturating_sub(self.waiting_bytes()) / charge_bytes;
        u32::try_from(free).unwrap_or(u32::MAX).max(WINDOW_PACKETS_MIN)
    }

    /// Packets that wait for the reader, as far as they count against the window.
    pub(super) fn waiting_packets(&self) -> u64 {
        (self.waiting_bytes() / self.packet_charge_bytes()) as u64
    }

    /// Lets the peer be so many packets ahead of the reader, but no more than it was told in the handshake.
    pub(super) fn offer(&mut self, packets: u32) {
        self.offered_packets = packets.min(self.window_packets);
    }

    /// What a full packet is charged, at least.
    pub(super) fn packet_charge_bytes(&self) -> usize {
        self.payload_bytes + PACKET_OVERHEAD_BYTES
    }

    /// Memory that the buffered packets keep alive, in bytes.
    pub(super) fn pinned_bytes(&self) -> usize {
        self.pinned_bytes
    }

    /// Gives memory back that nothing needs now.
    pub(super) fn shrink(&mut self) {
        if let Kind::Stream(stream) = &mut self.kind {
            stream.ready.shrink_to_fit();
            stream.ring.shrink_to_fit();
        }
    }

    /// Changes the limit; what is buffered already stays.
    pub(super) fn set_limit_bytes(&mut self, limit_bytes: usize) {
        self.limit_bytes = limit_bytes;
    }

    /// What waits behind a gap of a stream lies within the window that is advertised.
    fn waiting_bytes(&self) -> usize {
        match &self.kind {
            Kind::Stream(stream) => self.pinned_bytes - stream.gapped_bytes,
            Kind::Messages(_) => self.pinned_bytes,
        }
    }

    /// Whether packet `index` is here, or was.
    fn contains(&self, index: u64) -> bool {
        match &self.kind {
            Kind::Stream(stream) => stream.contains(index),
            Kind::Messages(messages) => messages.contains(index),
        }
    }

    /// Index of the oldest packet that takes up room in the ring, or is missing there.
    fn oldest(&self) -> u64 {
        match &self.kind {
            Kind::Stream(stream) => stream.next,
            Kind::Messages(messages) => messages.oldest(),
        }
    }

    /// Whether a packet gets in although the memory is used up: the one that everything waits for, if the application can't
    /// make room by reading. Otherwise a buffer full of later packets could never drain.
    fn makes_exception_for(&mut self, index: u64, segment: &mut Segment) -> bool {
        if index != self.next() || self.is_readable() {
            return false;
        }
        if let Kind::Messages(messages) = &mut self.kind {
            // Any message within the announced window fits once no packet pins more than itself.
            self.pinned_bytes -= messages.compact();
            segment.compact();
            if self.pinned_bytes + segment.charge_bytes > self.limit_bytes {
                // One that is larger than the buffer can never become whole. Deviation 45.
                messages.discard_oldest();
                self.collect_freed();
            }
        }
        true
    }

    fn collect_freed(&mut self) {
        if let Kind::Messages(messages) = &mut self.kind {
            self.pinned_bytes -= messages.take_freed_bytes();
        }
    }
}

/// In-order payloads, and a ring of those behind a gap.
#[derive(Debug, Default)]
struct StreamBuffer {
    next: u64,
    ready: VecDeque<(Payloads, usize)>,
    /// Packets from `next` on; the first one is always missing.
    ring: VecDeque<Option<(Bytes, usize)>>,
    gapped_bytes: usize,
}

impl StreamBuffer {
    fn contains(&self, index: u64) -> bool {
        let Some(offset) = index.checked_sub(self.next) else { return true };
        self.ring.get(offset as usize).is_some_and(Option::is_some)
    }

    fn insert(&mut self, index: u64, segment: Segment) {
        let offset = (index - self.next) as usize;
        let entry = (segment.payload, segment.charge_bytes);
        if offset == 0 {
            // Readable at once, not only when a full ACK has covered it (deviation 38).
            self.ready.push_back((entry.0.into(), entry.1));
            return self.advance();
        }
        if self.ring.len() <= offset {
            self.ring.resize(offset + 1, None);
        }
        self.gapped_bytes += entry.1;
        self.ring[offset] = Some(entry);
    }

    /// Packet `next` is in; so may be those behind it.
    fn advance(&mut self) {
        self.next += 1;
        self.ring.pop_front();
        while let Some(Some(_)) = self.ring.front() {
            let entry = self.ring.pop_front().flatten().expect("front() has just seen it");
            self.gapped_bytes -= entry.1;
            self.ready.push_back((entry.0.into(), entry.1));
            self.next += 1;
        }
        if self.ring.is_empty() && self.ring.capacity() > 1024 {
            self.ring.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::*;

    fn segment(payload: &'static [u8]) -> Segment {
        Segment {
            payload: Bytes::from_static(payload),
            charge_bytes: payload.len() + PACKET_OVERHEAD_BYTES,
            position: MessagePosition::Solo,
            in_order: false,
            message: MsgNumber::FIRST,
        }
    }

    fn read(buffer: &mut ReceiveBuffer) -> Vec<u8> {
        let (mut out, mut all) = (VecDeque::new(), Vec::new());
        buffer.read(usize::MAX, &mut out);
        out.into_iter().for_each(|payloads| all.put(payloads));
        all
    }

    #[test]
    fn gaps_hold_back_what_comes_after_them() {
        let mut buffer = ReceiveBuffer::new(SocketType::Stream, 1 << 20, 100, 1456);
        assert_eq!(buffer.insert(2, segment(b"c")), Inserted::New);
        assert_eq!(buffer.insert(1, segment(b"b")), Inserted::New);
        assert_eq!(buffer.insert(2, segment(b"c")), Inserted::Duplicate);
        assert!(!buffer.is_readable());
        assert_eq!(buffer.insert(0, segment(b"a")), Inserted::New);
        assert_eq!(buffer.insert(0, segment(b"a")), Inserted::Duplicate);
        assert_eq!((read(&mut buffer), buffer.next(), buffer.pinned_bytes()), (b"abc".to_vec(), 3, 0));
        assert_eq!(buffer.insert(103, segment(b"x")), Inserted::NoRoom);
    }

    /// Section 6 of the requirement: one-byte packets behind a gap stay under the configured bytes.
    #[test]
    fn one_byte_packets_behind_a_gap_stay_under_the_limit() {
        let limit = 256 << 10;
        let mut buffer = ReceiveBuffer::new(SocketType::Stream, limit, 65_536, 1456);
        let mut real_bytes = 0;
        for index in 1..60_000 {
            // Each comes alone in a 64 KiB buffer, which a slice would keep alive.
            let contents = Bytes::from(vec![0; 17]);
            let batch = Batch {
                contents,
                stride: 17,
                capacity_bytes: 1 << 16,
                arrived: crate::tests::epoch(),
                is_stamped: false,
            };
            let (payload, charge_bytes) = Keeping::of(&batch).keep(batch.contents.slice(16..));
            real_bytes += payload.len();
            if buffer.insert(index, Segment { payload, charge_bytes, ..segment(b"") }) == Inserted::NoRoom {
                break;
            }
        }
        assert!(buffer.pinned_bytes() <= limit && real_bytes < limit);
        assert_eq!(buffer.insert(0, segment(b"a")), Inserted::New, "the missing packet gets in though all is full");
    }

    #[test]
    fn a_batch_that_fills_its_buffer_is_kept_without_a_copy_and_charged_in_full() {
        let contents = Bytes::from(vec![7; 40_000]);
        let batch = Batch {
            contents,
            stride: 1000,
            capacity_bytes: 1 << 16,
            arrived: crate::tests::epoch(),
            is_stamped: false,
        };
        let keeping = Keeping::of(&batch);
        let kept: Vec<_> = batch.segments().map(|segment| keeping.keep(segment.slice(16..))).collect();
        assert_eq!(kept[1].0.as_ptr() as usize - kept[0].0.as_ptr() as usize, 1000);
        let charged: usize = kept.iter().map(|(_, charge)| charge - PACKET_OVERHEAD_BYTES).sum();
        assert!((65_000..66_500).contains(&charged), "{charged}");
    }

    /// Each packet pins a buffer that it fills to two thirds, so they seem to need more than there is.
    #[test]
    fn a_message_of_the_whole_window_fits_whatever_its_packets_pin() {
        let mut buffer = ReceiveBuffer::new(SocketType::Datagram, 36 * (1456 + PACKET_OVERHEAD_BYTES), 36, 1456);
        let (payload, charge_bytes) = (Bytes::from(vec![7; 1456]), 2144);
        for index in 0..36 {
            let position = MessagePosition::of(index, 36);
            let segment = Segment { payload: payload.clone(), charge_bytes, position, ..segment(b"") };
            assert_eq!(buffer.insert(index as u64, segment), Inserted::New);
        }
        assert_eq!(buffer.pop_message().map(|message| message.len()), Some(36 * 1456));
        assert_eq!(buffer.pinned_bytes(), 0);
    }

    #[test]
    fn a_full_buffer_advertises_what_libudt_would() {
        let mut buffer = ReceiveBuffer::new(SocketType::Stream, 48 << 10, 32, 1456);
        assert_eq!(buffer.available_packets(), 31);
        for index in 0..40 {
            let charge_bytes = 1456 + PACKET_OVERHEAD_BYTES;
            buffer.insert(index, Segment { charge_bytes, ..segment(b"x") });
        }
        assert_eq!(buffer.available_packets(), WINDOW_PACKETS_MIN);
    }
}
