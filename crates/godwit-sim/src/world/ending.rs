//! The liveness phase: faults stop, writers come to their end, and everything must arrive.

use std::time::Duration;

use godwit_proto::ConnectionError;
use godwit_relay::LinkConfig;

use super::World;
use crate::agent::Agent;
use crate::failure::Failure;
use crate::peer::Peer;

impl World {
    /// Ends all faults: no loss, no disorder, no outage; rates, queues and delays stay.
    pub fn stop_faults(&mut self) {
        for link in &mut self.links {
            let config = *link.config();
            let clean = LinkConfig {
                delay: config.delay,
                rate_bits_per_s: config.rate_bits_per_s,
                queue_bytes: config.queue_bytes,
                discipline: config.discipline,
                policer: config.policer,
                ..LinkConfig::default()
            };
            link.reconfigure(self.now, clean).expect("fewer faults than before");
        }
        self.next_change = self.scenario.changes.len();
        self.set_change_alarm();
    }

    /// Lets the writers of all flows of ours come to their end, and everything arrive; rivals fall silent.
    ///
    /// # Errors
    /// A check that did not hold, or a flow that is not finished after `limit`.
    pub fn finish(&mut self, limit: Duration) -> Result<(), Failure> {
        for place in 0..self.agents.len() {
            // A model at the sending end has no end of its own.
            let is_from_model = !matches!(self.agents[place / 2 * 2], Some(Agent::Udt(_)));
            match &mut self.agents[place] {
                Some(agent) if is_from_model => agent.stop(),
                Some(Agent::Udt(peer)) => peer.finish_writing(self.now, &mut self.outbox),
                _ => {}
            }
            self.flush(place);
        }
        let end = self.now + limit;
        while self.first_unfinished().is_some() && self.step(end) {}
        if let Some(failure) = self.failure.clone() {
            return Err(failure);
        }
        if let Some(flow) = self.first_unfinished() {
            let (written, read) = self.progress(flow);
            return Err(Failure::NotFinished { flow, after: limit, written, read });
        }
        let lengths = (0..self.scenario.flows.len()).map(|flow| (flow, self.progress(flow)));
        let is_cut = |&(flow, (written, read)): &(usize, (u64, u64))| {
            let (sender, receiver) = self.peers(flow);
            written != read && sender.is_some() && receiver.is_some()
        };
        match lengths.into_iter().find(is_cut) {
            Some((flow, (written, read))) if self.checks_content => Err(Failure::Length { flow, written, read }),
            _ => Ok(()),
        }
    }

    fn first_unfinished(&self) -> Option<usize> {
        (0..self.scenario.flows.len()).find(|&flow| {
            // A model of a sender never says good-bye.
            let (sender, receiver) = self.peers(flow);
            let receiver = receiver.filter(|_| sender.is_some());
            [sender, receiver].into_iter().flatten().any(|peer| !peer.has_ended())
        })
    }

    /// Bytes written and read.
    fn progress(&self, flow: usize) -> (u64, u64) {
        let (sender, receiver) = self.peers(flow);
        (sender.map_or(0, |peer| peer.progress().0), receiver.map_or(0, |peer| peer.progress().1))
    }

    /// Whether a receiver only waits for a good-bye that was lost: its sender has what it wanted, and is gone. UDT does not
    /// acknowledge shutdowns, so that can happen to anybody.
    pub(super) fn is_lost_farewell(&self, failure: &Failure) -> bool {
        let Failure::Ended { flow, end: "receiver", reason: ConnectionError::PeerTimeout } = *failure else {
            return false;
        };
        let (written, read) = self.progress(flow);
        self.peers(flow).0.is_none_or(Peer::has_ended) && written == read
    }
}
