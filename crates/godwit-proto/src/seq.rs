//! The three circular number spaces of UDT: packet sequence numbers (31 bits), message numbers (29 bits) and
//! ACK numbers (31 bits).
//!
//! None of them is `Ord`: "smaller" has no meaning on a circle. [`Seq::offset_to`] gives the signed distance instead,
//! which is right as long as two numbers are less than half the circle apart; every window in this crate is far smaller.

use std::fmt;

/// Number of packet sequence numbers: 2^31.
pub const SEQ_SPACE: u32 = 1 << 31;
const SEQ_MASK: u32 = SEQ_SPACE - 1;

/// A packet sequence number, 31 bits.
///
/// Source: specification section 1.6; draft-gg-udt-03 section 3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(u32);

impl Seq {
    /// Makes a sequence number of the low 31 bits of `value`.
    pub const fn new(value: u32) -> Self {
        Self(value & SEQ_MASK)
    }

    /// The number on the wire, 0 ..= 0x7FFF_FFFF.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The number `count` packets later.
    #[must_use]
    pub const fn add(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count) & SEQ_MASK)
    }

    /// The number `count` packets earlier.
    #[must_use]
    pub const fn sub(self, count: u32) -> Self {
        Self(self.0.wrapping_sub(count) & SEQ_MASK)
    }

    /// The next number.
    #[must_use]
    pub const fn next(self) -> Self {
        self.add(1)
    }

    /// The number before.
    #[must_use]
    pub const fn prev(self) -> Self {
        self.sub(1)
    }

    /// Packets from `self` to `other`: positive when `other` comes later, in −2^30 .. 2^30.
    pub const fn offset_to(self, other: Self) -> i32 {
        // Shifted up, the 31-bit difference gets its sign from bit 30; the arithmetic shift brings it back.
        ((other.0.wrapping_sub(self.0) << 1) as i32) >> 1
    }

    /// Whether `self` comes before `other`.
    pub const fn is_before(self, other: Self) -> bool {
        self.offset_to(other) > 0
    }

    /// Whether `self` comes after `other`.
    pub const fn is_after(self, other: Self) -> bool {
        self.offset_to(other) < 0
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A message number, 29 bits. A healthy peer starts at 1 and never sends 0.
///
/// Source: specification section 1.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MsgNumber(u32);

impl MsgNumber {
    /// The first message of a connection.
    pub const FIRST: Self = Self(1);
    /// libudt wraps here: the greatest message number it sends.
    const LAST: u32 = 0x1FFF_FFFE;

    /// Makes a message number of the low 29 bits of `value`.
    pub const fn new(value: u32) -> Self {
        Self(value & 0x1FFF_FFFF)
    }

    /// The number on the wire, without the flags that share its word.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The next number; after 0x1FFF_FFFE comes 1.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 >= Self::LAST { Self::FIRST } else { Self(self.0 + 1) }
    }
}

/// An ACK number, 31 bits: the serial number of a full ACK. 0 marks a light ACK and is never given to a full one.
///
/// Source: specification section 1.4.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AckNumber(u32);

impl AckNumber {
    /// The number of the first full ACK of a connection.
    pub const FIRST: Self = Self(1);

    /// Makes an ACK number of the low 31 bits of `value`.
    pub const fn new(value: u32) -> Self {
        Self(value & SEQ_MASK)
    }

    /// The number on the wire.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The next number. 0 is skipped at the wrap, because libudt's light ACKs carry it. Deviation 40.
    #[must_use]
    pub const fn next(self) -> Self {
        let next = (self.0 + 1) & SEQ_MASK;
        if next == 0 { Self::FIRST } else { Self(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_cross_the_wrap() {
        let last = Seq::new(0x7FFF_FFFF);
        assert_eq!(last.next(), Seq::new(0));
        assert_eq!(Seq::new(0).prev(), last);
        assert_eq!(last.offset_to(Seq::new(2)), 3);
        assert_eq!(Seq::new(2).offset_to(last), -3);
        assert!(last.is_before(Seq::new(0)) && Seq::new(0).is_after(last));
    }

    #[test]
    fn message_and_ack_numbers_wrap_as_libudt_wraps_them() {
        assert_eq!(MsgNumber::new(0x1FFF_FFFE).next(), MsgNumber::FIRST);
        assert_eq!(AckNumber::new(0x7FFF_FFFF).next(), AckNumber::FIRST);
    }
}
