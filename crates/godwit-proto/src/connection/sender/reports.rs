//! What the peer says of what it received: acknowledgements and reports of loss, and what the controller hears of them.

use std::time::{Duration, Instant};

use super::Sender;
use crate::congestion::{CohortReport, Control as _, Feedback, Lost, ReceiverReport, RttSample};
use crate::connection::recent_rate::Arrival;
use crate::connection::rtt::RttEstimator;
use crate::packet::{AckRates, LossReport};
use crate::seq::Seq;

/// The peer's view of what it received, from a full ACK.
#[derive(Clone, Copy, Debug)]
pub(in crate::connection) struct AckReport {
    /// When the kernel got it.
    pub(in crate::connection) arrived: Instant,
    pub(in crate::connection) ack_seq: Seq,
    pub(in crate::connection) available_packets: u32,
    pub(in crate::connection) rates: Option<AckRates>,
    /// What only one of our own ends tells.
    pub(in crate::connection) received: Option<Received>,
}

/// What the peer has received beside the cumulative position.
#[derive(Clone, Copy, Debug)]
pub(in crate::connection) struct Received {
    /// Everything before this has arrived or was reported missing.
    pub(in crate::connection) known_to: Seq,
    /// Different packets that have arrived, modulo 2^32.
    pub(in crate::connection) packets: u32,
    /// How long the peer held this news after its newest packet had arrived.
    pub(in crate::connection) age: Duration,
    /// From the sending of that packet to this news, without the time that the peer held it.
    pub(in crate::connection) rtt: Option<Duration>,
}

/// What an acknowledgement was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::connection) enum Acked {
    /// It lies outside of what was sent; nothing was done (deviation 1).
    Invalid,
    /// Nothing new was acknowledged.
    Old,
    /// Packets were released.
    Progress,
}

impl Sender {
    /// A full ACK.
    pub(in crate::connection) fn on_ack(&mut self, now: Instant, report: &AckReport, rtt: &RttEstimator) -> Acked {
        let Some(index) = self.valid_ack(report.ack_seq) else { return Acked::Invalid };
        self.fully_acked = self.fully_acked.max(index);
        if index >= self.una {
            // A window of 0 could never be seen to open again: one packet is always allowed. Deviation 23.
            self.window_end = index + u64::from(report.available_packets.max(1));
        }
        let is_progress = self.release_before(now, report.arrived, index, rtt);
        if let Some(received) = report.received {
            self.on_received(report.arrived, received);
        }
        self.stats.acks_received_packets += u64::from(is_progress);
        self.feed_back(now, report.arrived, Some(report), rtt);
        if is_progress { Acked::Progress } else { Acked::Old }
    }

    /// A light ACK. It says nothing of the peer's window and not enough for the controller; but what it covers has arrived, so
    /// it is released, where libudt waits for the full ACK: at 10 Gbit/s 12 MB fewer stay in the send buffer. Deviation 22.
    pub(in crate::connection) fn on_light_ack(
        &mut self,
        now: Instant,
        arrived: Instant,
        ack_seq: Seq,
        rtt: &RttEstimator,
    ) -> Acked {
        let Some(index) = self.valid_ack(ack_seq) else { return Acked::Invalid };
        if !self.release_before(now, arrived, index, rtt) {
            return Acked::Old;
        }
        self.feed_back_inferred(now, arrived, rtt);
        Acked::Progress
    }

    /// A NAK that the kernel got at `arrived`. Entries outside of what is in flight are counted and ignored (deviation 1).
    pub(in crate::connection) fn on_nak(
        &mut self,
        now: Instant,
        arrived: Instant,
        report: &LossReport<'_>,
        rtt: &RttEstimator,
    ) {
        self.stats.naks_received_packets += 1;
        let mut lost = Lost { now, first: u64::MAX, packets: 0, next_tag: self.next, in_flight_packets: 0 };
        // Ranges that overlap must not multiply the work: one NAK can name no more than what is in flight.
        let mut budget = self.next - self.una;
        for range in report.ranges() {
            let (first, last) = (self.index_of(range.first), self.index_of(range.last));
            if last >= self.next as i64 || last < first {
                self.stats.invalid_entries += 1;
                continue;
            }
            let first = first.max(self.una as i64) as u64;
            if last < first as i64 || budget == 0 {
                continue;
            }
            let last = (last as u64).min(first + budget - 1);
            budget -= last - first + 1;
            // What lies between two reports was not reported: it has arrived. A later report may take that back.
            self.flights.deliver_before(arrived, first);
            if self.hold(now, first, last, rtt) {
                self.flights.skip_to(last + 1);
            } else {
                lost.first = lost.first.min(first);
                lost.packets += self.mark_lost(now, first, last, rtt);
            }
            self.flights.deliver_before(arrived, last + 2);
        }
        self.stats.invalid_entries += report.malformed_entries() as u64;
        if lost.first < u64::MAX {
            lost.in_flight_packets = self.pipe_packets();
            self.lose(&lost);
        }
        self.feed_back_inferred(now, arrived, rtt);
    }

    /// The index of an ACK if it lies in what was sent. Old ones count as the first unacknowledged packet.
    fn valid_ack(&mut self, ack_seq: Seq) -> Option<u64> {
        let index = self.index_of(ack_seq);
        if index > self.next as i64 {
            self.stats.invalid_entries += 1;
            return None;
        }
        Some(u64::try_from(index).unwrap_or(0))
    }

    /// Everything before `index` has arrived; false if that was known.
    fn release_before(&mut self, now: Instant, arrived: Instant, index: u64, rtt: &RttEstimator) -> bool {
        if index <= self.una {
            return false;
        }
        let spurious = self.flights.release_before(arrived, index);
        self.una = index;
        for (index, since) in spurious {
            self.on_spurious(index, since, now, rtt);
        }
        self.release_held(now, rtt);
        // The window may have shrunk since those packets left.
        self.window_end = self.window_end.max(index);
        self.lost.remove_before(self.seq_of(index));
        self.buffer.release_before(index);
        self.probes = 0;
        self.arm_probe(now, rtt);
        true
    }

    /// The peer has everything before this that it did not report missing.
    fn on_received(&mut self, arrived: Instant, received: Received) {
        let index = self.index_of(received.known_to);
        if index > self.next as i64 {
            self.stats.invalid_entries += 1;
        } else if let Ok(index) = u64::try_from(index) {
            self.flights.deliver_before(arrived, index);
            // The count is that of the moment when its newest packet arrived there.
            let counted = arrived.checked_sub(received.age).unwrap_or(arrived);
            self.flights.count_received(counted, received.packets);
        }
    }

    /// Packets are lost, it turned out now.
    pub(super) fn lose(&mut self, lost: &Lost) {
        self.stats.lost_packets += u64::from(lost.packets);
        self.losses.on_lost(lost.packets);
        self.controller.on_lost(lost);
        self.report_cohorts(lost.now);
    }

    /// A NAK or a light ACK: all that a libudt peer says while a gap holds the cumulative position back. libudt's own
    /// controller hears of neither, and one of our peers counts better than can be inferred.
    fn feed_back_inferred(&mut self, now: Instant, arrived: Instant, rtt: &RttEstimator) {
        if self.controller.window_counts_pipe() && !self.flights.is_counted() {
            self.feed_back(now, arrived, None, rtt);
        }
    }

    fn feed_back(&mut self, now: Instant, arrived: Instant, report: Option<&AckReport>, rtt: &RttEstimator) {
        self.pacer.set_rtt(rtt.srtt());
        let (news, sample) = self.flights.take_news();
        if news.delivered > 0 {
            // The path is alive: what is missing was lost, and not the answer to it.
            self.probes = 0;
        }
        let rates = report.and_then(|report| report.rates);
        let received = report.and_then(|report| report.received);
        let exact = received.and_then(|received| received.rtt).map(|rtt| RttSample { rtt, exact: true });
        let recent_rate = received.and_then(|received| self.recent_rate(arrived, received, rtt.srtt()));
        let feedback = Feedback {
            now,
            acked_to: self.una,
            newly_delivered: news.delivered,
            delivered_total: self.flights.delivered_total(),
            interval: sample.map_or(Duration::ZERO, |sample| sample.interval),
            sample_delivered: sample.map_or(0, |sample| sample.delivered),
            sample_app_limited: sample.is_some_and(|sample| sample.app_limited),
            // Without the peer's help the ACK may have waited for its 10 ms timer.
            rtt: exact.or_else(|| news.rtt.map(|rtt| RttSample { rtt, exact: false })),
            srtt: rtt.srtt(),
            receiver: ReceiverReport {
                arrival_speed_packets_per_s: rates.map(|rates| rates.arrival_speed_packets_per_s),
                link_capacity_packets_per_s: rates.map(|rates| rates.link_capacity_packets_per_s),
                recent_rate_packets_per_s: recent_rate,
            },
            in_flight_packets: self.pipe_packets(),
            next_tag: self.next,
            is_round_start: news.is_round_start,
            is_exact: received.is_some(),
        };
        self.rtt_sample = feedback.rtt.map(|sample| sample.rtt).or(self.rtt_sample);
        self.controller.on_feedback(&feedback);
        self.report_cohorts(now);
    }

    fn recent_rate(&mut self, heard: Instant, received: Received, srtt: Duration) -> Option<f64> {
        let arrived = heard.checked_sub(received.age)?;
        let sent = arrived.checked_sub(received.rtt?)?;
        self.recent_rate.on_arrival(Arrival { sent, arrived, packets: received.packets }, srtt)
    }

    fn report_cohorts(&mut self, now: Instant) {
        while let Some(report) = self.flights.pop_cohort() {
            // What another controller sent is not judged any more.
            if let Some(cohort) = report.cohort.checked_sub(self.cohort_base) {
                self.controller.on_cohort(now, &CohortReport { cohort, ..report });
            }
        }
    }
}
