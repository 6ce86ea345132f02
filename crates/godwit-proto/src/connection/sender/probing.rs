//! Silence is probed: with the packet at which the ACK stands, and with the newest, which makes a receiver report all that it
//! misses between the two.

use std::time::{Duration, Instant};

use super::Sender;
use crate::congestion::Control as _;
use crate::connection::rtt::RttEstimator;

/// libudt acknowledges each 10 ms: what a probe allows for beside the RTT.
const ACK_DELAY: Duration = Duration::from_millis(10);
/// No probe before this, whatever the RTT is (specification section 11, rule 2). Deviation 19.
const PROBE_AFTER_MIN: Duration = Duration::from_millis(25);
/// The longest time between two probes of a silent peer, unless the round-trip time is longer: when a path comes back, it is
/// found within this time.
const PROBE_AFTER_MAX: Duration = Duration::from_millis(250);
/// Probes without progress before the controller is told of a timeout.
const PROBES_BEFORE_TIMEOUT: u32 = 3;

impl Sender {
    /// The probe timer has run out, if it has.
    pub(super) fn probe(&mut self, now: Instant, rtt: &RttEstimator) {
        if self.probe_at.is_none_or(|at| now < at) {
            return;
        }
        let front = self.flights.front().map(|front| front.sent() + self.probe_after(rtt, front.transmissions));
        let is_queued = self.lost.first() == Some(self.seq_of(self.una));
        if is_queued || front.is_none_or(|due| now < due) {
            // It waits for its turn, or has been sent again since: no second one on top of that.
            return self.arm_probe(now, rtt);
        }
        self.probes += 1;
        self.stats.probes += 1;
        self.stats.lost_packets += u64::from(self.lost.insert(self.seq_of(self.una), self.seq_of(self.una)));
        self.give_up_old_retransmissions(now, rtt);
        // The newest packet makes a receiver that has missed all the others report them at once.
        let newest = self.next - 1;
        let oldest_wait = now - self.flights.at(newest).sent();
        let is_unknown = newest > self.una && !self.flights.at(newest).is_delivered();
        if is_unknown && oldest_wait >= self.probe_after(rtt, 1) {
            self.stats.lost_packets += u64::from(self.lost.insert(self.seq_of(newest), self.seq_of(newest)));
        }
        if self.probes == PROBES_BEFORE_TIMEOUT {
            self.controller.on_timeout(now, self.next);
        }
        self.arm_probe(now, rtt);
    }

    /// How long the first packet in flight may stay unacknowledged before it is sent again.
    fn probe_after(&self, rtt: &RttEstimator, transmissions: u8) -> Duration {
        let base = if transmissions > 1 { rtt.srtt() * 9 / 8 } else { rtt.srtt() * 2 };
        let wait = (base + rtt.var() * 4 + ACK_DELAY).max(PROBE_AFTER_MIN);
        // One probe may be lost as anything else; only the second that nothing follows says that the path is silent.
        (wait * (1 << self.probes.saturating_sub(1).min(6))).min(wait.max(PROBE_AFTER_MAX))
    }

    pub(super) fn arm_probe(&mut self, now: Instant, rtt: &RttEstimator) {
        self.probe_at = self.flights.front().map(|front| {
            let due = front.sent() + self.probe_after(rtt, front.transmissions);
            // A packet that is on the loss list already is about to be sent; look again when it has been.
            if due <= now { now + PROBE_AFTER_MIN } else { due }
        });
        if let Some(front) = self.flights.front()
            && front.transmissions > 1
            && front.sent() + self.probe_after(rtt, front.transmissions) <= now
            && self.probes == 0
        {
            // The ACK stopped at a packet whose retransmission should long have arrived: it was lost, too. Deviation 20.
            let seq = self.seq_of(self.una);
            self.stats.lost_packets += u64::from(self.lost.insert(seq, seq));
            self.give_up_old_retransmissions(now, rtt);
        }
    }

    /// One retransmission was lost, and the peer will never say which others were: all that left so long ago, and may have shared its
    /// fate, go out again. One by one, each would cost a round-trip. Deviation 20.
    fn give_up_old_retransmissions(&mut self, now: Instant, rtt: &RttEstimator) {
        if self.peer_repeats_naks {
            return;
        }
        let overdue = self.probe_after(rtt, 2);
        for (index, flight) in (self.una..).zip(self.flights.iter()) {
            if flight.transmissions > 1 && now - flight.sent() >= overdue {
                let seq = self.numbering.initial_seq.add(index as u32);
                self.stats.lost_packets += u64::from(self.lost.insert(seq, seq));
            }
        }
    }
}
