//! The send buffer: a queue of slabs whose slots are UDT packets, ready for segmentation offload.
//!
//! ```text
//!  slab:  | header | payload | header | payload | … | header | short |      up to 44 slots of one size
//! ```
//!
//! UDT fixes the packet size when a connection starts and does not encrypt, so a run of slots *is* what the kernel wants
//! for one segmented send: bytes are copied once, into the slab, and never again but for scattered retransmissions.
//! A writer checks a slab out, fills it without anybody's lock, and commits it. The driver moves a slab out for the time
//! of the system call and then restores it. Packets are named by their index, 0 for the first of the connection.

mod need;
mod slab;

use std::collections::VecDeque;
use std::time::Instant;

pub(super) use need::Need;
pub use need::SendMemory;
pub use slab::{SlabRun, WriteSlab};

use self::need::BUFFERED_BYTES_MIN;
use self::slab::{Framing, Slab};
use crate::datagram::{SEGMENTS_MAX, TRANSMIT_BYTES_MAX};
use crate::packet::{DataHeader, HEADER_BYTES, rewrite_timestamp};
use crate::seq::{MsgNumber, Seq};

/// Freed allocations that are kept for the next slabs, beside those that the need of the sender leaves room for: a steady transfer
/// allocates nothing, also where a gap releases many at once, and its slabs stay in the processor's cache. 16 full ones are as much
/// as [`BUFFERED_BYTES_MIN`]. An idle connection gives all back.
const SPARE_SLABS_MIN: usize = 16;
/// The need of a lossy path rises and falls with each gap; what it was lately stays for so many slabs of the writer.
const KEPT_SLABS: usize = 1 << 14;

/// A writer that waits for room is called when there is so much of it, or a quarter of what it may buffer, or at the next ACK.
const WAKE_BYTES_MIN: usize = BUFFERED_BYTES_MIN / 4;

/// Short tails are at least so many packets apart, however small the window is: libudt acknowledges each of them, and its
/// controller's own first window is as large.
const SHORT_TAIL_EVERY_MIN: usize = 16;

/// Names and addresses of the packets of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering {
    pub(super) initial_seq: Seq,
    pub(super) destination: u32,
}

/// The packets of a message whose time to live has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExpiredMessage {
    pub(super) message: MsgNumber,
    /// Index of its first packet.
    pub(super) first: u64,
    /// Index after its last packet.
    pub(super) end: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct SendBuffer {
    entries: VecDeque<Entry>,
    /// Empty, for full slabs of the size of now.
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    payload_bytes: usize,
    limit_bytes: usize,
    /// What other connections leave to this one.
    share: SendMemory,
    charged_bytes: usize,
    /// What was needed lately: it is forgotten over [`KEPT_SLABS`] slabs.
    kept_bytes: usize,
    /// Whether a writer found no room, and was not called again.
    is_refusing: bool,
    /// Index after the last packet committed.
    end: u64,
    message: MsgNumber,
    /// Whether the last slot of a slab stays one byte short, so that a libudt receiver acknowledges it at once
    /// (specification section 6.1). Deviation 17.
    short_tail: bool,
}

impl SendBuffer {
    pub(super) fn new(payload_bytes: usize, limit_bytes: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            spare: Vec::new(),
            spare_bytes: 0,
            payload_bytes,
            limit_bytes,
            share: SendMemory::MAX,
            charged_bytes: 0,
            kept_bytes: 0,
            is_refusing: false,
            end: 0,
            message: MsgNumber::FIRST,
            short_tail: true,
        }
    }

    /// Later slabs carry this payload; packets that have a number keep their size.
    pub(super) fn set_payload_bytes(&mut self, payload_bytes: usize) {
        self.payload_bytes = payload_bytes;
        self.drop_spare();
        if let Some(tail) = self.entries.back_mut() {
            tail.sealed = true;
        }
    }

    /// What all may buffer together leaves so much to this one; what is buffered already stays.
    pub(super) fn set_share(&mut self, share: SendMemory) {
        self.share = share;
        while self.spare_bytes > share.spare_bytes
            && let Some(spare) = self.spare.pop()
        {
            self.spare_bytes -= spare.capacity();
        }
    }

    /// Whether the peer needs short tails to acknowledge promptly.
    pub(super) fn set_short_tail(&mut self, short_tail: bool) {
        self.short_tail = short_tail;
    }

    /// Room for a writer that wants to add `wanted` bytes (at least 1), or `None` while the buffer is full.
    /// The buffer grows with need, and never beyond its limit.
    pub(super) fn checkout(&mut self, wanted: usize, need: Need) -> Option<WriteSlab> {
        if let Some(slab) = self.take_open_tail() {
            return Some(WriteSlab { slab });
        }
        let limit_bytes = self.limit_bytes.min(need.limit_bytes(self.share));
        self.is_refusing = self.charged_bytes >= limit_bytes;
        self.kept_bytes = self.kept_bytes.max(limit_bytes);
        if self.is_refusing {
            return None;
        }
        self.kept_bytes -= self.kept_bytes / KEPT_SLABS;
        let short_tail = self.short_tail && self.payload_bytes > 1;
        // While packets wait already, a slab gets all its slots, so that small writes fill it up. Deviation 18.
        let wanted = if self.entries.is_empty() { wanted.saturating_add(usize::from(short_tail)) } else { usize::MAX };
        let wanted =
            if short_tail { wanted.min(self.window_slots(need.window_bytes) * self.payload_bytes) } else { wanted };
        let message = self.next_message();
        let framing =
            Framing { message, in_order: false, continues_before: false, continues_after: false, expires: None };
        let mut slab = self.new_slab(wanted, framing);
        slab.capacity -= usize::from(short_tail);
        Some(WriteSlab { slab })
    }

    /// Whether a writer waits for room.
    pub(super) fn is_refusing(&self) -> bool {
        self.is_refusing
    }

    /// Whether a writer who waits can go on, with enough to be worth a wake-up. It is called once.
    pub(super) fn has_room_again(&mut self, need: Need) -> bool {
        let limit_bytes = self.limit_bytes.min(need.limit_bytes(self.share));
        let is_enough = self.charged_bytes + WAKE_BYTES_MIN.min(limit_bytes / 4) <= limit_bytes;
        self.is_refusing &= !is_enough;
        is_enough
    }

    /// Slots of a slab with a short tail: no more than the window holds, so that one of the packets that fill a window is
    /// always acknowledged at once.
    fn window_slots(&self, window_bytes: usize) -> usize {
        (window_bytes / (self.payload_bytes + HEADER_BYTES)).max(SHORT_TAIL_EVERY_MIN)
    }

    /// Takes a filled slab into the queue.
    pub(super) fn commit(&mut self, write: WriteSlab) {
        if write.slab.filled == 0 {
            self.recycle(write.slab.bytes);
        } else {
            self.push(write.slab, false);
        }
    }

    /// Whether a message of this length can be taken now.
    pub(super) fn has_room_for_message(&self, bytes: usize) -> bool {
        let slots = bytes.div_ceil(self.payload_bytes);
        // One message is always taken, so that a share however small does not keep it back for ever.
        let limit_bytes =
            if self.entries.is_empty() { self.limit_bytes } else { self.limit_bytes.min(self.share.held_bytes) };
        self.charged_bytes + slots * (self.payload_bytes + HEADER_BYTES) <= limit_bytes
    }

    /// The longest message that the buffer can ever take.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.limit_bytes / (self.payload_bytes + HEADER_BYTES) * self.payload_bytes
    }

    /// Appends one message; the caller has asked [`has_room_for_message`](Self::has_room_for_message).
    pub(super) fn push_message(&mut self, mut data: &[u8], expires: Option<Instant>, in_order: bool) {
        let message = self.next_message();
        let mut continues_before = false;
        while !data.is_empty() {
            let framing = Framing { message, in_order, continues_before, continues_after: false, expires };
            let mut slab = self.new_slab(data.len(), framing);
            data = &data[slab.fill(data)..];
            slab.framing.continues_after = !data.is_empty();
            self.push(slab, true);
            continues_before = true;
        }
    }

    /// Index after the last packet in the buffer.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether nothing is buffered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Memory in bytes, that which is kept for the next slabs included.
    pub(super) fn held_bytes(&self) -> usize {
        self.charged_bytes + self.spare_bytes
    }

    /// Memory that is kept for the next slabs, in bytes.
    pub(super) fn spare_bytes(&self) -> usize {
        self.spare_bytes
    }

    /// Memory in use, in bytes.
    pub(super) fn charged_bytes(&self) -> usize {
        self.charged_bytes
    }

    /// Bytes that a writer may still add before it has to wait for acknowledgements.
    pub(super) fn available_bytes(&self) -> usize {
        self.limit_bytes.saturating_sub(self.charged_bytes)
    }

    /// Moves up to `count` new packets out, from packet `first` on: a run within one slab, headers written.
    /// Seals that slab. `None` if there is no such packet.
    pub(super) fn take_run(&mut self, first: u64, count: usize, stamp: u32, numbering: Numbering) -> Option<SlabRun> {
        self.shorten_tail(first);
        let entry = self.find(first)?;
        entry.sealed = true;
        let mut slab = entry.slab.take()?;
        let slot = (first - slab.first) as usize;
        let count = count.min(slab.packets() - slot);
        for slot in slot..slot + count {
            let header = DataHeader {
                seq: numbering.initial_seq.add((slab.first + slot as u64) as u32),
                position: slab.position(slot),
                in_order: slab.framing.in_order,
                message: slab.framing.message,
                timestamp_us: stamp,
                destination: numbering.destination,
            };
            header.encode(&mut slab.bytes[slot * slab.stride..]);
        }
        let bytes = slab.range(slot, count);
        Some(SlabRun { slab, bytes })
    }

    /// Puts back what [`take_run`](Self::take_run) moved out.
    pub(super) fn restore(&mut self, run: SlabRun) {
        if let Some(entry) = self.find(run.slab.first)
            && entry.slab.is_none()
        {
            entry.slab = Some(run.slab);
        }
    }

    /// Appends the datagram of packet `index` to `out` with a new time stamp: a copy, for retransmissions.
    pub(super) fn copy_packet(&mut self, index: u64, stamp: u32, out: &mut Vec<u8>) {
        if let Some(slab) = self.find(index).and_then(|entry| entry.slab.as_mut()) {
            let range = slab.range((index - slab.first) as usize, 1);
            let datagram = &mut slab.bytes[range];
            rewrite_timestamp(datagram, stamp);
            out.extend_from_slice(datagram);
        }
    }

    /// The size of the datagram of packet `index` in bytes, if it is there.
    pub(super) fn packet_bytes(&self, index: u64) -> Option<usize> {
        let slab = self.entries.get(self.position(index))?.slab.as_ref()?;
        Some(slab.range((index - slab.first) as usize, 1).len())
    }

    /// The message of packet `index`, if its time to live has run out.
    pub(super) fn expired_message(&self, index: u64, now: Instant) -> Option<ExpiredMessage> {
        let at = self.position(index);
        let framing = self.entries.get(at)?.framing;
        if framing.expires.is_none_or(|expires| now < expires) {
            return None;
        }
        let same = |entry: &&Entry| entry.framing.message == framing.message;
        let before = self.entries.range(..at).rev().take_while(same).last();
        let after = self.entries.range(at..).take_while(same).last();
        let first = before.map_or(self.entries[at].first, |entry| entry.first);
        let end = after.map_or(self.entries[at].end, |entry| entry.end);
        Some(ExpiredMessage { message: framing.message, first, end })
    }

    /// Releases the slabs whose packets all come before `index`.
    pub(super) fn release_before(&mut self, index: u64) {
        while let Some(entry) = self.entries.pop_front() {
            match entry.slab {
                Some(slab) if entry.end <= index => {
                    self.charged_bytes -= slab.bytes.capacity();
                    self.recycle(slab.bytes);
                }
                slab => {
                    self.entries.push_front(Entry { slab, ..entry });
                    return;
                }
            }
        }
    }

    /// Gives memory back that only a transfer needs.
    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.drop_spare();
        self.kept_bytes = 0;
    }

    fn drop_spare(&mut self) {
        self.spare = Vec::new();
        self.spare_bytes = 0;
    }

    /// If the stream ends for now with a full packet, in the slab of packet `index` whose turn it is to be numbered, then
    /// the last byte moves into a packet of its own.
    fn shorten_tail(&mut self, index: u64) {
        if !self.short_tail || self.payload_bytes < 2 {
            return;
        }
        let Some(Entry { first, sealed: false, slab: Some(slab), framing, .. }) = self.entries.back_mut() else {
            return;
        };
        if *first > index || !slab.filled.is_multiple_of(slab.payload()) {
            return;
        }
        let (last_byte, framing) = (slab.take_last_byte(), *framing);
        let message = self.next_message();
        let mut tail = self.new_slab(1, Framing { message, ..framing });
        tail.fill(&[last_byte]);
        self.push(tail, false);
    }

    fn next_message(&mut self) -> MsgNumber {
        let message = self.message;
        self.message = message.next();
        message
    }

    /// The last slab, taken out of the queue to be filled further, if none of its packets has a number yet.
    fn take_open_tail(&mut self) -> Option<Slab> {
        let tail = self.entries.back()?;
        if tail.sealed || tail.slab.as_ref().is_none_or(|slab| slab.room_bytes() == 0) {
            return None;
        }
        let slab = self.entries.pop_back()?.slab?;
        self.charged_bytes -= slab.bytes.capacity();
        self.end = slab.first;
        Some(slab)
    }

    /// A slab for `wanted` bytes, or for as many of them as one slab takes.
    fn new_slab(&mut self, wanted: usize, framing: Framing) -> Slab {
        let stride = self.payload_bytes + HEADER_BYTES;
        let slots = wanted.div_ceil(self.payload_bytes).clamp(1, self.slots_max());
        let spare = if slots == self.slots_max() { self.spare.pop() } else { None };
        self.spare_bytes -= spare.as_ref().map_or(0, Vec::capacity);
        let bytes = spare.unwrap_or_else(|| Vec::with_capacity(slots * stride));
        Slab { bytes, stride, capacity: slots * self.payload_bytes, filled: 0, first: 0, framing }
    }

    fn push(&mut self, mut slab: Slab, sealed: bool) {
        slab.first = self.end;
        self.charged_bytes += slab.bytes.capacity();
        self.end = slab.first + slab.packets() as u64;
        let (first, end, framing) = (slab.first, self.end, slab.framing);
        self.entries.push_back(Entry { first, end, framing, sealed, slab: Some(slab) });
    }

    fn slots_max(&self) -> usize {
        (TRANSMIT_BYTES_MAX / (self.payload_bytes + HEADER_BYTES)).clamp(1, SEGMENTS_MAX)
    }

    /// Keeps full slabs: small ones are cheap to allocate, and would only be in their way.
    fn recycle(&mut self, mut bytes: Vec<u8>) {
        let freed_bytes = bytes.capacity();
        let is_full = freed_bytes >= self.slots_max() * (self.payload_bytes + HEADER_BYTES);
        let is_needed = self.spare.len() < SPARE_SLABS_MIN || self.held_bytes() + freed_bytes <= self.kept_bytes;
        if is_full && is_needed && self.spare_bytes + freed_bytes <= self.share.spare_bytes {
            bytes.clear();
            self.spare_bytes += freed_bytes;
            self.spare.push(bytes);
        }
    }

    fn position(&self, index: u64) -> usize {
        self.entries.partition_point(|entry| entry.end <= index)
    }

    fn find(&mut self, index: u64) -> Option<&mut Entry> {
        let at = self.position(index);
        self.entries.get_mut(at).filter(|entry| entry.first <= index)
    }
}

/// A slab in the queue, or the gap that it left while the driver sends it.
#[derive(Debug)]
struct Entry {
    first: u64,
    end: u64,
    framing: Framing,
    /// No byte may be added: its packets have been numbered, or belong to a message.
    sealed: bool,
    slab: Option<Slab>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::packet::Packet;

    const NUMBERING: Numbering = Numbering { initial_seq: Seq::new(0x7FFF_FFFF), destination: 9 };

    fn window(window_bytes: usize) -> Need {
        Need { window_bytes, held_bytes: 1 << 30, ..Need::default() }
    }

    fn write(buffer: &mut SendBuffer, data: &[u8]) -> usize {
        let mut slab = buffer.checkout(data.len(), Need::default()).expect("room");
        let taken = slab.fill(data);
        buffer.commit(slab);
        taken
    }

    fn payloads(run: &SlabRun) -> Vec<(u32, Vec<u8>)> {
        let decode = |datagram| match Packet::decode(datagram).expect("a packet") {
            Packet::Data(data) => (data.header.seq.value(), data.payload.to_vec()),
            Packet::Control(_) => panic!("the send buffer holds data"),
        };
        run.bytes().chunks(run.stride()).map(decode).collect()
    }

    #[test]
    fn a_run_of_slots_is_a_run_of_datagrams() {
        let mut buffer = SendBuffer::new(4, 1 << 20);
        buffer.set_short_tail(false);
        assert_eq!(write(&mut buffer, b"abcdefghij"), 10);
        let run = buffer.take_run(0, 44, 7, NUMBERING).expect("packets");
        let expected = [(0x7FFF_FFFF, b"abcd".to_vec()), (0, b"efgh".to_vec()), (1, b"ij".to_vec())];
        assert_eq!(payloads(&run), expected);
        buffer.restore(run);
        buffer.release_before(2);
        assert!(!buffer.is_empty());
        buffer.release_before(3);
        assert!(buffer.is_empty());
        assert_eq!(buffer.charged_bytes(), 0);
    }

    #[test]
    fn small_writes_share_a_packet_until_it_is_numbered() {
        let mut buffer = SendBuffer::new(100, 1 << 20);
        write(&mut buffer, b"one");
        write(&mut buffer, b"two");
        assert_eq!(buffer.end(), 1);
        let run = buffer.take_run(0, 44, 0, NUMBERING).expect("a packet");
        write(&mut buffer, b"three");
        buffer.restore(run);
        assert_eq!(buffer.end(), 2);
    }

    #[test]
    fn a_short_tail_makes_a_libudt_receiver_acknowledge() {
        let mut buffer = SendBuffer::new(1456, 1 << 20);
        // The whole window takes 16 packets, so the last of those is the one that has to be acknowledged.
        assert_eq!(write(&mut buffer, &vec![1; 100_000]), 16 * 1456 - 1);
        assert_eq!(buffer.packet_bytes(15), Some(16 + 1455));
        let mut slab = buffer.checkout(100_000, window(1 << 20)).expect("room");
        assert_eq!(slab.fill(&vec![1; 100_000]), 44 * 1456 - 1);
        buffer.commit(slab);
        // A write that fills its packets exactly leaves no full-sized tail either, once it is sent.
        assert_eq!(write(&mut buffer, &[1; 1456]), 1456);
        assert_eq!(buffer.end(), 61);
        let run = buffer.take_run(60, 44, 0, NUMBERING).expect("a packet");
        assert_eq!((run.bytes().len(), buffer.end()), (16 + 1455, 62));
    }

    #[test]
    fn the_limit_holds_and_grows_with_the_window() {
        let mut buffer = SendBuffer::new(1456, 64 << 20);
        let data = vec![1; 1 << 16];
        while let Some(mut slab) = buffer.checkout(data.len(), Need::default()) {
            slab.fill(&data);
            buffer.commit(slab);
        }
        assert!(buffer.charged_bytes() < BUFFERED_BYTES_MIN + TRANSMIT_BYTES_MAX);
        let fast = Need { paced_bytes: 4 << 20, ..Need::default() };
        assert!(buffer.checkout(1, fast).is_some(), "at a high pace, too");
        assert!(buffer.checkout(1, window(4 << 20)).is_some());
    }

    #[test]
    fn a_long_message_spans_slabs_and_expires_as_a_whole() {
        let now = crate::tests::epoch();
        let mut buffer = SendBuffer::new(1456, 1 << 20);
        buffer.push_message(&[1; 10], None, true);
        buffer.push_message(&vec![2; 100 * 1456], Some(now + Duration::from_millis(5)), true);
        buffer.push_message(&[3; 10], None, true);
        assert_eq!(buffer.expired_message(50, now), None);
        let expired = buffer.expired_message(50, now + Duration::from_millis(5)).expect("its time has run out");
        assert_eq!((expired.message.value(), expired.first, expired.end), (2, 1, 101));
        assert_eq!(buffer.take_run(1, 44, 0, NUMBERING).expect("packets").packets(), 44);
    }
}
