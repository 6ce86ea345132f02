//! The full ACKs that were sent and not confirmed yet: an ACK2 finds here when its ACK left and what it acknowledged.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::rtt::MIN_SAMPLE;
use crate::seq::{AckNumber, Seq};

/// Unconfirmed ACKs kept, as in libudt: at one per 10 ms the last 10 s. Older ones are forgotten, their ACK2 then means
/// nothing.
pub(crate) const MAX_UNCONFIRMED_ACKS: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct SentAck {
    number: AckNumber,
    ack_seq: Seq,
    sent: Instant,
}

/// A ring of the last [`MAX_UNCONFIRMED_ACKS`] full ACKs.
///
/// Source: specification sections 4.2 and 4.3.
#[derive(Clone, Debug, Default)]
pub(crate) struct AckHistory {
    /// In the order of sending, so ACK numbers rise (circularly) from front to back.
    sent: VecDeque<SentAck>,
}

impl AckHistory {
    /// An empty history.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Remembers a full ACK. Each `number` comes after the one before.
    pub(crate) fn record(&mut self, number: AckNumber, ack_seq: Seq, sent: Instant) {
        if self.sent.len() == MAX_UNCONFIRMED_ACKS {
            self.sent.pop_front();
        }
        self.sent.push_back(SentAck { number, ack_seq, sent });
    }

    /// Takes in an ACK2. Returns the round-trip time (at least 1 µs: libudt ignores an ACK2 that came back within the
    /// same microsecond, and so repeats itself; pitfall 22) and what the peer now knows to be acknowledged. Forgets
    /// this ACK and those before it, so an ACK2 that was overtaken, comes twice or was never asked for is `None`.
    pub(crate) fn acknowledge(&mut self, number: AckNumber, now: Instant) -> Option<(Duration, Seq)> {
        let at = self.sent.partition_point(|ack| is_before(ack.number, number));
        let ack = *self.sent.get(at).filter(|ack| ack.number == number)?;
        self.sent.drain(..=at);
        Some((now.saturating_duration_since(ack.sent).max(MIN_SAMPLE), ack.ack_seq))
    }

    /// Gives memory back that nothing needs now.
    pub(crate) fn shrink(&mut self) {
        self.sent.shrink_to_fit();
    }

    /// ACKs without an ACK2.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }
}

/// Circular comparison of two ACK numbers less than 2^30 apart.
fn is_before(a: AckNumber, b: AckNumber) -> bool {
    Seq::new(a.value()).is_before(Seq::new(b.value()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_time;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn measures_and_forgets_older_ones() {
        let origin = virtual_time::origin();
        let mut history = AckHistory::new();
        for step in 1..=3 {
            history.record(AckNumber::new(step), Seq::new(step * 100), origin + ms(u64::from(step)));
        }
        assert_eq!(history.acknowledge(AckNumber::new(2), origin + ms(9)), Some((ms(7), Seq::new(200))));
        assert_eq!(history.acknowledge(AckNumber::new(1), origin + ms(9)), None, "overtaken");
        assert_eq!(history.acknowledge(AckNumber::new(2), origin + ms(9)), None, "twice");
        assert_eq!(history.acknowledge(AckNumber::new(77), origin + ms(9)), None, "never sent");
        assert_eq!(history.len(), 1);
    }

    /// Pitfall 22.
    #[test]
    fn a_round_trip_of_zero_counts() {
        let origin = virtual_time::origin();
        let mut history = AckHistory::new();
        history.record(AckNumber::FIRST, Seq::new(5), origin);
        assert_eq!(history.acknowledge(AckNumber::FIRST, origin), Some((Duration::from_micros(1), Seq::new(5))));
    }

    #[test]
    fn numbers_wrap_over_zero() {
        let origin = virtual_time::origin();
        let mut history = AckHistory::new();
        let mut number = AckNumber::new(0x7FFF_FFFE);
        for step in 0..4 {
            history.record(number, Seq::new(step), origin);
            number = number.next();
        }
        assert_eq!(history.acknowledge(AckNumber::FIRST, origin + ms(1)), Some((ms(1), Seq::new(2))));
        assert_eq!(history.len(), 1);
    }

    #[test]
    fn the_ring_is_bounded() {
        let origin = virtual_time::origin();
        let mut history = AckHistory::new();
        let mut number = AckNumber::FIRST;
        for _ in 0..3 * MAX_UNCONFIRMED_ACKS {
            history.record(number, Seq::new(0), origin);
            number = number.next();
        }
        assert_eq!(history.len(), MAX_UNCONFIRMED_ACKS);
        assert_eq!(history.acknowledge(AckNumber::FIRST, origin), None);
    }
}
