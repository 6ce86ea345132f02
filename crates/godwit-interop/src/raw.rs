//! UDT packets as bare bytes: for a peer made by hand, and to tell a relay which datagrams to lose.
//!
//! On purpose independent of `godwit-proto`: what is expected here was not computed by the code under test.

/// A request that leads to a cookie: client to listener (specification section 2.3, datagram 1).
pub const REQUEST_INDUCTION: u32 = 1;
/// A request with a cookie, or the answer that concludes (datagrams 3 and 4; rendezvous: the second step).
pub const REQUEST_CONCLUSION: u32 = -1_i32 as u32;
/// A refusal by a listener (specification section 2.6).
pub const REQUEST_REFUSED: u32 = 1002;

/// What a datagram is, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// With its sequence number.
    Data(u32),
    /// With its request type; 0 if it is cut off.
    Handshake(u32),
    /// Type 1.
    KeepAlive,
    /// Type 2, with its ACK number, which is 0 for a light ACK.
    Ack(u32),
    /// Type 3.
    Nak,
    /// Type 5.
    Shutdown,
    /// Type 6, with its ACK number.
    Ack2(u32),
    /// Any other control type.
    Control(u16),
    /// Shorter than a header.
    Short,
}

impl Packet {
    /// What this datagram is.
    pub fn of(datagram: &[u8]) -> Self {
        let [word0, word1, _, _, body @ ..] = &words(datagram)[..] else { return Self::Short };
        if word0 >> 31 == 0 {
            return Self::Data(*word0);
        }
        match (word0 >> 16) & 0x7FFF {
            0 => Self::Handshake(body.get(5).copied().unwrap_or(0)),
            1 => Self::KeepAlive,
            2 => Self::Ack(*word1),
            3 => Self::Nak,
            5 => Self::Shutdown,
            6 => Self::Ack2(*word1),
            other => Self::Control(other as u16),
        }
    }

    /// Whether it is a handshake, of whatever request type.
    pub fn is_handshake(datagram: &[u8]) -> bool {
        matches!(Self::of(datagram), Self::Handshake(_))
    }

    /// Whether it is a handshake of this request type.
    pub fn is_request(datagram: &[u8], request: u32) -> bool {
        Self::of(datagram) == Self::Handshake(request)
    }

    /// Whether it is a shutdown.
    pub fn is_shutdown(datagram: &[u8]) -> bool {
        Self::of(datagram) == Self::Shutdown
    }
}

/// The fields of a handshake that matter to a peer made by hand (specification section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// Whom it is for; 0 is the listener.
    pub destination_id: u32,
    /// 1 stream, 2 messages.
    pub socket_type: u32,
    /// Initial sequence number.
    pub isn: u32,
    /// Maximum segment size in bytes.
    pub mss: u32,
    /// Window in packets.
    pub window: u32,
    /// Request type.
    pub request: u32,
    /// The sender's socket id.
    pub socket_id: u32,
    /// SYN cookie.
    pub cookie: u32,
}

impl Handshake {
    /// A first request for a stream.
    pub fn induction(socket_id: u32, isn: u32) -> Self {
        Self {
            destination_id: 0,
            socket_type: 1,
            isn,
            mss: 1_500,
            window: 8_192,
            request: REQUEST_INDUCTION,
            socket_id,
            cookie: 0,
        }
    }

    /// The 64 bytes of the datagram.
    pub fn encode(&self) -> Vec<u8> {
        let Self { socket_type, isn, mss, window, request, socket_id, cookie, .. } = *self;
        let cif = [4, socket_type, isn, mss, window, request, socket_id, cookie, 0x0100_007f, 0, 0, 0];
        let header = [0x8000_0000, 0, 0, self.destination_id];
        bytes(&[&header[..], &cif].concat())
    }

    /// The fields of a datagram, if it is a handshake of 64 bytes.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let words = words(datagram);
        let [0x8000_0000, _, _, destination_id, _, socket_type, isn, mss, window, request, socket_id, cookie, ..] =
            words[..]
        else {
            return None;
        };
        (words.len() == 16).then_some(Self {
            destination_id,
            socket_type,
            isn,
            mss,
            window,
            request,
            socket_id,
            cookie,
        })
    }
}

/// A data packet that is a message of its own.
pub fn data(seq: u32, message_number: u32, destination_id: u32, payload: &[u8]) -> Vec<u8> {
    let mut datagram = bytes(&[seq, 0xC000_0000 | message_number, 0, destination_id]);
    datagram.extend_from_slice(payload);
    datagram
}

/// A control packet with its additional information and its body.
pub fn control(control_type: u16, information: u32, destination_id: u32, body: &[u32]) -> Vec<u8> {
    bytes(&[&[0x8000_0000 | (u32::from(control_type) << 16), information, 0, destination_id], body].concat())
}

/// Big-endian words as bytes.
pub fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Bytes as big-endian words; a remainder of up to 3 bytes is left out.
pub fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().expect("chunks of 4"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_decodes_as_it_was_encoded() {
        let handshake = Handshake { cookie: 7, request: REQUEST_CONCLUSION, ..Handshake::induction(3, 9) };
        let datagram = handshake.encode();
        assert_eq!(datagram.len(), 64);
        assert_eq!(Handshake::decode(&datagram), Some(handshake));
        assert!(Packet::is_request(&datagram, REQUEST_CONCLUSION));
        assert_eq!(Handshake::decode(&datagram[..60]), None);
    }

    #[test]
    fn packets_are_told_apart() {
        assert_eq!(Packet::of(&data(5, 1, 2, b"x")), Packet::Data(5));
        assert_eq!(Packet::of(&control(2, 0, 2, &[5])), Packet::Ack(0));
        assert!(Packet::is_shutdown(&control(5, 0, 2, &[0])));
        assert_eq!(Packet::of(&[0; 15]), Packet::Short);
        assert_eq!(Packet::of(&control(0x7FFF, 0, 2, &[])), Packet::Control(0x7FFF));
    }
}
