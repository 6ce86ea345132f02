//! The state machine of the controller, in seconds and packets.
//!
//! ```text
//!  Startup ──queue, no growth, or heavy loss──► Drain ──pipe ≤ BDP──► Cruise ◄──────┐
//!                                                                      │  ▲         │
//!                              least RTT unseen, or a drain test due ──┘  └── ProbeRtt
//!  Cruise is in one of two modes: delay mode, and competitive mode while others fill the buffer.
//! ```

mod cruise;
mod down_test;
mod loss;
mod probe_rtt;
mod startup;

use self::down_test::DownTest;
use self::probe_rtt::ProbeRtt;
use self::startup::{FIRST_FLIGHT_PACKETS, Growth};
use super::super::CohortReport;
use super::bandwidth::Bandwidth;
use super::competition::Competition;
use super::contest::Contest;
use super::delay::Delay;
use super::loss_floor::{FLOOR_MAX, LossFloor, Tally};
use super::policy::{Policy, PolicyKind};
use super::pulse::Pulse;
use super::queue_cap::QueueCap;
use super::safety_net::{SafetyNet, Verdict};
use super::unyielding::Watch;

/// Rounds shorter than this are joined: a receiver acknowledges each 10 ms.
const ROUND_MIN: f64 = 0.010;
/// Packets of cohorts are added up to this many before their loss is judged.
const JUDGED_PACKETS: u64 = 60;
const COHORTS_MAX: usize = 64;
/// Rounds that a rate counts for.
const BANDWIDTH_ROUNDS: u64 = 4;
/// The queue of a slower flow, in packets per second, is no longer: 1 Mbit/s.
const TARGET_RATE_MIN: f64 = 80.0;
const RATE_MIN_PER_RTT: f64 = 4.0;

/// What an acknowledgement brings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    pub(super) now: f64,
    pub(super) newly_delivered: f64,
    pub(super) delivered_total: u64,
    pub(super) rtt: Option<f64>,
    /// A delivery rate, packets per second.
    pub(super) rate: Option<f64>,
    pub(super) is_round_start: bool,
    pub(super) pipe: f64,
    /// What the path can carry, as the receiver saw it in the first flight, packets per second.
    pub(super) hint: Option<f64>,
    /// The rate of the packets that arrived last, packets per second.
    pub(super) recent_rate: Option<f64>,
    /// Whether the receiver counts packets, so that rates and the pipe are exact.
    pub(super) is_exact: bool,
}

/// What a cohort of packets was sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Startup,
    Calm,
    Up,
    Down,
    Other,
}

/// Packets sent between two control decisions.
#[derive(Clone, Copy, Debug)]
struct Cohort {
    id: u32,
    purpose: Purpose,
    queue: f64,
    pace: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Startup,
    Drain { rounds: u32 },
    Cruise,
    ProbeRtt(ProbeRtt),
}

/// A rate that is not exceeded for a while after a loss.
#[derive(Clone, Copy, Debug)]
struct Hold {
    /// When a loss beside a queue, or the end of the competitive mode, set it. A down-test that gives way leaves this as it is.
    since: f64,
    until: f64,
    rate: f64,
    /// Whether the buffer overflowed once more though a rate was held.
    is_repeated: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Core {
    policy: Policy,
    state: State,
    now: f64,
    pipe: f64,
    is_exact: bool,
    delay: Delay,
    bandwidth: Bandwidth,
    floor: LossFloor,
    growth: Growth,
    pulse: Pulse,
    queue_cap: QueueCap,
    safety_net: SafetyNet,
    competition: Option<Competition>,
    contest: Contest,
    watch: Watch,
    gain: f64,
    /// The mean error of the queue over the last rounds.
    lean: f64,
    hold: Hold,
    test: DownTest,
    next_test: f64,
    round_start: f64,
    /// When the start-up and what it left were over.
    cruising_since: f64,
    cohorts: std::collections::VecDeque<Cohort>,
    cohort: u32,
    /// Cohorts up to this one were sent before the last reaction, and can't cause another.
    reacted_to: u32,
    last_reaction: f64,
    judged: Tally,
    random: u64,
}

impl Core {
    /// `wall_clock` is what it says at the beginning, in seconds since 1970.
    pub(super) fn new(policy: Policy, initial_rtt: f64, wall_clock: f64, seed: u64) -> Self {
        Self {
            policy,
            state: State::Startup,
            now: 0.0,
            pipe: 0.0,
            is_exact: true,
            delay: Delay::new(initial_rtt),
            bandwidth: Bandwidth::over(BANDWIDTH_ROUNDS),
            floor: LossFloor::new(),
            growth: Growth::default(),
            pulse: Pulse::default(),
            queue_cap: QueueCap::default(),
            safety_net: SafetyNet::default(),
            competition: None,
            contest: Contest::new(wall_clock),
            watch: Watch::default(),
            gain: 1.0,
            lean: 0.0,
            hold: Hold { since: 0.0, until: 0.0, rate: f64::MAX, is_repeated: false },
            test: DownTest::None,
            next_test: 0.0,
            round_start: 0.0,
            cruising_since: 0.0,
            cohorts: std::collections::VecDeque::new(),
            cohort: 0,
            reacted_to: 0,
            last_reaction: -1.0,
            judged: Tally::default(),
            random: seed | 1,
        }
    }

    pub(super) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        if self.policy.kind == PolicyKind::Low {
            self.competition = None;
        }
        if let Some(competition) = &mut self.competition {
            competition.set_high(self.policy.kind == PolicyKind::High);
        }
    }

    /// An earlier connection found that the path carries this much.
    pub(super) fn remember(&mut self, rate: f64) {
        self.growth.remembered = rate;
    }

    /// Begins the start-up with this estimate.
    pub(super) fn start_with(&mut self, bandwidth: f64) {
        self.bandwidth.reset(bandwidth);
        self.growth.bandwidth = bandwidth;
    }

    pub(super) fn policy(&self) -> Policy {
        self.policy
    }

    /// The cohort that packets sent now belong to.
    pub(super) fn cohort(&self) -> u32 {
        self.cohort
    }

    pub(super) fn on_ack(&mut self, ack: &Ack) {
        (self.now, self.pipe, self.is_exact) = (ack.now, ack.pipe, ack.is_exact);
        if let Some(rtt) = ack.rtt {
            self.delay.on_sample(ack.now, rtt);
        }
        if let Some(rate) = ack.rate {
            self.bandwidth.on_sample(rate);
        }
        if self.state == State::Cruise
            && let Some(competition) = &mut self.competition
        {
            competition.grow(ack.now, ack.newly_delivered, self.delay.smoothed());
            if ack.rtt.is_some() && self.watch.on_sample(ack.now, self.delay.queue(), self.delay.min_rtt()) {
                competition.stand(self.bandwidth.estimate());
            }
        }
        if self.state == State::Startup {
            self.take_hint(ack);
            self.growth.recent = self.growth.recent.max(ack.recent_rate.unwrap_or(0.0));
            if ack.rtt.is_some() {
                self.watch_startup_queue();
            }
            if self.bandwidth.estimate() > 0.0 && self.is_startup_queued() {
                self.leave_startup();
            } else if ack.is_exact && self.growth.hint > 0.0 {
                self.compare_with_hint();
            }
        }
        if self.state == State::Cruise && self.competition.is_none() && self.test == DownTest::None {
            self.steer();
        }
        if matches!(self.state, State::Drain { .. }) && ack.pipe <= self.bdp() {
            self.cruise();
        }
        // None is shorter than the path: what says so are counts that were behind a gap and come at once.
        if ack.is_round_start
            && ack.now - self.round_start >= ROUND_MIN.max(0.5 * self.delay.smoothed().min(self.delay.min_rtt()))
        {
            self.on_round();
        }
    }

    /// All packets of a cohort, or nearly all, were delivered or lost.
    pub(super) fn on_cohort(&mut self, now: f64, report: &CohortReport) {
        self.now = now;
        let (id, tally) = (report.cohort, Tally { sent: report.sent, lost: report.lost });
        let Some(cohort) = self.cohorts.iter().find(|cohort| cohort.id == id).copied() else { return };
        let wanted = self.wanted_pace();
        self.safety_net.on_cohort(&Verdict { now, id, current: self.cohort, tally, pace: cohort.pace, wanted });
        let queue = cohort.queue.max(self.delay.queue());
        let tally = self.without_outages(&cohort, queue, report);
        self.observe_loss(&cohort, queue, tally);
        if cohort.purpose == Purpose::Down && self.is_tested_by(id) {
            return self.judge_test(tally);
        }
        if self.state == State::Cruise && self.competition.is_some() {
            return self.compete_on_loss(&cohort, tally);
        }
        if self.state == State::Cruise {
            self.learn_depth(&cohort, tally);
        }
        self.judged.add(tally);
        if self.judged.sent < JUDGED_PACKETS {
            return;
        }
        let judged = self.judged.take();
        let floor = self.floor.value();
        let sigma = (self.floor.dispersion() * floor * (1.0 - floor) / judged.sent as f64).sqrt();
        let is_excess = judged.lost >= 3 && judged.loss() > floor + 0.02 + 2.5 * sigma;
        if is_excess && id > self.reacted_to {
            self.react(&cohort, queue, judged.loss());
        }
    }

    /// Nothing has come back for several probe times: everything in flight is lost, and so may be the path as we know it.
    pub(super) fn on_timeout(&mut self, now: f64) {
        self.now = now;
        let before = self.bandwidth.estimate();
        if before > 0.0 {
            self.bandwidth.reset(0.5 * before);
        }
        self.competition = None;
        self.test = DownTest::None;
        self.pulse.stop();
        self.growth = Growth { hint: before, ..Growth::default() };
        self.state = State::Startup;
        self.safety_net.on_timeout(self.cohort);
        self.mark(Purpose::Startup);
        self.reacted_to = self.cohort;
    }

    /// The pace, packets per second.
    pub(super) fn pace(&self) -> f64 {
        let slowest = RATE_MIN_PER_RTT / self.delay.smoothed().max(0.01);
        self.wanted_pace().min(self.safety_net.limit()).max(slowest)
    }

    /// The most packets in flight.
    pub(super) fn window(&self) -> f64 {
        if let PolicyKind::Fixed { packets_per_s } = self.policy.kind {
            return 2.0 * packets_per_s * (self.delay.min_rtt() + 0.5) + 64.0;
        }
        let bandwidth = self.bandwidth.estimate();
        if bandwidth == 0.0 && self.growth.jump == 0.0 {
            return FIRST_FLIGHT_PACKETS;
        }
        // Acknowledgements come each 10 ms or 64 packets: what may be in flight beside the BDP for that.
        let aggregation = bandwidth * 0.011 + (bandwidth * 0.02).min(68.0) + 8.0;
        let (bdp, floor) = (self.bdp(), self.floor.value());
        match (self.state, &self.competition) {
            (State::Startup, _) => self.startup_window(bdp) + aggregation + FIRST_FLIGHT_PACKETS,
            (State::ProbeRtt(probe), _) => probe.fill * probe.arriving * self.delay.min_rtt() + aggregation,
            (State::Cruise, Some(competition)) => {
                competition.window(self.delay.min_rtt()) * (1.0 + floor) + aggregation
            }
            (State::Drain { .. }, _) => bdp + aggregation,
            // A plain receiver leaves us blind for an RTT after each hole.
            _ if !self.is_exact => (2.5 + 4.0 * floor) * bdp + aggregation + bandwidth * self.delay.jitter(),
            _ => {
                let noise = 2.0 * self.delay.jitter().min(self.delay.min_rtt() + 0.02);
                let time = self.delay.min_rtt() + 1.5 * self.target_queue() + noise;
                (bandwidth * time * self.pulse.window_gain() + aggregation) / (1.0 - floor)
            }
        }
    }

    /// The bandwidth estimate, packets per second.
    pub(super) fn bandwidth(&self) -> f64 {
        self.bandwidth.estimate()
    }

    /// The pace within the policy's bounds, before the safety net.
    fn wanted_pace(&self) -> f64 {
        self.policy.bound(self.free_pace(), self.safety_net.allows_minimum(self.floor.value()))
    }

    /// The pace before the policy's bounds.
    fn free_pace(&self) -> f64 {
        let floor = self.floor.value();
        if let PolicyKind::Fixed { packets_per_s } = self.policy.kind {
            return packets_per_s / (1.0 - self.floor.mean().clamp(floor, FLOOR_MAX));
        }
        let bandwidth = self.bandwidth.estimate();
        if bandwidth == 0.0 && self.growth.jump == 0.0 {
            // The first flight leaves in two trains, back to back.
            return 1e6;
        }
        let compensated = bandwidth / (1.0 - floor);
        match (self.state, &self.competition) {
            (State::Startup, _) => self.startup_pace(),
            (State::Drain { .. }, _) => 0.5 * compensated,
            (State::ProbeRtt(probe), _) => probe.pace() / (1.0 - floor),
            (State::Cruise, Some(competition)) => competition.pace(self.delay.smoothed()) / (1.0 - floor),
            (State::Cruise, None) => match self.test {
                DownTest::Sending(test) => test.pace,
                _ if self.now < self.hold.until => self.gain * bandwidth.min(self.hold.rate) / (1.0 - floor),
                _ => self.gain * compensated,
            },
        }
    }

    fn bdp(&self) -> f64 {
        self.bandwidth.estimate() * self.delay.min_rtt()
    }

    /// The queue that this flow lets stand. It falls with the flow's rate, so that flows of one bottleneck have one fair point.
    fn target_queue(&self) -> f64 {
        self.target_queue_at(self.bandwidth.estimate())
    }

    fn target_queue_at(&self, bandwidth: f64) -> f64 {
        let bandwidth = bandwidth.max(TARGET_RATE_MIN);
        let target = self.policy.target_queue(bandwidth);
        target.min(self.queue_cap.seconds().max(3.0 / bandwidth)) + self.delay.jitter().min(0.015)
    }

    fn cruise(&mut self) {
        self.state = State::Cruise;
        self.cruising_since = self.now;
        (self.gain, self.lean) = (1.0, 0.0);
        self.contest.calm_down();
        // What the start-up lost, it lost at other paces.
        self.reacted_to = self.cohort;
        self.mark(Purpose::Calm);
    }

    fn mark(&mut self, purpose: Purpose) {
        // At a fixed rate there are no ups.
        let is_fixed = matches!(self.policy.kind, PolicyKind::Fixed { .. });
        let purpose = if is_fixed && purpose == Purpose::Up { Purpose::Calm } else { purpose };
        self.cohort += 1;
        let cohort = Cohort { id: self.cohort, purpose, queue: self.delay.queue(), pace: self.pace() };
        self.cohorts.push_back(cohort);
        if self.cohorts.len() > COHORTS_MAX {
            self.cohorts.pop_front();
        }
    }

    fn on_round(&mut self) {
        self.round_start = self.now;
        self.bandwidth.on_round();
        self.delay.on_round(self.now);
        match self.state {
            State::Startup => self.on_startup_round(),
            State::Drain { rounds } => {
                if self.delay.queue() < self.target_queue() || rounds >= 4 {
                    self.cruise();
                } else {
                    self.state = State::Drain { rounds: rounds + 1 };
                    self.mark(Purpose::Other);
                }
            }
            State::ProbeRtt(probe) => self.on_probe_rtt_round(probe),
            State::Cruise if self.competition.is_some() => self.on_competitive_round(),
            State::Cruise => self.on_cruise_round(),
        }
    }

    /// 0 ..= 1; xorshift is enough to keep flows from falling in step.
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests;
