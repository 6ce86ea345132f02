//! Packet pairs, by which a receiver estimates the capacity of the path (specification section 3.2): the packet whose number
//! is a multiple of 16 and the next one leave back to back, whatever the pace.
//!
//! libudt takes the time of each packet. A receiver with offload sees one time for all packets of a send, so towards one
//! of ours a pair is two *sends*: one that ends with such a number, and at once as many packets as may leave together. The
//! gap between the two is what the second took. Deviation 26.

use crate::seq::Seq;

/// A pair starts at each sequence number that is a multiple of this.
const EVERY_PACKETS: u32 = 16;
/// Between our own ends each of so many runs is cut in two for a pair: 1/16 more system calls, and at 1 Gbit/s 100 pairs
/// per second.
const EVERY_RUNS: u64 = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PacketPairs {
    /// Whether the last new packet was the first of a pair, so that the next one is to follow at once.
    is_owed: bool,
    is_peer_godwit: bool,
    /// From this packet on a run may be cut.
    cut_from: u64,
}

impl PacketPairs {
    /// From now on the pairs are pairs of sends.
    pub(super) fn peer_is_godwit(&mut self) {
        self.is_peer_godwit = true;
    }

    /// How many packets have to leave now, whatever the pace, if `quantum_packets` may leave together.
    pub(super) fn take_owed(&mut self, quantum_packets: u32) -> usize {
        match (std::mem::take(&mut self.is_owed), self.is_peer_godwit) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => quantum_packets.max(1) as usize,
        }
    }

    /// How many packets of a run that begins with packet `index` are to leave in the next send: all of them, or those up
    /// to the first of a pair.
    pub(super) fn cut(&mut self, index: u64, first: Seq, packets: u64) -> u64 {
        if !self.is_peer_godwit || index < self.cut_from {
            return packets;
        }
        let before = u64::from(first.value().wrapping_neg() % EVERY_PACKETS);
        if before >= packets {
            return packets;
        }
        self.cut_from = index + EVERY_RUNS * packets;
        before + 1
    }

    /// The newest packet that has left for the first time.
    pub(super) fn sent(&mut self, newest: Seq) {
        self.is_owed = newest.value().is_multiple_of(EVERY_PACKETS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn towards_libudt_the_second_packet_follows_alone() {
        let mut pairs = PacketPairs::default();
        assert_eq!(pairs.cut(0, Seq::new(10), 44), 44);
        pairs.sent(Seq::new(31));
        assert_eq!(pairs.take_owed(8), 0);
        pairs.sent(Seq::new(32));
        assert_eq!((pairs.take_owed(8), pairs.take_owed(8)), (1, 0));
    }

    #[test]
    fn towards_our_own_one_run_of_sixteen_is_cut_and_its_rest_follows() {
        let mut pairs = PacketPairs::default();
        pairs.peer_is_godwit();
        let (mut index, mut sends) = (0, Vec::new());
        while index < 32 * 44 {
            let packets = pairs.cut(index, Seq::new(10).add(index as u32), 44);
            sends.push(packets);
            index += packets;
        }
        assert_eq!(sends[0], 7);
        assert_eq!(sends.iter().filter(|&&packets| packets < 44).count(), 2);
        pairs.sent(Seq::new(16));
        assert_eq!(pairs.take_owed(8), 8);
    }

    #[test]
    fn numbers_wrap() {
        let mut pairs = PacketPairs::default();
        pairs.peer_is_godwit();
        assert_eq!(pairs.cut(0, Seq::new(0x7FFF_FFFE), 44), 3);
        assert_eq!(pairs.cut(16 * 44, Seq::new(0), 44), 1);
    }
}
