//! What travels on the simulated links.

use bytes::Bytes;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the flow's sender to its receiver.
    Forward,
    /// Back.
    Backward,
}

/// One packet on its way through the links of its flow.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Whose it is.
    pub flow: u32,
    /// Which way it goes.
    pub direction: Direction,
    /// How many links of its way it has behind it.
    pub hop: u8,
    /// What it is.
    pub load: Load,
}

/// What a packet is.
#[derive(Clone, Debug)]
pub enum Load {
    /// A UDP datagram.
    Datagram(Bytes),
    /// A full segment of a TCP model.
    Segment(Segment),
    /// An acknowledgement of a TCP model.
    SegmentAck(SegmentAck),
}

/// A full segment of a TCP model. Each transmission has a number of its own, as in QUIC: the models differ from TCP in that they
/// are never in doubt about which transmission was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of the transmission, from 0.
    pub number: u64,
}

/// Ranges of numbers that one acknowledgement names, as TCP's SACK option has room for three.
pub const ACK_RANGES: usize = 3;

/// An acknowledgement of a TCP model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentAck {
    /// The newest ranges received, newest first: first number and the number after the last; empty ones are unused.
    pub ranges: [(u64, u64); ACK_RANGES],
}

/// Bytes that IPv4 and UDP add to a datagram.
const UDP_IP_HEADER_BYTES: usize = 28;
/// A full TCP segment on the wire.
const SEGMENT_BYTES: usize = 1500;
/// A TCP acknowledgement with time stamps and SACK ranges.
const SEGMENT_ACK_BYTES: usize = 80;

impl Load {
    /// Whether it is an introduction of one of ours: a control packet of the type that libudt leaves to applications.
    pub fn is_hello(&self) -> bool {
        matches!(self, Self::Datagram(datagram) if datagram.starts_with(&[0xFF, 0xFF]))
    }

    /// Its size on the wire, with all headers down to IP, in bytes.
    pub fn wire_bytes(&self) -> usize {
        match self {
            Self::Datagram(bytes) => bytes.len() + UDP_IP_HEADER_BYTES,
            Self::Segment(_) => SEGMENT_BYTES,
            Self::SegmentAck(_) => SEGMENT_ACK_BYTES,
        }
    }
}

/// Damages one bit. The models of TCP are not touched: their checksum would have found it.
pub fn damage(parcel: &mut Parcel, random: u64) {
    if let Load::Datagram(bytes) = &mut parcel.load {
        let mut copy = bytes.to_vec();
        let bit = (random % (copy.len().max(1) as u64 * 8)) as usize;
        if let Some(byte) = copy.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        *bytes = Bytes::from(copy);
    }
}
