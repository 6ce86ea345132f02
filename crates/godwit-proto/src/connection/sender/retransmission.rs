//! What goes out again, and what is given up instead.

use std::time::Instant;

use super::{DropRequest, Room, Sender};
use crate::congestion::Control as _;
use crate::connection::rtt::RttEstimator;
use crate::connection::send_buffer::ExpiredMessage;
use crate::datagram::TRANSMIT_BYTES_MAX;
use crate::packet::HEADER_BYTES;

/// Drop requests that wait to be sent; a message that expires beyond that waits for the next round.
pub(super) const DROP_REQUESTS_MAX: usize = 64;

impl Sender {
    /// Puts the packets `first ..= last`, all in flight, on the loss list, and says how many were new there. Packets that
    /// were retransmitted hardly more than an RTT ago stay out: the report must have crossed the retransmission. Deviation 21.
    pub(super) fn mark_lost(&mut self, now: Instant, first: u64, last: u64, rtt: &RttEstimator) -> u32 {
        let recent = rtt.srtt() + rtt.var();
        let mut inserted = 0;
        for index in first..=last {
            let flight = self.flights.at(index);
            if (flight.transmissions == 1 || now - flight.sent() >= recent) && self.flights.lose(index) {
                inserted += self.lost.insert(self.seq_of(index), self.seq_of(index));
            }
        }
        inserted
    }

    /// Copies lost packets to `scratch`, as many as fit one segmented send; the size of the segments.
    pub(super) fn poll_retransmissions(
        &mut self,
        now: Instant,
        allowed: usize,
        room: Room,
        stamp: u32,
        rtt: &RttEstimator,
        scratch: &mut Vec<u8>,
    ) -> Option<usize> {
        let mut segment_bytes = 0;
        let mut packets = 0;
        while packets < allowed
            && let Some(seq) = self.lost.first()
        {
            let index = self.index_of(seq) as u64;
            if let Some(expired) = self.buffer.expired_message(index, now) {
                if self.drop_requests.len() == DROP_REQUESTS_MAX {
                    break;
                }
                self.give_up(now, expired);
                continue;
            }
            let Some(size) = self.buffer.packet_bytes(index) else { break };
            let is_full = size > segment_bytes || scratch.len() + size > TRANSMIT_BYTES_MAX;
            if packets > 0 && is_full {
                break;
            }
            self.lost.pop_first();
            self.buffer.copy_packet(index, stamp, scratch);
            self.retransmitted(now, index, size);
            self.plan_copies(now, index, rtt);
            segment_bytes = segment_bytes.max(size);
            packets += 1;
            // A shorter segment can only be the last.
            if size < segment_bytes || size > room.datagram_bytes {
                break;
            }
        }
        self.pacer.charge(now, packets, self.interval());
        (packets > 0).then_some(segment_bytes)
    }

    fn retransmitted(&mut self, now: Instant, index: u64, bytes: usize) {
        self.flights.resend(now, index, self.cohort());
        self.stats.retransmitted_packets += 1;
        self.stats.retransmitted_bytes += (bytes - HEADER_BYTES) as u64;
        self.count_sent(1, bytes - HEADER_BYTES);
        self.controller.on_sent(self.pipe_packets());
    }

    /// A message is too late: the peer is told not to wait for it, and what was not sent of it stays unsent. Deviation 43.
    pub(super) fn give_up(&mut self, now: Instant, expired: ExpiredMessage) {
        while self.next < expired.end {
            self.flights.push(now, 1, false, self.cohort());
            self.next += 1;
        }
        (expired.first.max(self.una)..expired.end).for_each(|index| self.flights.give_up(index));
        let (first, last) = (self.seq_of(expired.first), self.seq_of(expired.end - 1));
        self.lost.remove_range(first, last);
        self.drop_requests.push_back(DropRequest { message: expired.message, first, last });
        self.stats.dropped_messages += 1;
    }
}
