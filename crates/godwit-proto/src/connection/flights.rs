//! The packets between the cumulative acknowledgement and the newest one sent: when each left, and what is known of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::congestion::{CohortReport, Cohorts, RateSample, RateSampler, SendRecord};

/// No round-trip is shorter: a clock that stepped must not make one.
const RTT_MIN: Duration = Duration::from_micros(1);

/// What is known of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// On its way.
    Flying,
    /// Arrived, as the peer said or as follows from what it did not report; a later report may take that back.
    Delivered,
    /// Reported missing, and not sent again yet.
    Lost,
    /// It will not be sent (again).
    GivenUp,
}

/// One packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    record: SendRecord,
    /// When it was sent last.
    pub(super) sent: Instant,
    pub(super) transmissions: u8,
    cohort: u32,
    fate: Fate,
}

/// What has been learnt since the controller was told last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct News {
    pub(super) delivered: u32,
    /// The same as the peer counts it.
    counted: Option<u32>,
    /// From the sending of the newest packet that arrived to the news of it, unless it was sent more than once.
    pub(super) rtt: Option<Duration>,
    pub(super) is_round_start: bool,
}

/// Packets are named by their index; all between `una` and `next` are here.
#[derive(Debug)]
pub(super) struct Flights {
    una: u64,
    queue: VecDeque<Flight>,
    /// Below this nothing is [`Fate::Flying`] but what was sent again.
    known_to: u64,
    flying: u32,
    /// Transmissions, and those of them that count as lost.
    transmitted: u64,
    lost: u64,
    /// Different packets that have arrived, if the peer counts them.
    received: Option<u64>,
    sampler: RateSampler,
    cohorts: Cohorts,
    /// Deliveries at which the round ends.
    round_end: u64,
    news: News,
}

impl Flights {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            una: 0,
            queue: VecDeque::new(),
            known_to: 0,
            flying: 0,
            transmitted: 0,
            lost: 0,
            received: None,
            sampler: RateSampler::new(now),
            cohorts: Cohorts::default(),
            round_end: 0,
            news: News::default(),
        }
    }

    /// The next packet leaves.
    pub(super) fn push(&mut self, now: Instant, is_app_limited: bool, cohort: u32) {
        let record = self.sampler.on_sent(now, self.pipe(), is_app_limited);
        self.cohorts.on_sent(cohort);
        self.flying += 1;
        self.transmitted += 1;
        self.queue.push_back(Flight { record, sent: now, transmissions: 1, cohort, fate: Fate::Flying });
    }

    /// A packet leaves again.
    pub(super) fn resend(&mut self, now: Instant, index: u64, cohort: u32) {
        let record = self.sampler.on_sent(now, self.pipe(), false);
        let flight = &mut self.queue[(index - self.una) as usize];
        match flight.fate {
            Fate::Lost | Fate::GivenUp => {}
            // Nobody reported it: a probe, or the silence after a retransmission. The one on its way is given up.
            Fate::Flying => {
                self.flying -= 1;
                self.lost += 1;
                self.cohorts.on_lost(flight.cohort);
            }
            Fate::Delivered => {
                self.lost += 1;
                self.cohorts.on_delivery_undone(flight.cohort);
            }
        }
        let transmissions = flight.transmissions.saturating_add(1);
        *flight = Flight { record, sent: now, transmissions, cohort, fate: Fate::Flying };
        self.cohorts.on_sent(cohort);
        self.flying += 1;
        self.transmitted += 1;
    }

    /// A packet won't be sent, or not again.
    pub(super) fn give_up(&mut self, index: u64) {
        let flight = &mut self.queue[(index - self.una) as usize];
        if flight.fate == Fate::Flying {
            self.flying -= 1;
            self.lost += 1;
            self.cohorts.on_lost(flight.cohort);
        }
        flight.fate = Fate::GivenUp;
    }

    /// Everything before `index` has arrived. `on_released` sees each packet that this releases.
    pub(super) fn release_before(&mut self, now: Instant, index: u64, mut on_released: impl FnMut(&Flight)) {
        for at in self.una..index {
            self.deliver(now, at);
            on_released(&self.queue[(at - self.una) as usize]);
        }
        self.queue.drain(..(index - self.una) as usize);
        self.una = index;
        self.known_to = self.known_to.max(index);
        if let Some(received) = self.received.filter(|_| self.queue.is_empty()) {
            // Nothing is on its way: whatever the counts missed is put right.
            self.lost = self.transmitted.saturating_sub(received);
        }
    }

    /// The peer has counted this many different packets, modulo 2^32.
    pub(super) fn count_received(&mut self, now: Instant, received: u32) {
        let before = self.received.unwrap_or(0);
        // An ACK that was overtaken has a lower count.
        let more = received.wrapping_sub(before as u32).cast_signed();
        if more < 0 || before + more as u64 > self.transmitted {
            return;
        }
        let received = before + more as u64;
        self.received = Some(received);
        self.sampler.set_delivered(now, received);
        self.news.counted = Some(more as u32);
    }

    /// Everything before `index` that was not reported missing has arrived.
    pub(super) fn deliver_before(&mut self, now: Instant, index: u64) {
        let end = self.una + self.queue.len() as u64;
        for at in self.known_to..index.min(end) {
            if self.queue[(at - self.una) as usize].fate == Fate::Flying {
                self.deliver(now, at);
            }
        }
        self.known_to = self.known_to.max(index.min(end));
    }

    /// A packet was reported missing; true if that is new.
    pub(super) fn lose(&mut self, index: u64) -> bool {
        let flight = &mut self.queue[(index - self.una) as usize];
        match flight.fate {
            Fate::Lost | Fate::GivenUp => return false,
            Fate::Flying => self.flying -= 1,
            Fate::Delivered => {
                if self.received.is_none() {
                    self.sampler.on_revoked();
                }
                self.cohorts.on_delivery_undone(flight.cohort);
            }
        }
        flight.fate = Fate::Lost;
        self.lost += 1;
        self.cohorts.on_lost(flight.cohort);
        true
    }

    /// The packet with this index.
    pub(super) fn at(&self, index: u64) -> &Flight {
        &self.queue[(index - self.una) as usize]
    }

    /// All packets, from the oldest on.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Flight> {
        self.queue.iter()
    }

    /// The oldest packet that is not acknowledged.
    pub(super) fn front(&self) -> Option<&Flight> {
        self.queue.front()
    }

    /// Packets between the cumulative acknowledgement and the newest one sent.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Packets on their way. What was sent again behind a gap is known to have arrived only if the peer counts.
    pub(super) fn pipe(&self) -> u32 {
        let Some(received) = self.received else { return self.flying };
        let counted = self.transmitted.saturating_sub(self.lost + received);
        self.flying.min(u32::try_from(counted).unwrap_or(u32::MAX))
    }

    /// What was learnt since the last call, with the delivery rate.
    pub(super) fn take_news(&mut self) -> (News, Option<RateSample>) {
        let sample = self.sampler.sample();
        if let Some(sample) = sample
            && sample.prior_delivered >= self.round_end
        {
            self.news.is_round_start = true;
            self.round_end = self.sampler.delivered_total();
        }
        let mut news = std::mem::take(&mut self.news);
        news.delivered = news.counted.unwrap_or(news.delivered);
        (news, sample)
    }

    /// Packets known to have arrived since the beginning.
    pub(super) fn delivered_total(&self) -> u64 {
        self.sampler.delivered_total()
    }

    /// A cohort whose packets are accounted for.
    pub(super) fn pop_cohort(&mut self) -> Option<CohortReport> {
        self.cohorts.pop_complete()
    }

    fn deliver(&mut self, now: Instant, index: u64) {
        let flight = &mut self.queue[(index - self.una) as usize];
        match flight.fate {
            Fate::Delivered | Fate::GivenUp => return,
            Fate::Flying => {
                self.flying -= 1;
                self.cohorts.on_delivered(flight.cohort);
            }
            // It had been reported missing, and came late.
            Fate::Lost => {
                self.lost -= 1;
                self.cohorts.on_loss_undone(flight.cohort);
            }
        }
        flight.fate = Fate::Delivered;
        if self.received.is_some() {
            self.sampler.on_arrived(&flight.record);
        } else {
            self.sampler.on_delivered(&flight.record, now);
        }
        self.news.delivered += 1;
        self.news.rtt = (flight.transmissions == 1).then(|| now.saturating_duration_since(flight.sent).max(RTT_MIN));
    }
}
