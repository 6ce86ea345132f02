//! The rate at which packets are delivered, sampled per acknowledgement.
//!
//! Each packet remembers how much had been delivered when it left. When it is delivered itself, the difference over the time in between
//! is a sample of what the path carried; the longer of the sending time and the acknowledging time is taken, so that neither a
//! burst sent nor a burst of acknowledgements looks like a fast path.
//!
//! Source: draft-cheng-iccrg-delivery-rate-estimation-02, sections 3.1 to 3.3.

use std::time::{Duration, Instant};

/// What a packet in flight remembers of the moment it was sent. Kept by the sender, one per packet.
#[derive(Clone, Copy, Debug)]
pub struct SendRecord {
    sent: Instant,
    delivered: u64,
    delivered_time: Instant,
    first_sent: Instant,
    app_limited: bool,
}

impl SendRecord {
    /// When the packet was sent.
    pub fn sent(&self) -> Instant {
        self.sent
    }

    /// Packets that had been delivered when it was sent.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether it was sent while the application was the limit.
    pub fn is_app_limited(&self) -> bool {
        self.app_limited
    }
}

/// One measurement of the delivery rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSample {
    /// Packets that were delivered in `interval`.
    pub delivered: u64,
    /// The time they took, more than zero. A sample over much less than the round-trip time is not worth using.
    pub interval: Duration,
    /// Whether the application, not the path, may have been the limit: then the path can do this rate, and maybe more.
    pub app_limited: bool,
    /// Packets that had been delivered when the sampled packet was sent: a round is over when this passes its beginning.
    pub prior_delivered: u64,
}

impl RateSample {
    /// Packets per second.
    pub fn packets_per_s(&self) -> f64 {
        self.delivered as f64 / self.interval.as_secs_f64()
    }
}

/// Counts deliveries and takes the samples.
///
/// Per acknowledgement: [`on_delivered`](Self::on_delivered) for each packet that it delivers, then [`sample`](Self::sample) once.
#[derive(Clone, Debug)]
pub struct RateSampler {
    delivered: u64,
    delivered_time: Instant,
    first_sent: Instant,
    /// The count of deliveries at which the last packet sent under the application's limit has been delivered; 0: none is out.
    app_limited_until: u64,
    /// The newest packet among those delivered since the last sample, and when it left.
    newest: Option<Newest>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    record: SendRecord,
    send_elapsed: Duration,
}

impl RateSampler {
    /// A sampler of a connection that begins now.
    pub fn new(now: Instant) -> Self {
        Self { delivered: 0, delivered_time: now, first_sent: now, app_limited_until: 0, newest: None }
    }

    /// A packet leaves, with `in_flight_packets` already under way. `app_limited`: nothing is left to send after it and the
    /// window is not full. A retransmission gets a new record.
    pub fn on_sent(&mut self, now: Instant, in_flight_packets: u32, app_limited: bool) -> SendRecord {
        if in_flight_packets == 0 {
            // After a pause both clocks start again: the pause says nothing about the path.
            self.first_sent = now;
            self.delivered_time = now;
        }
        if app_limited {
            self.app_limited_until = self.delivered + u64::from(in_flight_packets) + 1;
        }
        SendRecord {
            sent: now,
            delivered: self.delivered,
            delivered_time: self.delivered_time,
            first_sent: self.first_sent,
            app_limited: self.app_limited_until != 0,
        }
    }

    /// A packet is known to be delivered.
    pub fn on_delivered(&mut self, record: &SendRecord, now: Instant) {
        self.delivered += 1;
        self.delivered_time = now;
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let is_newest = self
            .newest
            .is_none_or(|newest| (record.delivered, record.sent) >= (newest.record.delivered, newest.record.sent));
        if is_newest {
            let send_elapsed = record.sent.saturating_duration_since(record.first_sent);
            self.newest = Some(Newest { record: *record, send_elapsed });
            self.first_sent = record.sent;
        }
    }

    /// A packet that was taken for delivered was not.
    pub fn on_revoked(&mut self) {
        self.delivered = self.delivered.saturating_sub(1);
    }

    /// The sample of the packets delivered since the last call. `None` if there were none, or no time passed.
    pub fn sample(&mut self) -> Option<RateSample> {
        let Newest { record, send_elapsed } = self.newest.take()?;
        let ack_elapsed = self.delivered_time.saturating_duration_since(record.delivered_time);
        let interval = send_elapsed.max(ack_elapsed);
        let delivered = self.delivered.saturating_sub(record.delivered);
        let prior_delivered = record.delivered;
        (!interval.is_zero()).then_some(RateSample {
            delivered,
            interval,
            app_limited: record.app_limited,
            prior_delivered,
        })
    }

    /// Packets known to be delivered since the beginning.
    pub fn delivered_total(&self) -> u64 {
        self.delivered
    }
}
