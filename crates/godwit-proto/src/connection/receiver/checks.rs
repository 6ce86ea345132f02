//! What must be true of a receiver between any two calls.

use super::Receiver;

impl Receiver {
    /// Panics where an invariant does not hold.
    pub(in crate::connection) fn check(&self) {
        let next = self.buffer.next();
        assert!(self.confirmed <= self.acked && self.acked <= next, "{} {} {next}", self.confirmed, self.acked);
        assert!(self.advertised_packets <= self.window_packets, "a wider window than in the handshake (pitfall 10)");
        // What a message drop skips never arrived.
        assert!(self.stats.dropped_messages > 0 || self.unique_packets >= next, "{} of {next}", self.unique_packets);
        let base = self.seq_of(next);
        let mut before = -1;
        for (first, last, _) in self.missing.ranges() {
            let (first, last) = (i64::from(base.offset_to(first)), i64::from(base.offset_to(last)));
            assert!(first <= last && first > before, "the missing packets are not sorted and disjoint");
            assert!(last < self.highest as i64 - next as i64, "missing beyond what was seen");
            before = last;
        }
        assert!(self.missing.is_empty() || self.nak_at.is_some(), "missing packets and no report planned");
        if next < self.highest {
            assert!(self.missing.contains(base), "the first packet that has not arrived is not missed");
        }
    }
}
