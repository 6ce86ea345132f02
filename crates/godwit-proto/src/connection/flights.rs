//! The packets between the cumulative acknowledgement and the newest one sent: when each left, and what is known of it.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::congestion::{BURST_PACKETS, CohortReport, Cohorts, OUTAGE_PACKETS, RateSample, RateSampler, SendRecord};

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
    /// Which transmission it was, of all.
    ordinal: u64,
    pub(super) transmissions: u8,
    cohort: u32,
    fate: Fate,
}

impl Flight {
    /// When it was sent last.
    pub(super) fn sent(&self) -> Instant {
        self.record.sent()
    }

    /// Whether it has arrived, as far as is known.
    pub(super) fn is_delivered(&self) -> bool {
        self.fate == Fate::Delivered
    }

    /// Whether the two left together: at one time, and no news came in between.
    fn left_with(&self, other: &Self) -> bool {
        let of = |flight: &Self| (flight.sent(), flight.record.delivered(), flight.cohort);
        of(self) == of(other)
    }

    /// Whether it is on its way for the first time.
    fn is_first_flight(&self) -> bool {
        self.fate == Fate::Flying && self.transmissions == 1
    }
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
    /// What left before this one, and this one itself, has arrived or is lost, as the path keeps the order.
    known_ordinal: u64,
    /// The least time from sending a packet to hearing of it.
    min_rtt: Duration,
    /// Different packets that have arrived, if the peer counts them.
    received: Option<u64>,
    sampler: RateSampler,
    cohorts: Cohorts,
    /// The packet that was reported missing last, and how many before it were, without a gap.
    last_lost: u64,
    losses_in_a_row: u64,
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
            known_ordinal: 0,
            min_rtt: Duration::MAX,
            received: None,
            sampler: RateSampler::new(now),
            cohorts: Cohorts::default(),
            last_lost: u64::MAX,
            losses_in_a_row: 0,
            round_end: 0,
            news: News::default(),
        }
    }

    /// The next packets leave, at least one, together; `is_app_limited` is said of the last.
    pub(super) fn push(&mut self, now: Instant, packets: u32, is_app_limited: bool, cohort: u32) {
        let last = packets - 1;
        let pipe = self.pipe();
        let mut record = self.sampler.on_sent(now, pipe, is_app_limited && last == 0);
        let ordinal = self.transmitted + 1;
        let flight = |n: u32, record| {
            let ordinal = ordinal + u64::from(n);
            Flight { record, ordinal, transmissions: 1, cohort, fate: Fate::Flying }
        };
        self.queue.extend((0..last).map(|n| flight(n, record)));
        if is_app_limited && last > 0 {
            record = self.sampler.on_sent(now, pipe.saturating_add(last), true);
        }
        self.queue.push_back(flight(last, record));
        self.cohorts.on_sent(cohort, packets);
        self.flying += packets;
        self.transmitted += u64::from(packets);
    }

    /// A packet leaves again.
    pub(super) fn resend(&mut self, now: Instant, index: u64, cohort: u32) {
        let record = self.sampler.on_sent(now, self.pipe(), false);
        let is_counted = self.received.is_some();
        let flight = &mut self.queue[(index - self.una) as usize];
        // Towards libudt loss is judged by originals: it never says which retransmissions arrived.
        let is_judged = is_counted || flight.transmissions == 1;
        match flight.fate {
            Fate::Lost | Fate::GivenUp => {}
            // Nobody reported it: a probe, or the silence after a retransmission. The one on its way is given up.
            Fate::Flying => {
                self.flying -= 1;
                self.lost += 1;
                if is_judged {
                    self.cohorts.on_lost(flight.cohort);
                }
            }
            // It had only followed from what was not reported, and the position says otherwise.
            Fate::Delivered => {
                self.lost += 1;
                if is_judged {
                    self.cohorts.on_delivery_undone(flight.cohort);
                    self.cohorts.on_lost(flight.cohort);
                }
                if !is_counted {
                    self.sampler.on_revoked();
                }
            }
        }
        if is_counted {
            flight.cohort = cohort;
            self.cohorts.on_sent(cohort, 1);
        }
        self.flying += 1;
        self.transmitted += 1;
        let transmissions = flight.transmissions.saturating_add(1);
        let ordinal = self.transmitted;
        *flight = Flight { record, ordinal, transmissions, fate: Fate::Flying, ..*flight };
    }

    /// A packet that has just left again leaves once more.
    pub(super) fn copy(&mut self) {
        self.transmitted += 1;
        // One of the two is not counted when it arrives.
        self.lost += 1;
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

    /// Everything before `index` has arrived. Returns the packets that had arrived before they were sent again, as the answer came
    /// sooner than any can, with the time that it took.
    pub(super) fn release_before(&mut self, now: Instant, index: u64) -> Vec<(u64, Duration)> {
        let measured = self.news.rtt;
        let mut has_waited = false;
        let mut spurious = Vec::new();
        let mut at = self.una;
        while at < index {
            let together = self.deliver_together(now, at, index);
            at += together;
            if together > 0 {
                continue;
            }
            let flight = self.at(at);
            let (transmissions, fate) = (flight.transmissions, flight.fate);
            let took = now.saturating_duration_since(flight.sent());
            has_waited |= transmissions > 1;
            // Of a third transmission it may have been the second that arrived.
            if transmissions == 2 && fate == Fate::Flying && took < self.min_rtt {
                spurious.push((at, took));
            }
            self.deliver(now, at);
            at += 1;
        }
        if has_waited {
            // The position stood at a gap: what came behind it had arrived before.
            self.news.rtt = measured;
        }
        self.queue.drain(..(index - self.una) as usize);
        self.una = index;
        self.known_to = self.known_to.max(index);
        if self.queue.is_empty() {
            // Nothing is on its way: whatever the counts missed is put right.
            self.known_ordinal = self.transmitted;
            self.lost = self.received.map_or(self.lost, |received| self.transmitted.saturating_sub(received));
        }
        spurious
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
        let end = index.min(self.una + self.queue.len() as u64);
        let mut at = self.known_to;
        while at < end {
            let together = self.deliver_together(now, at, end);
            if together == 0 && self.at(at).fate == Fate::Flying {
                self.deliver(now, at);
            }
            at += together.max(1);
        }
        self.known_to = self.known_to.max(end);
    }

    /// Of the packets before `index` those that are not known to have arrived may yet.
    pub(super) fn skip_to(&mut self, index: u64) {
        self.known_to = self.known_to.max(index);
    }

    /// A packet was reported missing; true if that is new.
    pub(super) fn lose(&mut self, index: u64) -> bool {
        let flight = &mut self.queue[(index - self.una) as usize];
        match flight.fate {
            Fate::Lost | Fate::GivenUp => return false,
            Fate::Flying => {
                self.flying -= 1;
                self.known_ordinal = self.known_ordinal.max(flight.ordinal);
            }
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
        self.count_in_a_row(index);
        true
    }

    /// Whether the peer counts what arrives.
    pub(super) fn is_counted(&self) -> bool {
        self.received.is_some()
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

    /// Gives memory back that only a transfer needs.
    pub(super) fn shrink(&mut self) {
        self.queue.shrink_to_fit();
    }

    /// Packets on their way. libudt says nothing of what was sent again behind a gap; but what was sent after that and has
    /// arrived tells that it isn't on its way any more.
    pub(super) fn pipe(&self) -> u32 {
        let Some(received) = self.received else {
            return u32::try_from(self.transmitted - self.known_ordinal).unwrap_or(u32::MAX);
        };
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

    /// A loss belongs to a burst, or to an outage, if enough others are next to it: the first of them learn that late.
    fn count_in_a_row(&mut self, index: u64) {
        self.losses_in_a_row = if index == self.last_lost.wrapping_add(1) { self.losses_in_a_row + 1 } else { 1 };
        self.last_lost = index;
        for (least, is_outage) in [(BURST_PACKETS, false), (OUTAGE_PACKETS, true)] {
            let first = match self.losses_in_a_row.cmp(&least) {
                Ordering::Less => break,
                Ordering::Equal => self.una.max(index + 1 - least),
                Ordering::Greater => index,
            };
            for at in first..=index {
                // What was sent again belongs to another cohort now.
                if let Flight { cohort, fate: Fate::Lost, .. } = *self.at(at) {
                    self.cohorts.on_lost_in_a_row(cohort, is_outage);
                }
            }
        }
    }

    /// The packets from `index` to `end` that left together with the first of them have arrived, as far as all are on their way for
    /// the first time; says how many those are. They have one time, so the last of them stands for all.
    fn deliver_together(&mut self, now: Instant, index: u64, end: u64) -> u64 {
        let (from, to) = ((index - self.una) as usize, (end - self.una) as usize);
        let first = self.queue[from];
        let is_with_first = |flight: &&mut Flight| flight.is_first_flight() && flight.left_with(&first);
        let together = self.queue.range_mut(from..to).take_while(is_with_first);
        let packets = together.map(|flight| flight.fate = Fate::Delivered).count();
        if packets > 0 {
            self.flying -= packets as u32;
            self.cohorts.on_delivered(first.cohort, packets as u64);
            self.measure(now.saturating_duration_since(first.sent()));
            let last = self.queue[from + packets - 1];
            self.count_arrival(now, &last, packets as u32);
        }
        packets as u64
    }

    /// A packet arrived that was sent again or reported missing.
    fn deliver(&mut self, now: Instant, index: u64) {
        let is_counted = self.received.is_some();
        let flight = &mut self.queue[(index - self.una) as usize];
        let took = now.saturating_duration_since(flight.sent());
        // Nothing is heard of so soon: it was the transmission before that arrived.
        let is_another = flight.transmissions > 1 && took.max(RTT_MIN) < self.min_rtt;
        match flight.fate {
            Fate::Delivered | Fate::GivenUp => return,
            Fate::Flying => {
                self.flying -= 1;
                if is_counted {
                    self.cohorts.on_delivered(flight.cohort, 1);
                } else if is_another && flight.transmissions == 2 {
                    self.cohorts.on_loss_undone(flight.cohort);
                }
            }
            // It had been reported missing, and came late.
            Fate::Lost => {
                self.lost -= 1;
                if is_counted || flight.transmissions == 1 {
                    self.cohorts.on_loss_undone(flight.cohort);
                }
            }
        }
        flight.fate = Fate::Delivered;
        let flight = *flight;
        if flight.transmissions == 1 {
            self.measure(took);
        }
        if is_counted || !is_another {
            self.count_arrival(now, &flight, 1);
        }
    }

    /// So long it took to hear of a packet that was sent once.
    fn measure(&mut self, took: Duration) {
        let took = took.max(RTT_MIN);
        self.news.rtt = Some(took);
        self.min_rtt = self.min_rtt.min(took);
    }

    /// So many packets arrived that left with this one, the last of them.
    fn count_arrival(&mut self, now: Instant, last: &Flight, packets: u32) {
        if self.received.is_some() {
            self.sampler.on_arrived(&last.record);
            self.news.delivered += packets;
            return;
        }
        // With it arrived what was sent again just before it, as far as anybody can know.
        let packets = last.ordinal.saturating_sub(self.known_ordinal);
        self.known_ordinal += packets;
        if packets > 0 {
            self.sampler.on_delivered(&last.record, now, packets);
            self.news.delivered += packets as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    /// Twenty packets, one per millisecond from 0 on, of which a libudt receiver reports packet 5 missing; and the clock, in
    /// milliseconds.
    fn with_a_gap() -> (Flights, impl Fn(u64) -> Instant) {
        let start = crate::tests::epoch();
        let ms = move |millis| start + Duration::from_millis(millis);
        let mut flights = Flights::new(start);
        (0..20).for_each(|at| flights.push(ms(at), 1, false, 1));
        flights.deliver_before(ms(106), 5);
        assert!(flights.lose(5));
        flights.deliver_before(ms(106), 7);
        (flights, ms)
    }

    #[test]
    fn what_was_sent_again_leaves_the_pipe_with_what_was_sent_after_it() {
        let (mut flights, ms) = with_a_gap();
        assert_eq!((flights.pipe(), flights.delivered_total()), (13, 6));
        flights.resend(ms(107), 5, 1);
        flights.copy();
        (0..3).for_each(|at| flights.push(ms(108 + at), 1, false, 2));
        assert_eq!(flights.pipe(), 18);
        // Packet 21 is missing, says the report, so 22 has arrived and with it packet 5 and its copy, if ever.
        flights.deliver_before(ms(210), 21);
        assert!(flights.lose(21));
        flights.deliver_before(ms(210), 23);
        assert_eq!((flights.pipe(), flights.delivered_total()), (0, 6 + 13 + 2 + 1 + 1));
    }

    #[test]
    fn the_position_that_stood_at_a_gap_measures_nothing() {
        let (mut flights, ms) = with_a_gap();
        assert_eq!(flights.take_news().0.rtt, Some(RTT), "the report of a gap comes at once");
        flights.resend(ms(107), 5, 1);
        flights.release_before(ms(207), 20);
        assert_eq!((flights.take_news().0.rtt, flights.pipe()), (None, 0));
    }

    #[test]
    fn an_acknowledgement_that_comes_too_soon_is_of_the_original() {
        let (mut flights, ms) = with_a_gap();
        flights.push(ms(20), 1, false, 2);
        flights.resend(ms(107), 5, 2);
        assert_eq!(flights.release_before(ms(110), 8), [(5, Duration::from_millis(3))]);
        assert_eq!(flights.pipe(), 14, "what left after packet 7 is still on its way");
        flights.deliver_before(ms(120), 21);
        let report = CohortReport { cohort: 1, sent: 20, ..CohortReport::default() };
        assert_eq!(flights.pop_cohort(), Some(report), "and the loss was none");
    }

    #[test]
    fn a_report_takes_back_what_was_inferred() {
        let (mut flights, ms) = with_a_gap();
        flights.push(ms(20), 1, false, 2);
        flights.deliver_before(ms(120), 21);
        let delivered = flights.delivered_total();
        assert!(flights.lose(12));
        assert_eq!(flights.delivered_total(), delivered - 1);
        assert_eq!(
            flights.pop_cohort(),
            Some(CohortReport { cohort: 1, sent: 20, lost: 2, ..CohortReport::default() })
        );
    }

    #[test]
    fn losses_in_a_row_are_told_apart() {
        let start = crate::tests::epoch();
        let mut flights = Flights::new(start);
        (0..201).for_each(|at| flights.push(start, 1, false, 1 + at / 100));
        for lost in [10..17, 20..28, 96..104, 110..180] {
            flights.deliver_before(start + RTT, lost.start);
            assert!(lost.clone().all(|index| flights.lose(index)));
            flights.skip_to(lost.end);
        }
        flights.deliver_before(start + RTT, 201);
        let report = |cohort, lost, lost_in_bursts, lost_in_outages| {
            Some(CohortReport { cohort, sent: 100, lost, lost_in_bursts, lost_in_outages })
        };
        assert_eq!(
            flights.pop_cohort(),
            report(1, 7 + 8 + 4, 8 + 4, 0),
            "also where the burst began in the cohort before"
        );
        assert_eq!(flights.pop_cohort(), report(2, 4 + 70, 4 + 70, 70));
    }

    /// Packets that leave together, and are heard of together, are what they were one by one.
    #[test]
    fn a_run_is_as_many_single_packets() {
        let start = crate::tests::epoch();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut both = [Flights::new(start), Flights::new(start)];
        let (mut now, mut next) = (start, 0);
        for _ in 0..1_000 {
            // Often nothing: several runs may leave at one time.
            now += Duration::from_micros(rng.random_range(0..3) * 40);
            let [together, singly] = &mut both;
            let (una, known_to) = (together.una, together.known_to);
            match rng.random_range(0..10) {
                0..=4 => {
                    let (packets, is_app_limited) = (rng.random_range(1..=44), rng.random_bool(0.1));
                    let cohort = next as u32 / 500;
                    together.push(now, packets, is_app_limited, cohort);
                    (1..=packets).for_each(|n| singly.push(now, 1, is_app_limited && n == packets, cohort));
                    next += u64::from(packets);
                }
                5..=6 => {
                    let index = rng.random_range(una..=next);
                    together.deliver_before(now, index);
                    (known_to..=index).for_each(|index| singly.deliver_before(now, index));
                }
                7 if una < next => {
                    let index = rng.random_range(una..next);
                    for flights in &mut both {
                        if flights.lose(index) {
                            flights.resend(now, index, next as u32 / 500);
                        }
                    }
                }
                8 => {
                    let index = rng.random_range(una..=known_to);
                    let [together, singly] = both.each_mut().map(|flights| flights.release_before(now, index));
                    assert_eq!(together, singly);
                }
                _ => {
                    let [together, singly] = both.each_mut().map(|flights| (flights.take_news(), flights.pop_cohort()));
                    assert_eq!(format!("{together:?}"), format!("{singly:?}"));
                }
            }
            let [together, singly] = both.each_ref().map(|flights| format!("{flights:?}"));
            assert_eq!(together, singly);
        }
    }

    /// Design point 6 and lesson 4: the cumulative position stands at a gap, and the peer's count tells all the same.
    #[test]
    fn a_peer_that_counts_leaves_nothing_in_the_pipe_behind_a_gap() {
        let (mut flights, ms) = with_a_gap();
        flights.count_received(ms(106), 6);
        assert_eq!((flights.pipe(), flights.delivered_total()), (13, 6));
        flights.count_received(ms(110), 10);
        assert_eq!((flights.pipe(), flights.delivered_total()), (9, 10), "no position says which");
        flights.count_received(ms(119), 19);
        assert_eq!((flights.pipe(), flights.delivered_total()), (0, 19));
        flights.resend(ms(120), 5, 2);
        assert_eq!(flights.pipe(), 1);
        flights.count_received(ms(220), 20);
        assert_eq!((flights.pipe(), flights.delivered_total()), (0, 20));
    }

    /// Lesson 3: each gap that is closed lets the position jump by a round-trip's worth of packets, which had arrived one by one.
    #[test]
    fn a_position_that_jumps_is_no_rate() {
        let start = crate::tests::epoch();
        let ms = |millis: u64| start + Duration::from_millis(millis);
        let mut flights = Flights::new(start);
        let mut rates = Vec::new();
        // A packet per millisecond; after a round-trip the peer says of each that it is missing, or where its position is.
        for now in 0..2000 {
            flights.push(ms(now), 1, false, 1);
            let Some(arrived) = now.checked_sub(100) else { continue };
            if arrived % 150 == 20 {
                flights.deliver_before(ms(now), arrived);
                flights.lose(arrived);
                flights.resend(ms(now), arrived, 1);
            }
            // The gap stays for a round-trip.
            let position = if (20..120).contains(&(arrived % 150)) { arrived / 150 * 150 + 20 } else { arrived };
            flights.release_before(ms(now), position);
            rates.extend(flights.take_news().1.map(|sample| sample.packets_per_s()));
        }
        assert!(rates.len() > 100 && rates.iter().all(|&rate| rate < 1100.0), "{rates:?}");
    }
}
