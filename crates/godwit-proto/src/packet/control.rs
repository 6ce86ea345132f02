//! Control packets: the meaning of the additional information and of the CIF by type.
//!
//! ```text
//! type    name                 additional information   CIF, in words
//! 0       handshake            0                        12 (see `handshake`)
//! 1       keep-alive           0                        pad
//! 2       ACK, full            ACK number               ack seq | RTT us | RTT variance us | free packets
//!                                                       [| arrival speed packets/s | link capacity packets/s]
//! 2       ACK, light           0                        ack seq
//! 3       NAK                  0                        loss list (see `loss_report`)
//! 4       congestion warning   0                        pad
//! 5       shutdown             0                        pad [| "gdwt" | final seq]
//! 6       ACK2                 ACK number               pad
//! 7       message drop         message number           first seq | last seq
//! 8       peer error           error code               pad
//! 0x7FFF  user defined         any                      any
//! ```
//!
//! *pad* is one zero word: libudt sends it where there is nothing to say, and so do we; none is needed when decoding.
//!
//! Source: specification sections 1.3 to 1.5. The shutdown's last two words are ours (`docs/udt4.md`).

use super::handshake::Handshake;
use super::loss_report::LossReport;
use super::{CONTROL_BIT, PacketError, header_bytes};
use crate::seq::{AckNumber, MsgNumber, Seq};

const TYPE_HANDSHAKE: u16 = 0;
const TYPE_KEEP_ALIVE: u16 = 1;
const TYPE_ACK: u16 = 2;
pub(super) const TYPE_NAK: u16 = 3;
const TYPE_CONGESTION_WARNING: u16 = 4;
const TYPE_SHUTDOWN: u16 = 5;
const TYPE_ACK2: u16 = 6;
const TYPE_MESSAGE_DROP: u16 = 7;
const TYPE_PEER_ERROR: u16 = 8;
const TYPE_USER: u16 = 0x7FFF;

const TYPE_MASK: u16 = 0x7FFF;
const TYPE_SHIFT: u32 = 16;

/// A full ACK with both rates; what lies beyond is for later versions.
const RATED_ACK_CIF_BYTES: usize = 24;
/// "gdwt": marks a shutdown that names the final sequence number. libudt ignores a shutdown's CIF.
const FINAL_SEQ_MAGIC: u32 = 0x6764_7774;

/// A control packet with the header words that every type shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlPacket<'a> {
    /// What the packet says.
    pub control: Control<'a>,
    /// 0 from libudt; nothing may depend on it.
    pub timestamp_us: u32,
    /// The receiver's socket ID; 0 asks for a connection.
    pub destination: u32,
    /// Bytes of the CIF as received, pad and unknown extensions included. A listener insists on exactly
    /// [`Handshake::CIF_BYTES`] for requests, as libudt does (specification section 2.3).
    pub body_len: usize,
}

impl<'a> ControlPacket<'a> {
    pub(super) fn decode(header: [u32; 4], body: &'a [u8]) -> Result<Self, PacketError> {
        let [kind_word, info, timestamp_us, destination] = header;
        let control = Control::decode(kind_word, info, body)?;
        Ok(Self { control, timestamp_us, destination, body_len: body.len() })
    }
}

/// What a control packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control<'a> {
    /// Type 0: sets up a connection.
    Handshake(Handshake),
    /// Type 1: "I am here".
    KeepAlive,
    /// Type 2, full form: to be answered with an ACK2.
    Ack(FullAck<'a>),
    /// Type 2, light form: only the position, no answer.
    LightAck {
        /// The next packet expected: every packet before it has arrived.
        ack_seq: Seq,
    },
    /// Type 3: packets that did not arrive.
    Nak(LossReport<'a>),
    /// Type 4: delays grow. libudt 4.11 never sends it.
    CongestionWarning,
    /// Type 5: the sender is gone.
    Shutdown {
        /// The number after the last packet that the sender numbered: everything before it is the whole stream.
        /// Only our own ends tell; `None` from libudt.
        final_seq: Option<Seq>,
    },
    /// Type 6: the answer to a full ACK, for the receiver's measurement of the RTT.
    Ack2 {
        /// The number of the full ACK answered.
        number: AckNumber,
    },
    /// Type 7: these packets will not come (any more). The range is as received: `first` may lie after `last`, and
    /// libudt's `last` is one too large (specification section 3.6).
    MessageDrop {
        /// The message given up.
        message: MsgNumber,
        /// First packet of the range.
        first: Seq,
        /// Last packet of the range, inclusive.
        last: Seq,
    },
    /// Type 8: the peer's application failed; 4000 is a file error. The connection goes on.
    PeerError {
        /// libudt's error number.
        code: u32,
    },
    /// Type 0x7FFF: left to applications. Ignored by this crate.
    User {
        /// The low 16 bits of the first word.
        extended_type: u16,
        /// The additional information word.
        info: u32,
        /// The CIF as it is on the wire.
        body: &'a [u8],
    },
    /// Any other type: to be ignored, but the peer was heard.
    Unknown {
        /// The type, 15 bits.
        kind: u16,
    },
}

/// The fields of a full ACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FullAck<'a> {
    /// Serial number, repeated by the ACK2.
    pub number: AckNumber,
    /// The next packet expected: every packet before it has arrived.
    pub ack_seq: Seq,
    /// The receiver's smoothed RTT, microseconds.
    pub rtt_us: u32,
    /// The receiver's RTT variance, microseconds.
    pub rtt_var_us: u32,
    /// Free packets in the receive buffer; libudt never says less than 2.
    pub available_packets: u32,
    /// The receiver's estimates; libudt leaves them out of ACKs that follow each other within 10 ms.
    pub rates: Option<AckRates>,
    /// Bytes beyond the 24 known ones, from a later version. Encoded only behind `rates`.
    pub tail: &'a [u8],
}

/// What the receiver measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AckRates {
    /// Arrival speed, packets per second; 0 is "no estimate".
    pub arrival_speed_packets_per_s: u32,
    /// Link capacity, packets per second; 0 is "no estimate".
    pub link_capacity_packets_per_s: u32,
}

impl<'a> Control<'a> {
    /// Appends exactly one datagram to `out`, byte for byte what libudt sends for the same fields. libudt sets
    /// `timestamp_us` to 0.
    pub fn encode(&self, timestamp_us: u32, destination: u32, out: &mut Vec<u8>) {
        let (kind, extended_type, info) = self.head();
        push_header(out, kind, extended_type, [info, timestamp_us, destination]);
        match self {
            Self::Handshake(handshake) => push_words(out, &handshake.to_words()),
            Self::Ack(ack) => ack.encode_cif(out),
            Self::LightAck { ack_seq } => push_words(out, &[ack_seq.value()]),
            Self::Nak(report) => out.extend_from_slice(report.as_bytes()),
            Self::MessageDrop { first, last, .. } => push_words(out, &[first.value(), last.value()]),
            Self::Shutdown { final_seq: Some(seq) } => push_words(out, &[0, FINAL_SEQ_MAGIC, seq.value()]),
            Self::User { body, .. } if !body.is_empty() => out.extend_from_slice(body),
            Self::KeepAlive
            | Self::CongestionWarning
            | Self::Shutdown { final_seq: None }
            | Self::Ack2 { .. }
            | Self::PeerError { .. }
            | Self::User { .. }
            | Self::Unknown { .. } => push_words(out, &[0]),
        }
    }

    /// Type, extended type and additional information.
    fn head(&self) -> (u16, u16, u32) {
        match *self {
            Self::Handshake(_) => (TYPE_HANDSHAKE, 0, 0),
            Self::KeepAlive => (TYPE_KEEP_ALIVE, 0, 0),
            Self::Ack(FullAck { number, .. }) => (TYPE_ACK, 0, number.value()),
            Self::LightAck { .. } => (TYPE_ACK, 0, 0),
            Self::Nak(_) => (TYPE_NAK, 0, 0),
            Self::CongestionWarning => (TYPE_CONGESTION_WARNING, 0, 0),
            Self::Shutdown { .. } => (TYPE_SHUTDOWN, 0, 0),
            Self::Ack2 { number } => (TYPE_ACK2, 0, number.value()),
            Self::MessageDrop { message, .. } => (TYPE_MESSAGE_DROP, 0, message.value()),
            Self::PeerError { code } => (TYPE_PEER_ERROR, 0, code),
            Self::User { extended_type, info, .. } => (TYPE_USER, extended_type, info),
            Self::Unknown { kind } => (kind & TYPE_MASK, 0, 0),
        }
    }

    fn decode(kind_word: u32, info: u32, body: &'a [u8]) -> Result<Self, PacketError> {
        Ok(match (kind_word >> TYPE_SHIFT) as u16 & TYPE_MASK {
            TYPE_HANDSHAKE => Self::Handshake(Handshake::decode(body)?),
            TYPE_KEEP_ALIVE => Self::KeepAlive,
            TYPE_ACK => decode_ack(info, body)?,
            TYPE_NAK => Self::Nak(LossReport::decode(body)?),
            TYPE_CONGESTION_WARNING => Self::CongestionWarning,
            TYPE_SHUTDOWN => Self::Shutdown { final_seq: decode_final_seq(body) },
            TYPE_ACK2 => Self::Ack2 { number: AckNumber::new(info) },
            TYPE_MESSAGE_DROP => decode_message_drop(info, body)?,
            TYPE_PEER_ERROR => Self::PeerError { code: info },
            TYPE_USER => Self::User { extended_type: kind_word as u16, info, body },
            kind => Self::Unknown { kind },
        })
    }
}

impl FullAck<'_> {
    fn encode_cif(&self, out: &mut Vec<u8>) {
        push_words(out, &[self.ack_seq.value(), self.rtt_us, self.rtt_var_us, self.available_packets]);
        if let Some(rates) = self.rates {
            push_words(out, &[rates.arrival_speed_packets_per_s, rates.link_capacity_packets_per_s]);
            out.extend_from_slice(self.tail);
        }
    }
}

fn decode_ack(info: u32, body: &[u8]) -> Result<Control<'_>, PacketError> {
    // Only its length tells a light ACK from a full one. Deviation 2.
    if let Some([ack_seq]) = exact_words(body) {
        return Ok(Control::LightAck { ack_seq: Seq::new(ack_seq) });
    }
    let Some([ack_seq, rtt_us, rtt_var_us, available_packets]) = leading_words(body) else {
        return Err(PacketError::BadAckLength { len: body.len() });
    };
    let rates = leading_words(body).map(|[_, _, _, _, speed, capacity]| AckRates {
        arrival_speed_packets_per_s: speed,
        link_capacity_packets_per_s: capacity,
    });
    Ok(Control::Ack(FullAck {
        number: AckNumber::new(info),
        ack_seq: Seq::new(ack_seq),
        rtt_us,
        rtt_var_us,
        available_packets,
        rates,
        tail: body.get(RATED_ACK_CIF_BYTES..).unwrap_or_default(),
    }))
}

fn decode_message_drop(info: u32, body: &[u8]) -> Result<Control<'_>, PacketError> {
    let [first, last] = leading_words(body).ok_or(PacketError::ShortMessageDrop { len: body.len() })?;
    Ok(Control::MessageDrop { message: MsgNumber::new(info), first: Seq::new(first), last: Seq::new(last) })
}

fn decode_final_seq(body: &[u8]) -> Option<Seq> {
    match leading_words(body)? {
        [_pad, FINAL_SEQ_MAGIC, seq] => Some(Seq::new(seq)),
        _ => None,
    }
}

/// The first `N` words of a CIF, in the host's order, if it has that many.
pub(super) fn leading_words<const N: usize>(body: &[u8]) -> Option<[u32; N]> {
    let words = body.as_chunks::<4>().0.first_chunk::<N>()?;
    Some(words.map(u32::from_be_bytes))
}

fn exact_words<const N: usize>(body: &[u8]) -> Option<[u32; N]> {
    if body.len() == 4 * N { leading_words(body) } else { None }
}

/// Appends a control header; `rest` is additional information, timestamp and destination.
pub(super) fn push_header(out: &mut Vec<u8>, kind: u16, extended_type: u16, rest: [u32; 3]) {
    let [info, timestamp_us, destination] = rest;
    let kind_word = CONTROL_BIT | (u32::from(kind) << TYPE_SHIFT) | u32::from(extended_type);
    out.extend_from_slice(&header_bytes([kind_word, info, timestamp_us, destination]));
}

pub(super) fn push_words(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend_from_slice(&word.to_be_bytes());
    }
}
