//! Packets that a libudt receiver reported missing, at once as it does, and that may only have been overtaken: what has shown to
//! change the order is given the time to do so before anything is sent again or counts as lost. Our own receivers do this
//! themselves. Deviation 56.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Sender;
use crate::congestion::{Control as _, Lost};
use crate::connection::reordering::ReorderWindow;
use crate::connection::rtt::RttEstimator;

/// Reports that wait; more is no change of order.
const HELD_MAX: usize = 1024;

/// A report that waits.
#[derive(Clone, Copy, Debug)]
struct Held {
    reported: Instant,
    due: Instant,
    first: u64,
    last: u64,
}

/// Reports that wait, in the order in which they came.
#[derive(Debug)]
pub(super) struct Overtaken {
    held: VecDeque<Held>,
    window: ReorderWindow,
}

impl Overtaken {
    pub(super) fn new(now: Instant) -> Self {
        Self { held: VecDeque::new(), window: ReorderWindow::new(now) }
    }

    /// When the first report has waited long enough.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.front().map(|held| held.due)
    }
}

impl Sender {
    /// A report of packets that nobody reported before: true if it is to wait.
    pub(super) fn hold(&mut self, now: Instant, first: u64, last: u64, rtt: &RttEstimator) -> bool {
        let overtaken = &mut self.overtaken;
        let window = overtaken.window.at(now, rtt.srtt());
        let may_hold = !self.peer_repeats_naks && self.controller.window_counts_pipe();
        if !may_hold || window.is_zero() || overtaken.held.len() == HELD_MAX {
            return false;
        }
        overtaken.held.push_back(Held { reported: now, due: now + window, first, last });
        true
    }

    /// What has not come until now is lost.
    pub(super) fn lose_held(&mut self, now: Instant, rtt: &RttEstimator) {
        while let Some(&held) = self.overtaken.held.front().filter(|held| held.due <= now) {
            self.overtaken.held.pop_front();
            let first = held.first.max(self.una);
            if first > held.last {
                continue;
            }
            let packets = self.mark_lost(now, first, held.last, rtt);
            let in_flight_packets = self.pipe_packets();
            self.lose(&Lost { now, first, packets, next_tag: self.next, in_flight_packets });
        }
    }

    /// Everything before `una` has arrived: how late what was reported missing came.
    pub(super) fn release_held(&mut self, now: Instant, rtt: &RttEstimator) {
        let una = self.una;
        let overtaken = &mut self.overtaken;
        while let Some(&held) = overtaken.held.front().filter(|held| held.last < una) {
            overtaken.held.pop_front();
            overtaken.window.on_late(now.saturating_duration_since(held.reported), rtt.srtt());
        }
    }

    /// A packet had arrived when it was sent again, so much before this became known.
    pub(super) fn on_spurious(&mut self, index: u64, since: Duration, now: Instant, rtt: &RttEstimator) {
        let waited = self.overtaken.window.at(now, rtt.srtt());
        self.overtaken.window.on_late(waited + since, rtt.srtt());
        self.stats.spurious_retransmissions_packets += 1;
        self.losses.on_undone();
        self.controller.on_undo(index, 1);
    }
}
