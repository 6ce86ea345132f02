//! What must be true of a sender between any two calls.

use super::Sender;

impl Sender {
    /// Panics where an invariant does not hold.
    pub(in crate::connection) fn check(&self) {
        assert!(self.una <= self.next, "{} {}", self.una, self.next);
        assert!(self.next <= self.buffer.end(), "packets that were never written: {} {}", self.next, self.buffer.end());
        assert_eq!(self.flights.len() as u64, self.next - self.una, "a record for each packet in flight");
        assert!(self.una <= self.window_end, "the window ends before what was acknowledged");
        let mut before = None;
        for (first, last) in self.lost.ranges() {
            let (first, last) = (self.index_of(first), self.index_of(last));
            assert!(first <= last && first >= self.una as i64 && last < self.next as i64, "lost but not in flight");
            assert!(before.is_none_or(|before| before + 1 < first), "the loss list is not sorted, disjoint and joined");
            before = Some(last);
        }
        assert!(
            self.una == self.next || self.probe_at.is_some(),
            "packets in flight and nothing that would repair them"
        );
        assert!(self.drop_requests.is_empty(), "a drop request that nobody asks for");
    }
}
