//! A TCP receiver: an acknowledgement per two segments, at once when something is missing, else after a delay.

use std::time::{Duration, Instant};

use crate::agent::Outbox;
use crate::parcel::{ACK_RANGES, Load, Segment, SegmentAck};

/// Linux' least delayed-ACK time.
const ACK_DELAY: Duration = Duration::from_millis(40);

/// See the module.
#[derive(Debug, Default)]
pub struct TcpReceiver {
    ranges: [(u64, u64); ACK_RANGES],
    received: u64,
    unacknowledged: u32,
    ack_at: Option<Instant>,
}

impl TcpReceiver {
    /// A segment arrives.
    pub fn on_segment(&mut self, now: Instant, segment: Segment, out: &mut Outbox) {
        let number = segment.number;
        let is_next = number == self.ranges[0].1;
        if self.ranges.iter().any(|&(first, end)| first <= number && number < end) {
            return;
        }
        self.received += 1;
        self.unacknowledged += 1;
        if is_next {
            self.ranges[0].1 += 1;
        } else if number > self.ranges[0].1 {
            self.ranges.rotate_right(1);
            self.ranges[0] = (number, number + 1);
        } else {
            self.insert_late(number);
        }
        if self.unacknowledged >= 2 || !is_next {
            self.acknowledge(out);
        } else {
            self.ack_at = Some(now + ACK_DELAY);
        }
    }

    /// The delay of an acknowledgement is over.
    pub fn wake(&mut self, _now: Instant, out: &mut Outbox) {
        self.acknowledge(out);
    }

    /// When that is.
    pub fn next_wake(&self) -> Option<Instant> {
        self.ack_at
    }

    /// Segments received, each once.
    pub fn received_packets(&self) -> u64 {
        self.received
    }

    fn acknowledge(&mut self, out: &mut Outbox) {
        self.ack_at = None;
        self.unacknowledged = 0;
        out.packets.push(Load::SegmentAck(SegmentAck { ranges: self.ranges }));
    }

    /// A segment that was overtaken: it joins a range, or stays unmentioned if it is too late for that.
    fn insert_late(&mut self, number: u64) {
        if let Some(range) = self.ranges.iter_mut().find(|range| range.0 == number + 1) {
            range.0 = number;
        } else if let Some(range) = self.ranges.iter_mut().find(|range| range.1 == number) {
            range.1 += 1;
        }
        for index in 1..ACK_RANGES {
            if self.ranges[index].1 == self.ranges[index - 1].0 && self.ranges[index].1 > 0 {
                self.ranges[index - 1].0 = self.ranges[index].0;
                self.ranges.copy_within(index + 1.., index);
                self.ranges[ACK_RANGES - 1] = (0, 0);
            }
        }
    }
}
