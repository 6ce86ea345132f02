//! The virtual network: links, the two ends of each flow, and one clock that jumps from event to event.
//!
//! A step is: whoever is first in the agenda acts, and what it sends goes through its links as their queues and delays allow.
//! Checks are made after each step by the agents themselves, and at each sample by the world.

mod birth;
mod ending;

use std::time::{Duration, Instant};

use godwit_relay::{Link, LinkConfig, LinkCounters};

use crate::agenda::Agenda;
use crate::agent::{Agent, Gauges, Outbox};
use crate::clock;
use crate::failure::Failure;
use crate::parcel::{self, Direction, Load, Parcel};
use crate::peer::Peer;
use crate::scenario::{Change, LinkName, PACKET_BYTES, Scenario};
use crate::trace;

/// Steps without the clock moving after which a run counts as hanging. The longest honest burst is a window of packets that
/// all arrive together, some hundred thousand.
const STEPS_AT_ONCE_MAX: u64 = 5_000_000;
/// Steps that a run may take: per packet that its bottleneck can carry, and in any case.
const STEPS_PER_PACKET: u64 = 60;
const STEPS_MIN: u64 = 20_000_000;

/// Links of a flow besides the bottleneck: before, after, back.
const OWN_LINKS: usize = 3;
const BOTTLENECK: usize = 0;

/// See the module.
#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    seed: u64,
    now: Instant,
    links: Vec<Link<Parcel>>,
    /// Sender and receiver of each flow; none before it starts.
    agents: Vec<Option<Agent>>,
    agenda: Agenda,
    /// Number of the next change that has not been made.
    next_change: usize,
    outbox: Outbox,
    failure: Option<Failure>,
    steps: u64,
    steps_at_once: u64,
    packets: u64,
    checks_content: bool,
    traces: bool,
    /// Introductions of ours that get lost, whatever the links do.
    hellos_to_lose: u32,
}

impl World {
    /// A network in which nothing has happened yet.
    ///
    /// # Panics
    /// If a link of the scenario describes no path.
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut links = vec![new_link(scenario.bottleneck, seed)];
        for (number, flow) in scenario.flows.iter().enumerate() {
            let own = [flow.before.unwrap_or_default(), flow.after_link(), flow.back_link()];
            let seed_of =
                |which: usize| seed.wrapping_mul(0x1_0001).wrapping_add((number * OWN_LINKS + which) as u64 + 1);
            links.extend(own.into_iter().enumerate().map(|(which, config)| new_link(config, seed_of(which))));
        }
        let flows = scenario.flows.len();
        let mut world = Self {
            scenario: scenario.clone(),
            seed,
            now: clock::origin(),
            agents: (0..flows * 2).map(|_| None).collect(),
            agenda: Agenda::new(links.len() + flows * 2 + flows * 2 + 1),
            links,
            next_change: 0,
            outbox: Outbox::default(),
            failure: None,
            steps: 0,
            steps_at_once: 0,
            packets: 0,
            checks_content: true,
            traces: false,
            hellos_to_lose: 0,
        };
        for number in 0..flows {
            let (start, stop) = (world.start_of(number), world.scenario.flows[number].stop);
            let party = world.lifetime_party(number);
            world.agenda.set(party, Some(start));
            world.agenda.set(party + 1, stop.map(|stop| clock::origin() + stop));
        }
        world.set_change_alarm();
        world
    }

    /// Prints each packet and each step of the clock from now on.
    pub fn trace(&mut self) {
        self.traces = true;
    }

    /// Loses the next `count` introductions that godwits send.
    pub fn lose_hellos(&mut self, count: u32) {
        self.hellos_to_lose = count;
    }

    /// Lets damaged packets arrive; then neither the content nor the end of a connection is checked.
    pub fn let_damage_arrive(&mut self) {
        self.checks_content = false;
        self.links = std::mem::take(&mut self.links).into_iter().map(|link| link.with_damage(parcel::damage)).collect();
    }

    /// Lets time pass until `until`.
    ///
    /// # Errors
    /// The first check that did not hold.
    pub fn run_until(&mut self, until: Duration) -> Result<(), Failure> {
        let end = clock::origin() + until;
        while self.failure.is_none() && self.step(end) {}
        self.now = self.now.max(end);
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Does the next thing that is due by `end`, if there is one.
    pub fn step(&mut self, end: Instant) -> bool {
        let Some((at, party)) = self.agenda.first().filter(|first| first.0 <= end) else { return false };
        self.count_step(at, party);
        self.now = self.now.max(at);
        let links = self.links.len();
        let agents = links + self.agents.len();
        if party < links {
            self.run_link(party);
        } else if party < agents {
            self.run_agent(party - links);
        } else if party < self.change_party() {
            self.run_lifetime(party - agents);
        } else {
            self.run_change();
        }
        self.failure.is_none()
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Steps taken and packets sent so far.
    pub fn work(&self) -> (u64, u64) {
        (self.steps, self.packets)
    }

    /// How long a packet would wait at the bottleneck now.
    pub fn queue_delay(&self) -> Duration {
        self.links[BOTTLENECK].queue_delay(self.now)
    }

    /// What the bottleneck has done.
    pub fn bottleneck(&self) -> LinkCounters {
        self.links[BOTTLENECK].counters()
    }

    /// Rate of the bottleneck now, bits per second.
    pub fn bottleneck_rate(&self) -> f64 {
        self.links[BOTTLENECK].config().rate_bits_per_s.unwrap_or(u64::MAX) as f64
    }

    /// Different data packets of this flow that have arrived.
    pub fn received_packets(&self, flow: usize) -> u64 {
        self.agents[flow * 2 + 1].as_ref().map_or(0, |agent| agent.received_packets(self.now))
    }

    /// The sender of this flow in numbers.
    pub fn gauges(&self, flow: usize) -> Gauges {
        self.agents[flow * 2].as_ref().map_or_else(Gauges::default, |agent| agent.gauges(self.now))
    }

    /// When the first data packet of this flow left.
    pub fn first_data_at(&self, flow: usize) -> Option<Instant> {
        match self.agents[flow * 2].as_ref()? {
            Agent::Udt(peer) => peer.first_data_at(),
            Agent::LibudtSender(sender) => sender.first_data_at(),
            _ => Some(self.start_of(flow)),
        }
    }

    /// The ends of a flow that are ours: sender, receiver.
    pub fn peers(&self, flow: usize) -> (Option<&Peer>, Option<&Peer>) {
        let peer = |place: usize| match self.agents[place].as_ref() {
            Some(Agent::Udt(peer)) => Some(&**peer),
            _ => None,
        };
        (peer(flow * 2), peer(flow * 2 + 1))
    }

    /// Whether all buffers keep to their limits, and no link ran out of memory.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check_memory(&self) -> Result<(), Failure> {
        for agent in self.agents.iter().flatten() {
            if let Agent::Udt(peer) = agent
                && let Some(failure) = peer.check_memory(self.now)
            {
                return Err(failure);
            }
        }
        let overflowed = self.links.iter().position(|link| link.counters().overflowed > 0);
        overflowed
            .map_or(Ok(()), |link| Err(Failure::LinkOverflow { link, packets: self.links[link].counters().overflowed }))
    }

    fn start_of(&self, flow: usize) -> Instant {
        clock::origin() + self.scenario.flows[flow].start
    }

    fn lifetime_party(&self, flow: usize) -> usize {
        self.links.len() + self.agents.len() + flow * 2
    }

    fn change_party(&self) -> usize {
        self.links.len() + self.agents.len() * 2
    }

    fn count_step(&mut self, at: Instant, party: usize) {
        self.steps += 1;
        self.steps_at_once = if at > self.now { 0 } else { self.steps_at_once + 1 };
        let agents = party.saturating_sub(self.links.len());
        if self.steps_at_once > STEPS_AT_ONCE_MAX {
            self.failure.get_or_insert(Failure::Livelock { flow: agents / 2, steps: self.steps_at_once });
        }
        let packets =
            self.scenario.rate_bits_per_s() / 8.0 / PACKET_BYTES as f64 * self.scenario.duration.as_secs_f64();
        let max = STEPS_MIN + STEPS_PER_PACKET * packets as u64;
        if self.steps > max {
            self.failure.get_or_insert(Failure::TooManySteps { max });
        }
    }

    fn run_link(&mut self, link: usize) {
        while let Some(parcel) = self.links[link].pop_due(self.now) {
            self.forward(parcel);
        }
        self.agenda.set(link, self.links[link].next_due());
    }

    fn run_agent(&mut self, place: usize) {
        if let Some(agent) = &mut self.agents[place] {
            agent.wake(self.now, &mut self.outbox);
        }
        self.flush(place);
    }

    /// Even numbers are starts, odd ones are stops.
    fn run_lifetime(&mut self, number: usize) {
        let flow = number / 2;
        self.agenda.set(self.lifetime_party(flow) + number % 2, None);
        if number.is_multiple_of(2) {
            let [sender, receiver] = self.born(flow);
            (self.agents[flow * 2], self.agents[flow * 2 + 1]) = (Some(sender), Some(receiver));
            self.run_agent(flow * 2);
            return;
        }
        for place in [flow * 2, flow * 2 + 1] {
            if let Some(agent) = &mut self.agents[place] {
                agent.stop();
            }
            self.flush(place);
        }
    }

    fn run_change(&mut self) {
        let Change { link, to, .. } = self.scenario.changes[self.next_change].clone();
        let place = match link {
            LinkName::Bottleneck => BOTTLENECK,
            LinkName::After(flow) => own_link(flow, 1),
            LinkName::Back(flow) => own_link(flow, 2),
        };
        self.links[place].reconfigure(self.now, to).expect("a scenario changes one path into another");
        self.agenda.set(place, self.links[place].next_due());
        self.next_change += 1;
        self.set_change_alarm();
    }

    fn set_change_alarm(&mut self) {
        let at = self.scenario.changes.get(self.next_change).map(|change| clock::origin() + change.at);
        self.agenda.set(self.change_party(), at);
    }

    /// Takes a packet that has come through a link to the next one, or to its end.
    fn forward(&mut self, mut parcel: Parcel) {
        parcel.hop += 1;
        let flow = parcel.flow as usize;
        let is_there = match parcel.direction {
            Direction::Forward => parcel.hop == 3,
            Direction::Backward => parcel.hop == 1,
        };
        if !is_there {
            return self.push(parcel);
        }
        let place = flow * 2 + usize::from(parcel.direction == Direction::Forward);
        if self.traces {
            trace::print_arrival(self.now, flow, parcel.direction, &parcel.load);
        }
        if let Some(agent) = &mut self.agents[place] {
            agent.deliver(self.now, parcel.load, &mut self.outbox);
        }
        self.flush(place);
    }

    fn push(&mut self, parcel: Parcel) {
        let flow = parcel.flow as usize;
        let place = match (parcel.direction, parcel.hop) {
            (Direction::Forward, 0) => own_link(flow, 0),
            (Direction::Forward, 1) => BOTTLENECK,
            (Direction::Forward, _) => own_link(flow, 1),
            (Direction::Backward, _) => own_link(flow, 2),
        };
        if place == own_link(flow, 0) && self.scenario.flows[flow].before.is_none() {
            return self.push(Parcel { hop: 1, ..parcel });
        }
        let bytes = parcel.load.wire_bytes();
        self.links[place].push(self.now, parcel, bytes);
        self.agenda.set(place, self.links[place].next_due());
    }

    /// Sends what an agent has put out, and asks it when it wants to act next.
    fn flush(&mut self, place: usize) {
        let direction = if place.is_multiple_of(2) { Direction::Forward } else { Direction::Backward };
        let flow = place / 2;
        if let Some(failure) = self.outbox.failure.take()
            && !self.is_lost_farewell(&failure)
        {
            self.failure.get_or_insert(failure);
        }
        let mut packets = std::mem::take(&mut self.outbox.packets);
        for load in packets.drain(..) {
            self.packets += u64::from(!matches!(load, Load::SegmentAck(_)));
            if self.traces {
                trace::print_departure(self.now, flow, direction, &load);
            }
            if self.hellos_to_lose > 0 && load.is_hello() {
                self.hellos_to_lose -= 1;
                continue;
            }
            self.push(Parcel { flow: flow as u32, direction, hop: 0, load });
        }
        // The allocation serves the next one.
        self.outbox.packets = packets;
        let next = self.agents[place].as_ref().and_then(Agent::next_wake);
        self.agenda.set(self.links.len() + place, next.map(|at| at.max(self.now)));
    }
}

fn own_link(flow: usize, which: usize) -> usize {
    1 + flow * OWN_LINKS + which
}

fn new_link(config: LinkConfig, seed: u64) -> Link<Parcel> {
    Link::new(config, seed).expect("the links of a scenario describe paths")
}
