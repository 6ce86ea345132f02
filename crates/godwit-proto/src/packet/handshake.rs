//! The handshake's CIF: 12 words.
//!
//! ```text
//! word  0  version, 4
//!       1  socket type: 1 stream, 2 datagram
//!       2  initial sequence number (ISN), 31 bits
//!       3  MSS, bytes, with 28 bytes of IP and UDP header
//!       4  window, packets: the most that the sender of this handshake will ever have outstanding towards it
//!       5  request type, signed
//!       6  socket ID of the sender
//!       7  cookie
//!       8  peer IP address: the address that the sender talks to, each group of 4 bytes reversed
//!       9     IPv6 only, else 0
//!      10     IPv6 only, else 0
//!      11     IPv6 only, else 0
//! ```
//!
//! Source: specification section 2.2.

use std::net::IpAddr;

use super::PacketError;
use super::control::leading_words;
use crate::seq::Seq;

/// A handshake, with the values as they are on the wire: libudt's minimal answers have version and type 0
/// (specification section 2.7), so only the connection can say what is wrong with which field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handshake {
    /// Protocol version, [`Handshake::VERSION`].
    pub version: u32,
    /// Stream or datagram.
    pub socket_type: SocketType,
    /// Initial sequence number. Of the client in both directions, but of each side's own in a rendezvous.
    pub isn: Seq,
    /// Greatest IP packet in bytes, counted with an IPv4 header of 20 bytes for both IP versions.
    pub mss_bytes: u32,
    /// Packets that the sender of the handshake is ready to buffer.
    pub window_packets: u32,
    /// Which step of which handshake this is.
    pub request: RequestType,
    /// Socket ID of the sender of the handshake.
    pub socket_id: u32,
    /// 0, or what the listener gave out.
    pub cookie: u32,
    /// The address that the sender talks to, see [`peer_ip_words`]. Informational: ignored when received.
    pub peer_ip: [u32; 4],
}

impl Handshake {
    /// The version of UDT that this crate speaks.
    pub const VERSION: u32 = 4;
    /// Bytes of the CIF. Longer ones decode too, and only what is beyond is ignored.
    pub const CIF_BYTES: usize = 48;

    pub(super) fn decode(body: &[u8]) -> Result<Self, PacketError> {
        let [version, socket_type, isn, mss_bytes, window_packets, request, socket_id, cookie, peer_ip @ ..] =
            leading_words::<12>(body).ok_or(PacketError::ShortHandshake { len: body.len() })?;
        Ok(Self {
            version,
            socket_type: SocketType(socket_type),
            isn: Seq::new(isn),
            mss_bytes,
            window_packets,
            request: RequestType::from_wire(request.cast_signed()),
            socket_id,
            cookie,
            peer_ip,
        })
    }

    pub(super) fn to_words(self) -> [u32; 12] {
        let [ip0, ip1, ip2, ip3] = self.peer_ip;
        [
            self.version,
            self.socket_type.0,
            self.isn.value(),
            self.mss_bytes,
            self.window_packets,
            self.request.to_wire().cast_unsigned(),
            self.socket_id,
            self.cookie,
            ip0,
            ip1,
            ip2,
            ip3,
        ]
    }
}

/// The socket type word. Any value can arrive; a listener takes only its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SocketType(pub u32);

impl SocketType {
    /// A byte stream.
    pub const STREAM: Self = Self(1);
    /// Messages with boundaries.
    pub const DGRAM: Self = Self(2);
}

/// The request type word: the step of the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RequestType {
    /// 0: a rendezvous request.
    Rendezvous,
    /// 1: the client's first request, and the listener's answer that carries the cookie.
    Induction,
    /// −1: the client's request with the cookie, the listener's answer, and the second step of a rendezvous.
    Conclusion,
    /// −2: the answer of a connected rendezvous socket.
    Agreement,
    /// 1000 and above: refused, with libudt's error number. A libudt listener sends only 1002.
    Rejected(i32),
    /// Anything else.
    Other(i32),
}

impl RequestType {
    /// What a listener answers to a client that it does not take: 1002.
    pub const REFUSED: Self = Self::Rejected(1002);
    const FIRST_REJECTION: i32 = 1000;

    /// The meaning of the word.
    pub const fn from_wire(value: i32) -> Self {
        match value {
            0 => Self::Rendezvous,
            1 => Self::Induction,
            -1 => Self::Conclusion,
            -2 => Self::Agreement,
            Self::FIRST_REJECTION.. => Self::Rejected(value),
            _ => Self::Other(value),
        }
    }

    /// The word.
    pub const fn to_wire(self) -> i32 {
        match self {
            Self::Rendezvous => 0,
            Self::Induction => 1,
            Self::Conclusion => -1,
            Self::Agreement => -2,
            Self::Rejected(value) | Self::Other(value) => value,
        }
    }
}

/// The peer's address as libudt on a little-endian machine puts it into a handshake: every group of four bytes
/// reversed, IPv4 in the first word with zeros behind it. An IPv4-mapped IPv6 address counts as IPv4.
///
/// Source: specification section 2.2.
pub fn peer_ip_words(address: IpAddr) -> [u32; 4] {
    match address.to_canonical() {
        IpAddr::V4(address) => [u32::from_le_bytes(address.octets()), 0, 0, 0],
        IpAddr::V6(address) => {
            let octets = address.octets();
            let (groups, _) = octets.as_chunks::<4>();
            [0, 1, 2, 3].map(|index| u32::from_le_bytes(groups[index]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_reversed_by_groups() {
        let words = |text: &str| peer_ip_words(text.parse().expect("an address"));
        assert_eq!(words("127.0.0.1"), [0x0100_007F, 0, 0, 0]);
        assert_eq!(words("::ffff:127.0.0.1"), [0x0100_007F, 0, 0, 0]);
        assert_eq!(words("::1"), [0, 0, 0, 0x0100_0000]);
        assert_eq!(
            words("0102:0304:0506:0708:090a:0b0c:0d0e:0f10"),
            [0x0403_0201, 0x0807_0605, 0x0C0B_0A09, 0x100F_0E0D]
        );
    }

    #[test]
    fn request_types_survive_the_wire() {
        for value in [i32::MIN, -3, -2, -1, 0, 1, 2, 999, 1000, 1002, 1004, i32::MAX] {
            assert_eq!(RequestType::from_wire(value).to_wire(), value);
        }
        assert_eq!(RequestType::from_wire(999), RequestType::Other(999));
        assert_eq!(RequestType::from_wire(1002), RequestType::REFUSED);
    }
}
