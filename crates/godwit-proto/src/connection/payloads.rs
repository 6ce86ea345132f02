//! What a stream's reader gets: payloads where the kernel put them, with the headers of their packets in between.

use bytes::{Buf, BufMut as _, Bytes, BytesMut};

use crate::packet::HEADER_BYTES;

/// Bytes of a stream, without a copy: the payloads of one packet or of several that arrived behind each other. As a [`Buf`] they come
/// payload by payload.
#[derive(Clone, Debug)]
pub struct Payloads {
    /// From the first byte to the last, headers in between.
    bytes: Bytes,
    /// What is left of the payload that comes first.
    first_bytes: usize,
    /// The length of those behind it, of which the last may be shorter.
    payload_bytes: usize,
}

impl Payloads {
    /// The payloads of `datagrams` of `stride` bytes, of which the last may be shorter; each has a payload.
    pub(super) fn of_datagrams(mut datagrams: Bytes, stride: usize) -> Self {
        datagrams.advance(HEADER_BYTES);
        let payload_bytes = stride - HEADER_BYTES;
        Self { first_bytes: payload_bytes.min(datagrams.len()), bytes: datagrams, payload_bytes }
    }

    /// The same in memory of their own, behind each other.
    pub(super) fn copied(mut self) -> Self {
        let mut copy = BytesMut::with_capacity(self.remaining());
        copy.put(&mut self);
        copy.freeze().into()
    }

    /// The next bytes that lie together, at most `max_bytes`, without a copy.
    pub fn split_chunk(&mut self, max_bytes: usize) -> Bytes {
        let chunk = self.bytes.slice(..self.first_bytes.min(max_bytes));
        self.advance(chunk.len());
        chunk
    }
}

impl From<Bytes> for Payloads {
    fn from(payload: Bytes) -> Self {
        Self { first_bytes: payload.len(), payload_bytes: payload.len(), bytes: payload }
    }
}

impl Buf for Payloads {
    fn remaining(&self) -> usize {
        let behind_bytes = self.bytes.len() - self.first_bytes;
        self.bytes.len() - behind_bytes.div_ceil(self.payload_bytes + HEADER_BYTES) * HEADER_BYTES
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes[..self.first_bytes]
    }

    /// Skips so many bytes.
    ///
    /// # Panics
    /// There are not so many.
    fn advance(&mut self, mut count: usize) {
        while count >= self.first_bytes && self.bytes.len() > self.first_bytes {
            count -= self.first_bytes;
            self.bytes.advance(self.first_bytes + HEADER_BYTES);
            self.first_bytes = self.payload_bytes.min(self.bytes.len());
        }
        self.bytes.advance(count);
        self.first_bytes -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three payloads, "abc", "def" and "g".
    fn three() -> Payloads {
        let header = "-".repeat(HEADER_BYTES);
        Payloads::of_datagrams(Bytes::from(format!("{header}abc{header}def{header}g")), HEADER_BYTES + 3)
    }

    #[test]
    fn no_header_is_read_wherever_the_reader_stops() {
        for first in 0..=7 {
            for second in 0..=7 - first {
                let mut payloads = three();
                payloads.advance(first);
                payloads.advance(second);
                assert_eq!(payloads.remaining(), 7 - first - second);
                assert_eq!(payloads.has_remaining(), !payloads.chunk().is_empty());
                let mut rest = Vec::new();
                rest.put(payloads);
                assert_eq!(rest, b"abcdefg"[first + second..]);
            }
        }
    }

    #[test]
    fn chunks_lie_where_they_arrived() {
        let mut payloads = three();
        let chunks: Vec<_> = [2, 9, 9, 9].into_iter().map(|max_bytes| payloads.split_chunk(max_bytes)).collect();
        assert_eq!(chunks, ["ab", "c", "def", "g"]);
        assert_eq!(chunks[2].as_ptr() as usize - chunks[1].as_ptr() as usize, 1 + HEADER_BYTES);
        assert_eq!(payloads.split_chunk(9), "");
        assert_eq!(three().copied().chunk(), b"abcdefg");
        assert_eq!(Payloads::from(Bytes::from_static(b"alone")).chunk(), b"alone");
    }

    #[test]
    #[should_panic(expected = "cannot advance past")]
    fn what_is_not_there_cannot_be_skipped() {
        three().advance(8);
    }
}
