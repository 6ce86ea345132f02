//! The NAK's CIF: packets that did not arrive.
//!
//! ```text
//!  bit 31                      bit 0
//! +-+-------------------------------+
//! |0|      one lost packet (31)     |      a single, or
//! +-+-------------------------------+
//! |1|      first lost packet (31)   |      a range of two words, its end inclusive
//! +-+-------------------------------+
//! |0|      last lost packet (31)    |
//! +-+-------------------------------+
//! ```
//!
//! libudt 4.11 sends one entry in each NAK and takes any number.
//!
//! Source: specification section 1.5.

use std::fmt;

use super::PacketError;
use super::control::{TYPE_NAK, push_header, push_words};
use crate::seq::Seq;

const RANGE_BIT: u32 = 1 << 31;

/// The entries of a NAK, borrowed from its datagram.
///
/// Malformed entries are skipped and counted: a range whose first packet lies after its last, and the start of a range
/// that no end follows. (libudt breaks the connection for the former and reads stale memory for the latter.) The
/// ranges left can still lie anywhere and overlap, and be up to 2^30 packets long: clip them to what was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LossReport<'a> {
    words: &'a [[u8; 4]],
}

impl<'a> LossReport<'a> {
    /// Borrows a loss list; up to three bytes behind the last whole word are ignored.
    ///
    /// # Errors
    /// There is not a single word.
    pub fn decode(cif: &'a [u8]) -> Result<Self, PacketError> {
        match cif.as_chunks::<4>().0 {
            [] => Err(PacketError::ShortLossReport { len: cif.len() }),
            words => Ok(Self { words }),
        }
    }

    /// The well-formed entries, in the order of the packet.
    pub fn ranges(&self) -> LossRanges<'a> {
        LossRanges { words: self.words.iter(), malformed: 0 }
    }

    /// How many entries are skipped by [`LossReport::ranges`].
    pub fn malformed_entries(&self) -> usize {
        let mut ranges = self.ranges();
        ranges.by_ref().for_each(drop);
        ranges.malformed_entries()
    }

    /// The loss list as it is on the wire, malformed entries included.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.words.as_flattened()
    }
}

impl<'a> IntoIterator for LossReport<'a> {
    type Item = LossRange;
    type IntoIter = LossRanges<'a>;

    fn into_iter(self) -> LossRanges<'a> {
        self.ranges()
    }
}

impl fmt::Debug for LossReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ranges()).finish()
    }
}

/// Iterator over the well-formed entries of a [`LossReport`].
#[derive(Clone, Debug)]
pub struct LossRanges<'a> {
    words: std::slice::Iter<'a, [u8; 4]>,
    malformed: usize,
}

impl LossRanges<'_> {
    /// Malformed entries skipped so far.
    pub fn malformed_entries(&self) -> usize {
        self.malformed
    }

    /// The entry that starts with `word`, if it is well-formed.
    fn entry(&mut self, word: u32) -> Option<LossRange> {
        let first = Seq::new(word);
        if word & RANGE_BIT == 0 {
            return Some(LossRange { first, last: first });
        }
        // The word after a lone start belongs to the next entry: it is only consumed if it ends this one.
        let end = u32::from_be_bytes(*self.words.as_slice().first()?);
        if end & RANGE_BIT != 0 {
            return None;
        }
        self.words.next();
        let last = Seq::new(end);
        (!first.is_after(last)).then_some(LossRange { first, last })
    }
}

impl Iterator for LossRanges<'_> {
    type Item = LossRange;

    fn next(&mut self) -> Option<LossRange> {
        // Bounded: every turn consumes a word of the datagram.
        loop {
            let word = u32::from_be_bytes(*self.words.next()?);
            match self.entry(word) {
                Some(range) => return Some(range),
                None => self.malformed += 1,
            }
        }
    }
}

/// Consecutive lost packets, both ends inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LossRange {
    /// The first one.
    pub first: Seq,
    /// The last one; not before `first` in what [`LossRanges`] yields.
    pub last: Seq,
}

impl LossRange {
    /// A single lost packet.
    pub const fn single(seq: Seq) -> Self {
        Self { first: seq, last: seq }
    }

    /// How many packets it covers; 0 if `last` lies before `first`.
    pub const fn packets(self) -> u32 {
        let distance = self.first.offset_to(self.last);
        if distance < 0 { 0 } else { distance.cast_unsigned() + 1 }
    }
}

/// Appends the loss list of `ranges` to `out`, at most `max_words` words, and returns how many ranges it holds: it
/// stops at the first that does not fit. A single packet takes one word, a range (of two packets, too) takes two.
///
/// `max_words` keeps the NAK within a datagram: (MSS − 44) / 4.
pub fn encode_loss_report(ranges: impl IntoIterator<Item = LossRange>, max_words: usize, out: &mut Vec<u8>) -> usize {
    let mut written = 0;
    let mut words_left = max_words;
    for LossRange { first, last } in ranges {
        let words: &[u32] = if first == last { &[first.value()] } else { &[first.value() | RANGE_BIT, last.value()] };
        if words.len() > words_left {
            break;
        }
        words_left -= words.len();
        push_words(out, words);
        written += 1;
    }
    written
}

/// Appends one NAK datagram with as many of `ranges` as [`encode_loss_report`] can put into it, and returns how many
/// those are. Appends nothing if that is none: a NAK without entries makes libudt read stale memory.
pub fn encode_nak(
    ranges: impl IntoIterator<Item = LossRange>,
    max_words: usize,
    timestamp_us: u32,
    destination: u32,
    out: &mut Vec<u8>,
) -> usize {
    let start = out.len();
    push_header(out, TYPE_NAK, 0, [0, timestamp_us, destination]);
    let written = encode_loss_report(ranges, max_words, out);
    if written == 0 {
        out.truncate(start);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, last: u32) -> LossRange {
        LossRange { first: Seq::new(first), last: Seq::new(last) }
    }

    fn cif(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn the_example_of_the_draft() {
        let bytes = cif(&[2, 0x8000_0006, 0xB, 0xE]);
        let report = LossReport::decode(&bytes).expect("four words");
        let expected = [range(2, 2), range(6, 11), range(14, 14)];
        assert_eq!(report.ranges().collect::<Vec<_>>(), expected);
        assert_eq!(report.malformed_entries(), 0);
        let mut encoded = Vec::new();
        assert_eq!(encode_loss_report(expected, 4, &mut encoded), 3);
        assert_eq!(encoded, bytes);
    }

    #[test]
    fn malformed_entries_are_skipped_and_counted() {
        // A reversed range; a start before a start; a range across the wrap; a start at the very end.
        let words = [0x8000_0009, 0x8, 0x8000_0005, 0xFFFF_FFFF, 0x1, 0x3, 0x8000_0004];
        let bytes = cif(&words);
        let report = LossReport::decode(&bytes).expect("seven words");
        let ranges: Vec<_> = report.ranges().collect();
        assert_eq!(ranges, [range(0x7FFF_FFFF, 1), range(3, 3)]);
        assert_eq!(report.malformed_entries(), 3);
        assert_eq!(ranges[0].packets(), 3);
        assert_eq!(report.as_bytes(), bytes);
    }

    #[test]
    fn an_empty_loss_list_is_an_error_and_odd_bytes_are_ignored() {
        assert_eq!(LossReport::decode(&[]), Err(PacketError::ShortLossReport { len: 0 }));
        assert_eq!(LossReport::decode(&[0; 3]), Err(PacketError::ShortLossReport { len: 3 }));
        assert_eq!(LossReport::decode(&[0; 7]).map(|report| report.ranges().count()), Ok(1));
    }

    #[test]
    fn encoding_stops_where_the_words_end() {
        let ranges = [range(1, 1), range(3, 4), range(6, 6)];
        let mut out = Vec::new();
        assert_eq!(encode_nak(ranges, 2, 0, 7, &mut out), 1);
        assert_eq!(out.len(), 20);
        out.clear();
        assert_eq!(encode_nak(ranges, 3, 0, 7, &mut out), 2);
        assert_eq!(out[16..], cif(&[1, 0x8000_0003, 4]));
        out.clear();
        assert_eq!(encode_nak([], 3, 0, 7, &mut out), 0);
        assert!(out.is_empty());
    }
}
