//! The rate at which packets are delivered, sampled per acknowledgement.
//!
//! Each packet remembers how much had been delivered when it left. When it is delivered itself, the difference over the
//! time in between is a sample of what the path carried; the longer of the sending time and the acknowledging time is
//! taken, so that neither a burst sent nor a burst of acknowledgements looks like a fast path.
//!
//! Source: draft-cheng-iccrg-delivery-rate-estimation-02, sections 3.1 to 3.3.

use std::time::{Duration, Instant};

/// What a packet in flight remembers of the moment it was sent. Kept by the sender, one per packet: 40 bytes.
#[derive(Clone, Copy, Debug)]
pub struct SendRecord {
    sent: Instant,
    /// Packets delivered by then.
    delivered: u64,
    /// The last delivery before, counted back from `sent`.
    since_delivered_us: u32,
    /// When the packet left that was the newest delivered one, counted back from `sent`.
    since_first_sent_us: u32,
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
    /// Packets that had been delivered when the sampled packet was sent: a round is over when this passes its
    /// beginning.
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
/// Per acknowledgement: [`on_delivered`](Self::on_delivered) for each packet that it delivers, then
/// [`sample`](Self::sample) once.
#[derive(Clone, Debug)]
pub struct RateSampler {
    delivered: u64,
    delivered_time: Instant,
    first_sent: Instant,
    /// The count of deliveries at which the last packet sent under the application's limit has been delivered; 0: none
    /// is out.
    app_limited_until: u64,
    /// The newest packet among those delivered since the last sample.
    newest: Option<SendRecord>,
}

impl RateSampler {
    /// A sampler of a connection that begins now.
    pub fn new(now: Instant) -> Self {
        Self { delivered: 0, delivered_time: now, first_sent: now, app_limited_until: 0, newest: None }
    }

    /// A packet leaves, with `in_flight_packets` already under way. `app_limited`: nothing is left to send after it and
    /// the window is not full. A retransmission gets a new record.
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
            since_delivered_us: micros(now.saturating_duration_since(self.delivered_time)),
            since_first_sent_us: micros(now.saturating_duration_since(self.first_sent)),
            app_limited: self.app_limited_until != 0,
        }
    }

    /// This many packets are known to be delivered; `record` is of the one that left last.
    pub fn on_delivered(&mut self, record: &SendRecord, now: Instant, packets: u64) {
        self.delivered += packets;
        self.delivered_time = now;
        self.on_arrived(record);
    }

    /// A packet is known to be delivered, and the peer's own count of them follows ([`set_delivered`](Self::set_delivered)):
    /// to count here too would give a time to a count that lacks the others.
    pub fn on_arrived(&mut self, record: &SendRecord) {
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let is_newest =
            self.newest.is_none_or(|newest| (record.delivered, record.sent) >= (newest.delivered, newest.sent));
        if is_newest {
            self.newest = Some(*record);
            self.first_sent = self.first_sent.max(record.sent);
        }
    }

    /// The peer counts what it has: this many packets.
    pub fn set_delivered(&mut self, now: Instant, delivered: u64) {
        self.delivered_time = now;
        self.delivered = delivered;
    }

    /// A packet that was taken for delivered was not.
    pub fn on_revoked(&mut self) {
        self.delivered = self.delivered.saturating_sub(1);
    }

    /// The sample of the packets delivered since the last call. `None` if there were none, or no time passed.
    pub fn sample(&mut self) -> Option<RateSample> {
        let record = self.newest.take()?;
        let send_elapsed = Duration::from_micros(record.since_first_sent_us.into());
        let ack_elapsed = self.delivered_time.saturating_duration_since(record.sent)
            + Duration::from_micros(record.since_delivered_us.into());
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

/// Whole microseconds; more than 71 minutes count as 71 minutes.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::virtual_time;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Sends a packet every `sending`, delivers it after `delay(n)`, and returns the rates of the samples.
    fn rates(packets: u32, sending: Duration, delay: impl Fn(u32) -> Duration) -> Vec<f64> {
        let origin = virtual_time::origin();
        let mut sampler = RateSampler::new(origin);
        let mut flight: VecDeque<(Instant, SendRecord)> = VecDeque::new();
        let mut rates = Vec::new();
        for number in 0..packets {
            let now = origin + sending * number;
            while let Some((delivered_at, record)) = flight.front().copied().filter(|&(at, _)| at <= now) {
                flight.pop_front();
                sampler.on_delivered(&record, delivered_at, 1);
                rates.extend(sampler.sample().map(|sample| sample.packets_per_s()));
            }
            let record = sampler.on_sent(now, flight.len() as u32, false);
            flight.push_back((now + delay(number), record));
        }
        rates
    }

    #[test]
    fn a_steady_flow_is_sampled_at_its_rate() {
        let rates = rates(2000, ms(1), |_| ms(50));
        assert!(rates[200..].iter().all(|rate| (rate - 1000.0).abs() < 25.0), "{rates:?}");
    }

    #[test]
    fn a_burst_of_acknowledgements_is_not_a_rate() {
        // Every hundred packets are acknowledged at once.
        let rates = rates(3000, ms(1), |number| ms(150 - u64::from(number % 100)));
        assert!(rates[200..].iter().all(|&rate| rate < 1020.0), "{rates:?}");
    }

    #[test]
    fn a_burst_of_packets_is_not_a_rate() {
        let origin = virtual_time::origin();
        let mut sampler = RateSampler::new(origin);
        let records: Vec<_> = (0..100).map(|number| sampler.on_sent(origin, number, false)).collect();
        for (number, record) in records.iter().enumerate() {
            sampler.on_delivered(record, origin + ms(100 + number as u64), 1);
        }
        let sample = sampler.sample().expect("packets were delivered");
        assert_eq!((sample.delivered, sample.interval, sample.prior_delivered), (100, ms(199), 0));
        assert_eq!(sampler.sample(), None, "nothing new");
    }

    #[test]
    fn a_pause_does_not_count() {
        let origin = virtual_time::origin();
        let mut sampler = RateSampler::new(origin);
        let first = sampler.on_sent(origin, 0, true);
        sampler.on_delivered(&first, origin + ms(10), 1);
        assert!(sampler.sample().expect("one packet").app_limited);
        let later = origin + Duration::from_secs(60);
        let records = [sampler.on_sent(later, 0, false), sampler.on_sent(later + ms(1), 1, false)];
        for record in &records {
            sampler.on_delivered(record, later + ms(20), 1);
        }
        let sample = sampler.sample().expect("two packets");
        assert_eq!((sample.delivered, sample.interval), (2, ms(20)));
    }

    #[test]
    fn the_limit_of_the_application_ends_when_its_packets_are_delivered() {
        let origin = virtual_time::origin();
        let mut sampler = RateSampler::new(origin);
        let limited = [sampler.on_sent(origin, 0, false), sampler.on_sent(origin, 1, true)];
        let after = sampler.on_sent(origin + ms(1), 2, false);
        assert_eq!([limited[0], limited[1], after].map(|record| record.is_app_limited()), [false, true, true]);
        for record in limited.iter().chain([&after]) {
            sampler.on_delivered(record, origin + ms(10), 1);
        }
        assert!(!sampler.on_sent(origin + ms(11), 0, false).is_app_limited());
    }

    #[test]
    fn what_was_not_delivered_after_all_is_taken_back() {
        let origin = virtual_time::origin();
        let mut sampler = RateSampler::new(origin);
        sampler.on_revoked();
        let records = [sampler.on_sent(origin, 0, false), sampler.on_sent(origin, 1, false)];
        records.iter().for_each(|record| sampler.on_delivered(record, origin + ms(10), 1));
        sampler.on_revoked();
        assert_eq!(sampler.delivered_total(), 1);
        assert_eq!(sampler.sample().map(|sample| sample.delivered), Some(1));
    }

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<SendRecord>() <= 40);
    }
}
