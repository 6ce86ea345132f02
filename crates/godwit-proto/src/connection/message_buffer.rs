//! Receiving messages: packets wait until their message is whole, and ordered messages until all before them are done.
//!
//! Source: specification sections 1.2, 3.6 and 4.7. Partial messages are never delivered. Deviation 44.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::receive_buffer::Segment;
use crate::packet::MessagePosition;
use crate::seq::MsgNumber;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct MessageBuffer {
    /// Index of the first packet that is neither delivered nor dropped: the front of the ring.
    tail: u64,
    /// Packets in the ring, from its front, that are all there.
    contiguous: usize,
    ring: VecDeque<Slot>,
    /// What is known of the messages that are not whole yet, by message number.
    partial: BTreeMap<u32, Partial>,
    ready: VecDeque<(Bytes, usize)>,
    freed_bytes: usize,
}

#[derive(Debug, Clone)]
enum Slot {
    Missing,
    Present(Segment),
    /// Delivered or dropped.
    Done,
}

#[derive(Debug, Default, Clone, Copy)]
struct Partial {
    first: Option<u64>,
    last: Option<u64>,
    packets: u64,
}

impl Partial {
    fn is_whole(&self) -> bool {
        matches!((self.first, self.last), (Some(first), Some(last)) if last >= first && self.packets == last - first + 1)
    }
}

impl MessageBuffer {
    /// Index of the first packet that has not arrived.
    pub(super) fn next(&self) -> u64 {
        self.tail + self.contiguous as u64
    }

    /// Index of the oldest packet that is neither delivered nor dropped.
    pub(super) fn oldest(&self) -> u64 {
        self.tail
    }

    /// Throws away what has arrived of the oldest message.
    pub(super) fn discard_oldest(&mut self) {
        let Some(Slot::Present(front)) = self.ring.front() else { return };
        let message = front.message;
        for offset in 0..self.contiguous {
            match &self.ring[offset] {
                Slot::Present(segment) if segment.message == message => self.discard(offset),
                _ => break,
            }
        }
        self.advance();
    }

    /// Copies what pins more memory than its own; says how many bytes that saved.
    pub(super) fn compact(&mut self) -> usize {
        let compact = |slot: &mut Slot| match slot {
            Slot::Present(segment) => segment.compact(),
            Slot::Missing | Slot::Done => 0,
        };
        self.ring.iter_mut().map(compact).sum()
    }

    /// Whether a whole message waits.
    pub(super) fn is_readable(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next message and what it was charged.
    pub(super) fn pop(&mut self) -> Option<(Bytes, usize)> {
        self.ready.pop_front()
    }

    /// Whether packet `index` is here, or was, or won't come.
    pub(super) fn contains(&self, index: u64) -> bool {
        let Some(offset) = index.checked_sub(self.tail) else { return true };
        self.ring.get(offset as usize).is_some_and(|slot| !matches!(slot, Slot::Missing))
    }

    /// Takes in packet `index`, which is not [contained](Self::contains). The caller bounds how far it may lie ahead.
    pub(super) fn insert(&mut self, index: u64, segment: Segment) {
        let offset = (index - self.tail) as usize;
        if self.ring.len() <= offset {
            self.ring.resize(offset + 1, Slot::Missing);
        }
        let partial = self.partial.entry(segment.message.value()).or_default();
        partial.packets += 1;
        if matches!(segment.position, MessagePosition::First | MessagePosition::Solo) {
            partial.first = Some(index);
        }
        if matches!(segment.position, MessagePosition::Last | MessagePosition::Solo) {
            partial.last = Some(index);
        }
        let whole = (partial.is_whole() && !segment.in_order).then_some(*partial);
        self.ring[offset] = Slot::Present(segment);
        if let Some(whole) = whole {
            self.deliver(whole);
        }
        self.advance();
    }

    /// Marks the packets `first ..= last` of `message` that are missing or present as never to be delivered. The caller
    /// bounds how far `last` may lie ahead.
    pub(super) fn drop_message(&mut self, message: MsgNumber, first: u64, last: u64) {
        for index in first.max(self.tail)..=last {
            let offset = (index - self.tail) as usize;
            if self.ring.len() <= offset {
                self.ring.resize(offset + 1, Slot::Missing);
            }
            match &self.ring[offset] {
                Slot::Present(segment) if segment.message == message => self.discard(offset),
                // A 4.11 sender names one packet too many: the first of the next message (pitfall 23).
                Slot::Present(_) | Slot::Done => {}
                Slot::Missing => self.ring[offset] = Slot::Done,
            }
        }
        self.advance();
    }

    /// Bytes charged to packets that were thrown away since the last call.
    pub(super) fn take_freed_bytes(&mut self) -> usize {
        std::mem::take(&mut self.freed_bytes)
    }

    /// Counts what has become contiguous and delivers the ordered messages at the front that are whole.
    fn advance(&mut self) {
        while self.ring.get(self.contiguous).is_some_and(|slot| !matches!(slot, Slot::Missing)) {
            self.contiguous += 1;
        }
        while let Some(front) = self.ring.front() {
            match front {
                Slot::Missing => return,
                Slot::Done => {
                    self.ring.pop_front();
                    self.tail += 1;
                    self.contiguous -= 1;
                }
                Slot::Present(segment) => match self.partial.get(&segment.message.value()) {
                    Some(partial) if partial.is_whole() => self.deliver(*partial),
                    _ if self.front_can_complete() => return,
                    _ => self.discard(0),
                },
            }
        }
    }

    /// Whether the message at the front can still become whole: it began there, and what has arrived last before the next
    /// gap is part of it. A peer that starts a message without finishing the one before would otherwise block us for ever.
    fn front_can_complete(&self) -> bool {
        match (&self.ring[0], &self.ring[self.contiguous - 1]) {
            (Slot::Present(front), Slot::Present(newest)) => {
                front.position == MessagePosition::First && newest.message == front.message
            }
            _ => false,
        }
    }

    fn discard(&mut self, offset: usize) {
        if let Slot::Present(segment) = std::mem::replace(&mut self.ring[offset], Slot::Done) {
            self.freed_bytes += segment.charge_bytes;
            self.partial.remove(&segment.message.value());
        }
    }

    /// Joins the packets of a whole message, or throws them away if a packet of another message is among them.
    fn deliver(&mut self, whole: Partial) {
        let (Some(first), Some(last)) = (whole.first, whole.last) else { return };
        let (start, end) = ((first - self.tail) as usize, (last - self.tail) as usize);
        let message = match &self.ring[start] {
            Slot::Present(segment) => segment.message,
            Slot::Missing | Slot::Done => return,
        };
        let is_part = |slot: &Slot| matches!(slot, Slot::Present(segment) if segment.message == message);
        if !self.ring.range(start..=end).all(is_part) {
            (start..=end).for_each(|offset| self.discard(offset));
            return;
        }
        let mut charge = 0;
        let mut parts = Vec::with_capacity(end - start + 1);
        for slot in self.ring.range_mut(start..=end) {
            if let Slot::Present(segment) = std::mem::replace(slot, Slot::Done) {
                charge += segment.charge_bytes;
                parts.push(segment.payload);
            }
        }
        self.partial.remove(&message.value());
        self.ready.push_back((join(parts), charge));
    }
}

fn join(mut parts: Vec<Bytes>) -> Bytes {
    if parts.len() == 1 {
        return parts.pop().expect("its length is 1");
    }
    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use MessagePosition::{First, Last, Middle, Solo};

    use super::*;

    fn insert(buffer: &mut MessageBuffer, index: u64, message: u32, position: MessagePosition, in_order: bool) {
        let payload = Bytes::from(vec![message as u8]);
        let message = MsgNumber::new(message);
        buffer.insert(index, Segment { payload, charge_bytes: 10, position, in_order, message });
    }

    fn pop(buffer: &mut MessageBuffer) -> Option<Vec<u8>> {
        buffer.pop().map(|(message, _)| message.to_vec())
    }

    #[test]
    fn unordered_messages_overtake_a_gap_and_ordered_ones_wait() {
        let mut buffer = MessageBuffer::default();
        insert(&mut buffer, 1, 2, Solo, false);
        insert(&mut buffer, 2, 3, Solo, true);
        assert_eq!((pop(&mut buffer), pop(&mut buffer)), (Some(vec![2]), None));
        insert(&mut buffer, 0, 1, Solo, true);
        assert_eq!((pop(&mut buffer), pop(&mut buffer)), (Some(vec![1]), Some(vec![3])));
        assert_eq!(buffer.next(), 3);
    }

    #[test]
    fn a_message_of_many_packets_is_joined() {
        let mut buffer = MessageBuffer::default();
        insert(&mut buffer, 2, 1, Last, true);
        insert(&mut buffer, 0, 1, First, true);
        assert!(buffer.contains(0) && !buffer.contains(1));
        assert_eq!(pop(&mut buffer), None);
        insert(&mut buffer, 1, 1, Middle, true);
        assert_eq!(pop(&mut buffer), Some(vec![1, 1, 1]));
    }

    /// Pitfall 23: the drop request of a 4.11 sender covers the first packet of the next message too.
    #[test]
    fn a_drop_request_that_is_one_too_wide_spares_the_next_message() {
        let mut buffer = MessageBuffer::default();
        insert(&mut buffer, 0, 1, First, true);
        insert(&mut buffer, 2, 2, Solo, true);
        buffer.drop_message(MsgNumber::new(1), 0, 2);
        assert_eq!((pop(&mut buffer), buffer.next()), (Some(vec![2]), 3));
        assert_eq!(buffer.take_freed_bytes(), 10);
    }

    #[test]
    fn messages_that_are_never_finished_do_not_block() {
        let mut buffer = MessageBuffer::default();
        insert(&mut buffer, 0, 1, First, true);
        insert(&mut buffer, 1, 2, First, true);
        insert(&mut buffer, 2, 2, Last, true);
        assert_eq!(pop(&mut buffer), Some(vec![2, 2]));
        insert(&mut buffer, 3, 3, Middle, true);
        insert(&mut buffer, 4, 4, Solo, true);
        assert_eq!(pop(&mut buffer), Some(vec![4]));
        assert!(buffer.partial.is_empty());
    }
}
