//! What one of our own receivers adds to a full ACK, behind the 24 bytes that libudt knows (docs/wire-extensions.md).
//!
//! ```text
//! word 6  every packet before this one has arrived or was reported missing
//!      7  time stamp of the newest data packet
//!      8  microseconds since that packet arrived
//!      9  different packets that have arrived since the beginning, modulo 2^32
//! ```
//!
//! With it the sender knows what is still on its way though a gap holds the cumulative position back, and measures the
//! round-trip time without the receiver's delays.

use std::time::{Duration, Instant};

use crate::seq::Seq;

/// A measurement above this is a mistake: the time stamp wraps after 71 minutes.
const RTT_MAX: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AckTail {
    pub(super) known_to: Seq,
    pub(super) echo_us: u32,
    pub(super) age_us: u32,
    pub(super) received_packets: u32,
}

impl AckTail {
    pub(super) const BYTES: usize = 16;

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (word, value) in bytes.chunks_exact_mut(4).zip(self.words()) {
            word.copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    /// `None` if there is no tail. Later versions only add words.
    pub(super) fn decode(tail: &[u8]) -> Option<Self> {
        let mut words = tail.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
        let [known_to, echo_us, age_us, received_packets] =
            [words.next()?, words.next()?, words.next()?, words.next()?];
        Some(Self { known_to: Seq::new(known_to), echo_us, age_us, received_packets })
    }

    fn words(self) -> [u32; 4] {
        [self.known_to.value(), self.echo_us, self.age_us, self.received_packets]
    }

    /// The time from the sending of the packet echoed until `now`, less the time that the receiver held the answer. Time stamps count
    /// from `created`.
    pub(super) fn rtt(self, now: Instant, created: Instant) -> Option<Duration> {
        let now_us = now.saturating_duration_since(created).as_micros() as u32;
        let rtt_us = now_us.wrapping_sub(self.echo_us).wrapping_sub(self.age_us);
        let rtt = Duration::from_micros(rtt_us.max(1).into());
        (rtt <= RTT_MAX).then_some(rtt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_measures_without_the_receivers_delay() {
        let tail = AckTail { known_to: Seq::new(7), echo_us: u32::MAX - 999, age_us: 3_000, received_packets: 9 };
        assert_eq!(AckTail::decode(&tail.encode()), Some(tail));
        assert_eq!(AckTail::decode(&tail.encode()[..15]), None);
        let created = crate::tests::epoch();
        let sent = created + Duration::from_micros((u64::from(u32::MAX) + 1) - 1000);
        assert_eq!(tail.rtt(sent + Duration::from_micros(23_000), created), Some(Duration::from_micros(20_000)));
        assert_eq!(tail.rtt(sent - Duration::from_secs(1), created), None);
    }
}
