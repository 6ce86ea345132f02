//! The wire format: datagrams to typed, borrowed fields and back.
//!
//! Every UDP payload starts with four big-endian words. Bit 31 of the first says which kind of packet it is:
//!
//! ```text
//!         bit 31                                                     bit 0
//!        +-+-------------------------------------------------------------+
//! data   |0|                   sequence number (31)                      |
//!        +-+-+-+---------------------------------------------------------+
//!        |F F|O|                message number (29)                      |   FF: 10 first, 00 middle, 01 last, 11 solo
//!        +---+-+---------------------------------------------------------+   O: deliver in order
//!        |            timestamp, microseconds since the sender opened    |
//!        +---------------------------------------------------------------+
//!        |                    destination socket ID                      |
//!        +---------------------------------------------------------------+
//!        |            payload, 1 ..= MSS - 44 opaque bytes               |
//!        +---------------------------------------------------------------+
//!
//!         bit 31                                                     bit 0
//!        +-+-----------------------------+-------------------------------+
//! control|1|        type (15)            |  extended type (16), else 0   |
//!        +-+-----------------------------+-------------------------------+
//!        |             additional information (meaning by type)          |
//!        +---------------------------------------------------------------+
//!        |                     timestamp, 0 from libudt                  |
//!        +---------------------------------------------------------------+
//!        |                    destination socket ID                      |
//!        +---------------------------------------------------------------+
//!        |   control information field (CIF): big-endian words by type   |
//!        +---------------------------------------------------------------+
//! ```
//!
//! Decoding borrows from the datagram, allocates nothing and never panics; what a peer may not send is a
//! [`PacketError`]. Values are checked for their *shape* only: whether an ACK or a handshake makes sense is for the
//! connection to say. Reserved bits are ignored when decoding and 0 when encoding.
//!
//! Source: specification sections 1 and 2.2.

mod control;
mod handshake;
mod loss_report;

use thiserror::Error;

use crate::seq::{MsgNumber, Seq};

pub use control::{AckRates, Control, ControlPacket, FullAck};
pub use handshake::{Handshake, RequestType, SocketType, peer_ip_words};
pub use loss_report::{LossRange, LossRanges, LossReport, encode_loss_report, encode_nak};

/// Bytes of the header that every packet starts with.
pub const HEADER_BYTES: usize = 16;

/// What the MSS includes besides the datagram: 20 bytes of IPv4 and 8 of UDP header, and UDT counts the same for IPv6.
/// A datagram holds at most MSS − 28 bytes, a data packet's payload at most MSS − 44.
pub const UDP_IP_HEADER_BYTES: usize = 28;

const CONTROL_BIT: u32 = 1 << 31;
const POSITION_SHIFT: u32 = 30;
const IN_ORDER_BIT: u32 = 1 << 29;
const TIMESTAMP_OFFSET: usize = 8;

/// The socket ID that a datagram is addressed to, or `None` for a datagram shorter than a header.
///
/// This alone decides which connection gets a datagram: the first bits of UDT data are arbitrary.
/// ID 0 asks for a new connection.
pub fn destination_id(datagram: &[u8]) -> Option<u32> {
    let (header, _) = datagram.split_first_chunk::<HEADER_BYTES>()?;
    Some(header_words(header)[3])
}

/// One UDT packet, borrowed from its datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// Bytes of a stream or message.
    Data(DataPacket<'a>),
    /// Everything else.
    Control(ControlPacket<'a>),
}

impl<'a> Packet<'a> {
    /// Reads one datagram.
    ///
    /// # Errors
    /// The datagram is shorter than a header, or a control packet shorter than its type needs. Nothing else is an
    /// error here; unknown control types decode as [`Control::Unknown`].
    pub fn decode(datagram: &'a [u8]) -> Result<Self, PacketError> {
        let Some((header, body)) = datagram.split_first_chunk::<HEADER_BYTES>() else {
            return Err(PacketError::TooShort { len: datagram.len() });
        };
        let words = header_words(header);
        if words[0] & CONTROL_BIT == 0 {
            Ok(Self::Data(DataPacket { header: DataHeader::from_words(words), payload: body }))
        } else {
            ControlPacket::decode(words, body).map(Self::Control)
        }
    }
}

/// A data packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataPacket<'a> {
    /// The four header words.
    pub header: DataHeader,
    /// The bytes carried. An empty payload decodes: libudt takes it for an end of file, so the receiver must not
    /// (specification section 1.2).
    pub payload: &'a [u8],
}

/// The header of a data packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataHeader {
    /// Number of this packet.
    pub seq: Seq,
    /// Where this packet lies in its message.
    pub position: MessagePosition,
    /// The message must not overtake the messages before it. Streams ignore it.
    pub in_order: bool,
    /// Number of the message. Streams ignore it.
    pub message: MsgNumber,
    /// Microseconds since the sender's socket was opened, modulo 2^32. Renewed when a packet is sent again; no receiver
    /// depends on it.
    pub timestamp_us: u32,
    /// The receiver's socket ID.
    pub destination: u32,
}

impl DataHeader {
    /// Writes the header into the first [`HEADER_BYTES`] bytes of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than that.
    pub fn encode(&self, out: &mut [u8]) {
        let in_order = if self.in_order { IN_ORDER_BIT } else { 0 };
        let message_word = (self.position.bits() << POSITION_SHIFT) | in_order | self.message.value();
        let header = out.first_chunk_mut().expect("the caller's slot holds a header");
        *header = header_bytes([self.seq.value(), message_word, self.timestamp_us, self.destination]);
    }

    fn from_words(words: [u32; 4]) -> Self {
        Self {
            seq: Seq::new(words[0]),
            position: MessagePosition::from_bits(words[1] >> POSITION_SHIFT),
            in_order: words[1] & IN_ORDER_BIT != 0,
            message: MsgNumber::new(words[1]),
            timestamp_us: words[2],
            destination: words[3],
        }
    }
}

/// Renews the timestamp of an encoded data packet: the only thing that changes when it is sent again.
///
/// # Panics
/// If `slot` is shorter than a header.
pub fn rewrite_timestamp(slot: &mut [u8], timestamp_us: u32) {
    let header: &mut [u8; HEADER_BYTES] = slot.first_chunk_mut().expect("the caller's slot holds a header");
    header[TIMESTAMP_OFFSET..TIMESTAMP_OFFSET + 4].copy_from_slice(&timestamp_us.to_be_bytes());
}

/// Where a packet lies in its message: the FF bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MessagePosition {
    /// 00: neither first nor last.
    Middle,
    /// 01: the last of several.
    Last,
    /// 10: the first of several.
    First,
    /// 11: the whole message.
    Solo,
}

impl MessagePosition {
    /// The position of packet `index` of a message of `packets` packets, counted from 0.
    pub const fn of(index: usize, packets: usize) -> Self {
        match (index == 0, index + 1 == packets) {
            (true, true) => Self::Solo,
            (true, false) => Self::First,
            (false, true) => Self::Last,
            (false, false) => Self::Middle,
        }
    }

    /// Whether a message starts with this packet.
    pub const fn is_first(self) -> bool {
        matches!(self, Self::First | Self::Solo)
    }

    /// Whether a message ends with this packet.
    pub const fn is_last(self) -> bool {
        matches!(self, Self::Last | Self::Solo)
    }

    const fn bits(self) -> u32 {
        match self {
            Self::Middle => 0b00,
            Self::Last => 0b01,
            Self::First => 0b10,
            Self::Solo => 0b11,
        }
    }

    const fn from_bits(bits: u32) -> Self {
        match bits & 0b11 {
            0b00 => Self::Middle,
            0b01 => Self::Last,
            0b10 => Self::First,
            _ => Self::Solo,
        }
    }
}

/// Why a datagram is not a packet. Lengths are in bytes; those of a CIF do not count the header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum PacketError {
    /// Shorter than a header.
    #[error("datagram of {len} bytes: a UDT header has {HEADER_BYTES}")]
    TooShort {
        /// Bytes of the datagram.
        len: usize,
    },
    /// A handshake without all of its 12 words.
    #[error("handshake with {len} bytes of control information: it has {}", Handshake::CIF_BYTES)]
    ShortHandshake {
        /// Bytes of the CIF.
        len: usize,
    },
    /// An ACK that is neither light (4 bytes) nor full (16 and more).
    #[error("ACK with {len} bytes of control information: it has 4, or 16 and more")]
    BadAckLength {
        /// Bytes of the CIF.
        len: usize,
    },
    /// A NAK without a single entry.
    #[error("NAK with {len} bytes of control information: it has at least 4")]
    ShortLossReport {
        /// Bytes of the CIF.
        len: usize,
    },
    /// A message drop request without both ends of its range.
    #[error("message drop request with {len} bytes of control information: it has 8")]
    ShortMessageDrop {
        /// Bytes of the CIF.
        len: usize,
    },
}

/// The words of a header, in the host's order.
fn header_words(header: &[u8; HEADER_BYTES]) -> [u32; 4] {
    let (words, _) = header.as_chunks::<4>();
    [0, 1, 2, 3].map(|index| u32::from_be_bytes(words[index]))
}

fn header_bytes(words: [u32; 4]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    for (bytes, word) in header.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_header_keeps_every_field_to_itself() {
        let header = DataHeader {
            seq: Seq::new(0x7FFF_FFFF),
            position: MessagePosition::Last,
            in_order: true,
            message: MsgNumber::new(0x1FFF_FFFE),
            timestamp_us: 0xFFFF_FFFF,
            destination: 0x8000_0001,
        };
        let mut slot = [0xAA; 18];
        header.encode(&mut slot);
        assert_eq!(Packet::decode(&slot), Ok(Packet::Data(DataPacket { header, payload: &[0xAA, 0xAA] })));
        rewrite_timestamp(&mut slot, 7);
        let header = DataHeader { timestamp_us: 7, ..header };
        assert_eq!(Packet::decode(&slot), Ok(Packet::Data(DataPacket { header, payload: &[0xAA, 0xAA] })));
        assert_eq!(destination_id(&slot), Some(0x8000_0001));
    }

    #[test]
    fn an_empty_payload_decodes() {
        let Ok(Packet::Data(packet)) = Packet::decode(&[0; HEADER_BYTES]) else { panic!("a data packet") };
        assert!(packet.payload.is_empty());
    }

    #[test]
    fn positions_are_those_of_the_packets_in_a_message() {
        use MessagePosition::{First, Last, Middle, Solo};
        assert_eq!(MessagePosition::of(0, 1), Solo);
        assert_eq!([0, 1, 2].map(|index| MessagePosition::of(index, 3)), [First, Middle, Last]);
        for position in [First, Middle, Last, Solo] {
            assert_eq!(MessagePosition::from_bits(position.bits()), position);
        }
    }

    #[test]
    fn a_datagram_shorter_than_a_header_has_no_destination() {
        assert_eq!(destination_id(&[0; 15]), None);
        assert_eq!(Packet::decode(&[0; 15]), Err(PacketError::TooShort { len: 15 }));
    }
}
