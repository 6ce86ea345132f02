//! Nothing leaves beyond the window: what the peer has made room for, read from its own packets as they arrive.

use godwit_proto::packet::{Control, Packet};
use godwit_proto::seq::Seq;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct WindowCheck {
    /// The first packet for which the peer has not made room, as far as this end can know.
    limit: Option<Seq>,
}

impl WindowCheck {
    /// A datagram of the peer arrives.
    pub fn on_arrival(&mut self, datagram: &[u8]) {
        // Data packets say nothing about the window, and there are many of them.
        if datagram.first().is_none_or(|byte| byte & 0x80 == 0) {
            return;
        }
        let Ok(Packet::Control(packet)) = Packet::decode(datagram) else { return };
        match packet.control {
            Control::Handshake(handshake) => self.raise(handshake.isn.add(handshake.window_packets)),
            // libudt's rule: one packet is always allowed, or a window of 0 could never be seen to open.
            Control::Ack(ack) => self.raise(ack.ack_seq.add(ack.available_packets.max(1))),
            _ => {}
        }
    }

    /// A datagram leaves: its number and the limit, if it lies beyond.
    pub fn on_departure(&self, datagram: &[u8]) -> Option<(u32, u32)> {
        let first: [u8; 4] = *datagram.first_chunk()?;
        if first[0] & 0x80 != 0 {
            return None;
        }
        let seq = Seq::new(u32::from_be_bytes(first));
        let limit = self.limit?;
        (!seq.is_before(limit)).then_some((seq.value(), limit.value()))
    }

    fn raise(&mut self, limit: Seq) {
        if self.limit.is_none_or(|before| before.is_before(limit)) {
            self.limit = Some(limit);
        }
    }
}
