//! One allocation of slots, each a header and a payload: filled by a writer, sent as it is.

use std::ops::Range;
use std::time::Instant;

use crate::packet::{HEADER_BYTES, MessagePosition};
use crate::seq::MsgNumber;

/// A run of slots moved out of the send buffer for one system call.
#[derive(Debug)]
pub struct SlabRun {
    pub(super) slab: Slab,
    pub(super) bytes: Range<usize>,
}

impl SlabRun {
    /// The datagrams to send, one after the other; all but the last have the same size.
    pub fn bytes(&self) -> &[u8] {
        &self.slab.bytes[self.bytes.clone()]
    }

    /// The size of the datagrams, in bytes; only the last may be shorter.
    pub(in crate::connection) fn stride(&self) -> usize {
        self.slab.stride
    }

    pub(in crate::connection) fn packets(&self) -> usize {
        self.bytes.len().div_ceil(self.slab.stride)
    }
}

/// Room for payload that a writer has checked out of the send buffer. Fill it without a lock, then commit it.
#[derive(Debug)]
pub struct WriteSlab {
    pub(super) slab: Slab,
}

impl WriteSlab {
    /// Copies as much of `data` as there is room for and says how much that was, in bytes.
    pub fn fill(&mut self, data: &[u8]) -> usize {
        self.slab.fill(data)
    }

    /// Bytes that still fit.
    pub fn room_bytes(&self) -> usize {
        self.slab.room_bytes()
    }
}

/// How the packets of a slab are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framing {
    pub(super) message: MsgNumber,
    pub(super) in_order: bool,
    /// Whether the message began in the slab before, and ends in one after.
    pub(super) continues_before: bool,
    pub(super) continues_after: bool,
    pub(super) expires: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Slab {
    /// The slots, as far as they are filled. It grows within its capacity and never beyond: memory is written once, and not cleared before.
    pub(super) bytes: Vec<u8>,
    /// Header and payload of one slot.
    pub(super) stride: usize,
    /// Payload bytes that it takes: those of all slots, less the byte that a short tail gives up.
    pub(super) capacity: usize,
    /// Payload bytes in it.
    pub(super) filled: usize,
    /// Index of the packet in its first slot; final once the slab is committed.
    pub(super) first: u64,
    pub(super) framing: Framing,
}

impl Slab {
    pub(super) fn payload(&self) -> usize {
        self.stride - HEADER_BYTES
    }

    pub(super) fn room_bytes(&self) -> usize {
        self.capacity - self.filled
    }

    /// Slots with any payload.
    pub(super) fn packets(&self) -> usize {
        self.filled.div_ceil(self.payload())
    }

    pub(super) fn fill(&mut self, data: &[u8]) -> usize {
        let taken = data.len().min(self.room_bytes());
        let payload = self.payload();
        let mut rest = &data[..taken];
        while !rest.is_empty() {
            let offset = self.filled % payload;
            if offset == 0 {
                // Room for the header, which is written when the packet gets its number.
                self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
            }
            let (part, after) = rest.split_at(rest.len().min(payload - offset));
            self.bytes.extend_from_slice(part);
            self.filled += part.len();
            rest = after;
        }
        taken
    }

    /// Takes the last byte back out of a packet that has more than one.
    pub(super) fn take_last_byte(&mut self) -> u8 {
        self.filled -= 1;
        self.bytes.pop().expect("a committed slab is not empty")
    }

    /// Where the datagrams of `count` slots from `slot` on are; at least one of them, and all filled.
    pub(super) fn range(&self, slot: usize, count: usize) -> Range<usize> {
        let last = slot + count - 1;
        let last_payload = self.payload().min(self.filled - last * self.payload());
        slot * self.stride..last * self.stride + HEADER_BYTES + last_payload
    }

    pub(super) fn position(&self, slot: usize) -> MessagePosition {
        let first = slot == 0 && !self.framing.continues_before;
        let last = slot + 1 == self.packets() && !self.framing.continues_after;
        match (first, last) {
            (true, true) => MessagePosition::Solo,
            (true, false) => MessagePosition::First,
            (false, true) => MessagePosition::Last,
            (false, false) => MessagePosition::Middle,
        }
    }
}
