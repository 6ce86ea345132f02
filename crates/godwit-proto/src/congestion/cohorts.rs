//! Loss by cause: packets are counted in the cohort that they were sent in, so that a loss is judged against the pace and
//! the queue of its own time, whatever the round-trip time is.

use std::collections::VecDeque;

/// Cohorts that are out at the same time; beyond that the oldest counts as complete.
const COHORTS_MAX: usize = 7;
/// A cohort is complete when this share of it is resolved: the last packets of a lossy path take several RTT.
const COMPLETE_PERCENT: u64 = 98;

/// Losses in a row from here on are a burst.
pub const BURST_PACKETS: u64 = 8;
/// So many in a row are more than a queue takes: it has room for the first of each burst that is sent, and those have at most 40 packets.
pub const OUTAGE_PACKETS: u64 = 64;

/// What became of the packets of one cohort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CohortReport {
    /// The number that the controller gave it.
    pub cohort: u32,
    /// Packets sent in it, retransmissions included.
    pub sent: u64,
    /// Those that were lost.
    pub lost: u64,
    /// Those of them that were lost in a row with at least [`BURST_PACKETS`] others: a link that was away for a moment. A queue that
    /// overflows takes packets from between others.
    pub lost_in_bursts: u64,
    /// Those that were lost in a row with at least [`OUTAGE_PACKETS`] others.
    pub lost_in_outages: u64,
}

#[derive(Clone, Copy, Debug)]
struct Cohort {
    report: CohortReport,
    resolved: u64,
}

/// See the module. Cohort numbers rise.
#[derive(Clone, Debug, Default)]
pub struct Cohorts {
    open: VecDeque<Cohort>,
}

impl Cohorts {
    /// So many packets are sent in this cohort.
    pub fn on_sent(&mut self, cohort: u32, packets: u32) {
        let sent = u64::from(packets);
        match self.open.back_mut() {
            Some(last) if last.report.cohort == cohort => last.report.sent += sent,
            _ => {
                let report = CohortReport { cohort, sent, ..CohortReport::default() };
                self.open.push_back(Cohort { report, resolved: 0 });
            }
        }
    }

    /// So many packets of this cohort arrived.
    pub fn on_delivered(&mut self, cohort: u32, packets: u64) {
        if let Some(cohort) = self.find(cohort) {
            cohort.resolved += packets;
        }
    }

    /// A packet of this cohort was lost.
    pub fn on_lost(&mut self, cohort: u32) {
        if let Some(cohort) = self.find(cohort) {
            cohort.resolved += 1;
            cohort.report.lost += 1;
        }
    }

    /// It turned out that this loss was one of a burst, or of an outage.
    pub fn on_lost_in_a_row(&mut self, cohort: u32, is_outage: bool) {
        if let Some(cohort) = self.find(cohort) {
            *if is_outage { &mut cohort.report.lost_in_outages } else { &mut cohort.report.lost_in_bursts } += 1;
        }
    }

    /// A packet that counted as lost had arrived.
    pub fn on_loss_undone(&mut self, cohort: u32) {
        if let Some(cohort) = self.find(cohort) {
            cohort.report.lost = cohort.report.lost.saturating_sub(1);
            cohort.report.lost_in_bursts = cohort.report.lost_in_bursts.min(cohort.report.lost);
            cohort.report.lost_in_outages = cohort.report.lost_in_outages.min(cohort.report.lost);
        }
    }

    /// A packet that counted as delivered had not arrived.
    pub fn on_delivery_undone(&mut self, cohort: u32) {
        if let Some(cohort) = self.find(cohort) {
            cohort.resolved = cohort.resolved.saturating_sub(1);
        }
    }

    /// The oldest cohort, if it is complete and a newer one has begun.
    pub fn pop_complete(&mut self) -> Option<CohortReport> {
        let oldest = self.open.front()?;
        let is_resolved = oldest.resolved * 100 >= oldest.report.sent * COMPLETE_PERCENT;
        let is_complete = self.open.len() > 1 && (is_resolved || self.open.len() > COHORTS_MAX);
        is_complete.then(|| self.open.pop_front().map(|cohort| cohort.report)).flatten()
    }

    fn find(&mut self, cohort: u32) -> Option<&mut Cohort> {
        let at = self.open.partition_point(|open| open.report.cohort < cohort);
        self.open.get_mut(at).filter(|open| open.report.cohort == cohort)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_count_where_they_were_sent() {
        let mut cohorts = Cohorts::default();
        (0..100).for_each(|_| cohorts.on_sent(3, 1));
        cohorts.on_sent(5, 50);
        (0..96).for_each(|_| cohorts.on_delivered(3, 1));
        cohorts.on_lost(3);
        assert_eq!(cohorts.pop_complete(), None);
        cohorts.on_lost(3);
        cohorts.on_loss_undone(3);
        let report = CohortReport { cohort: 3, sent: 100, lost: 1, ..CohortReport::default() };
        assert_eq!(cohorts.pop_complete(), Some(report));
        cohorts.on_lost(3);
        cohorts.on_delivered(5, 50);
        assert_eq!(cohorts.pop_complete(), None, "the newest is still being sent");
    }
}
