//! The state machine of the controller, in seconds and packets.
//!
//! ```text
//!  Startup ──queue, no growth, or heavy loss──► Drain ──pipe ≤ BDP──► Cruise ◄──────┐
//!                                                                      │  ▲         │
//!                              least RTT unseen, or a drain test due ──┘  └── ProbeRtt
//!  Cruise is in one of two modes: delay mode, and competitive mode while others fill the buffer.
//! ```

use super::bandwidth::Bandwidth;
use super::competition::Competition;
use super::contest::Contest;
use super::delay::Delay;
use super::loss_floor::{FLOOR_MAX, LossFloor, Tally};
use super::policy::{Policy, PolicyKind};
use super::pulse::Pulse;
use super::queue_cap::QueueCap;
use super::safety_net::{SafetyNet, Verdict};

/// The first flight: two trains of 16, which measure the path's dispersion.
const FIRST_FLIGHT_PACKETS: f64 = 32.0;
/// How much faster than the path is known to be, where a sample lags by a round-trip...
const STARTUP_GAIN: f64 = 2.77;
/// ... and where it doesn't: no more than doubling, so that one BDP of buffer takes what is too much.
const STARTUP_GAIN_RECENT: f64 = 2.0;
/// With a hint the pace grows by this much, up to a little more than the hint. When nearly all of the hint arrives, a round-trip is
/// left to see whether the path carries more than it said: only then does the growth go on.
const STARTUP_GAIN_HINTED: f64 = 8.0;
const HINT_GAIN: f64 = 1.15;
/// The second flight: a link that is full with others' packets looks empty to a train, and what is too much stands in their queue.
const HINT_JUMP: f64 = 0.5;
const HINT_REACHED: f64 = 0.85;
const HINT_EXCEEDED: f64 = 1.1;
/// A hint is taken from the first flight only: later packets show their own spacing.
const HINT_PACKETS: std::ops::RangeInclusive<u64> = 17..=64;
/// A round in which the bandwidth grew by less does not count as growth.
const STARTUP_GROWTH: f64 = 1.25;
const STARTUP_ROUNDS_WITHOUT_GROWTH: u32 = 3;
/// Rounds shorter than this are joined: a receiver acknowledges each 10 ms.
const ROUND_MIN: f64 = 0.010;
/// Packets of cohorts are added up to this many before their loss is judged.
const JUDGED_PACKETS: u64 = 60;
/// The pace that proves a loss to be random, as a part of the rate that arrived lately.
const PROOF_GAIN: f64 = 0.7;
/// Packets of a down-test.
const TEST_PACKETS: f64 = 100.0;
/// The drain tests of all flows sit on multiples of this, so that they drain together.
const DRAIN_SLOT_MIN: f64 = 5.0;
const DRAIN_SLOT_MAX: f64 = 20.0;
/// Bounds of what the queue adds to the pace.
const FASTEST: f64 = 0.05;
const SLOWEST: f64 = -0.15;
const SLOWEST_LOW: f64 = -0.5;
/// An error of the queue that stays for some twenty rounds counts for four: it is an estimate that is wrong by a per cent or two, or
/// the share of a flow that is far from equal. More at once would make the queue swing.
const LEAN_WEIGHT: f64 = 0.05;
const LEAN_GAIN: f64 = 3.0;
/// Beside a flow that fills the buffer this is the part of its rate that a flow gives up each round-trip; more, and the queue would
/// never get so long that the other is noticed.
const LEAN_SLOWEST: f64 = -0.008;
const COHORTS_MAX: usize = 64;
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

#[derive(Clone, Copy, Debug, PartialEq)]
struct ProbeRtt {
    since: f64,
    round: u64,
    bandwidth: f64,
    queue_before: f64,
    queue_min: f64,
    has_drained: bool,
}

/// Growth of the start-up.
#[derive(Clone, Copy, Debug, Default)]
struct Growth {
    bandwidth: f64,
    rounds_without: u32,
    /// What the receiver measured of the first flight.
    hint: f64,
    /// The highest rate of packets that arrived within a fraction of a round-trip.
    recent: f64,
    /// When nearly as much as the hint says arrived.
    reached_at: Option<f64>,
    /// What the path carried for an earlier connection.
    remembered: f64,
    jump: f64,
    jump_until: f64,
}

/// A rate that is not exceeded for a while after a loss.
#[derive(Clone, Copy, Debug)]
struct Hold {
    until: f64,
    rate: f64,
}

/// A cohort at a lower pace, to see whether the loss follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum DownTest {
    None,
    Sending(Test),
    Waiting(Test),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Test {
    since: f64,
    cohort: u32,
    pace: f64,
    trigger_loss: f64,
    queue: f64,
    reason: Reason,
}

/// Why a down-test was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// Loss that nothing explains.
    Suspicion,
    /// The floor is tested now and then.
    Routine,
    /// The loss stayed in a first test. A policer's bucket that was full can make one cohort look so, but not one at a rate far below
    /// what arrived lately.
    Proof,
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
    gain: f64,
    /// The mean error of the queue over the last rounds.
    lean: f64,
    hold: Hold,
    test: DownTest,
    next_test: f64,
    round_start: f64,
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
            bandwidth: Bandwidth::default(),
            floor: LossFloor::new(),
            growth: Growth::default(),
            pulse: Pulse::default(),
            queue_cap: QueueCap::default(),
            safety_net: SafetyNet::default(),
            competition: None,
            contest: Contest::new(wall_clock),
            gain: 1.0,
            lean: 0.0,
            hold: Hold { until: 0.0, rate: f64::MAX },
            test: DownTest::None,
            next_test: 0.0,
            round_start: 0.0,
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
        }
        if self.state == State::Startup {
            self.take_hint(ack);
            self.growth.recent = self.growth.recent.max(ack.recent_rate.unwrap_or(0.0));
            let is_queued = self.delay.queue() > self.startup_queue_max();
            if ack.rtt.is_some() && self.bandwidth.estimate() > 0.0 && is_queued {
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
        if ack.is_round_start && ack.now - self.round_start >= ROUND_MIN {
            self.on_round();
        }
    }

    /// All packets of a cohort, or nearly all, were delivered or lost: so many of them in bursts.
    pub(super) fn on_cohort(&mut self, now: f64, id: u32, tally: Tally, lost_in_bursts: u64) {
        self.now = now;
        let Some(cohort) = self.cohorts.iter().find(|cohort| cohort.id == id).copied() else { return };
        let wanted = self.wanted_pace();
        self.safety_net.on_cohort(&Verdict { now, id, current: self.cohort, tally, pace: cohort.pace, wanted });
        let queue = cohort.queue.max(self.delay.queue());
        // A burst without a queue is a link that was away, which no rate of ours would have helped.
        let is_outage = self.competition.is_none() && queue < 0.5 * self.target_queue();
        let tally = if is_outage { tally.without(lost_in_bursts) } else { tally };
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
        let rate = 0.5 * self.bandwidth.estimate();
        if rate > 0.0 {
            self.bandwidth.reset(rate);
        }
        self.competition = None;
        self.test = DownTest::None;
        self.pulse.stop();
        self.growth = Growth { hint: 2.0 * rate, ..Growth::default() };
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
            (State::ProbeRtt(_), _) => 0.8 * bdp + aggregation,
            (State::Cruise, Some(competition)) => competition.window() * (1.0 + floor) + aggregation,
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
            (State::ProbeRtt(_), Some(_)) => 0.5 * compensated,
            (State::ProbeRtt(_), None) => 0.75 * compensated,
            (State::Cruise, Some(competition)) => 1.1 * competition.window() / self.delay.smoothed() / (1.0 - floor),
            (State::Cruise, None) => match self.test {
                DownTest::Sending(test) => test.pace,
                _ if self.now < self.hold.until => self.gain * bandwidth.min(self.hold.rate) / (1.0 - floor),
                _ => self.gain * compensated,
            },
        }
    }

    fn startup_pace(&self) -> f64 {
        let Growth { hint, recent, jump, jump_until, .. } = self.growth;
        let bandwidth = self.bandwidth.estimate();
        let first = FIRST_FLIGHT_PACKETS / self.delay.smoothed().max(0.002);
        let jump = if self.now < jump_until { jump } else { 0.0 };
        let grown = match self.is_exact {
            true if hint > 0.0 => (STARTUP_GAIN_HINTED * recent.max(bandwidth)).min(HINT_GAIN * hint),
            true => STARTUP_GAIN_RECENT * recent.max(bandwidth),
            false => (STARTUP_GAIN * bandwidth).max((0.5 * hint).min(STARTUP_GAIN_HINTED * bandwidth)),
        };
        grown.max(jump).max(first)
    }

    fn startup_window(&self, bdp: f64) -> f64 {
        (1.25 * self.startup_pace() * self.delay.smoothed()).max(3.0 * bdp)
    }

    fn bdp(&self) -> f64 {
        self.bandwidth.estimate() * self.delay.min_rtt()
    }

    /// The queue that this flow lets stand. It falls with the flow's rate, so that flows of one bottleneck have one fair point.
    fn target_queue(&self) -> f64 {
        self.target_queue_at(self.bandwidth.estimate())
    }

    fn target_queue_at(&self, bandwidth: f64) -> f64 {
        let bandwidth = bandwidth.max(80.0);
        let target = self.policy.target_queue(bandwidth);
        target.min(self.queue_cap.seconds().max(3.0 / bandwidth)) + self.delay.jitter().min(0.015)
    }

    fn startup_queue_max(&self) -> f64 {
        (self.delay.min_rtt() / 8.0).clamp(0.004, 0.016).max(1.5 * self.target_queue())
    }

    fn take_hint(&mut self, ack: &Ack) {
        let Some(hint) = ack.hint.filter(|_| HINT_PACKETS.contains(&ack.delivered_total)) else { return };
        if self.growth.hint == 0.0 {
            let rtt = self.delay.smoothed();
            self.growth.hint = hint;
            // Half of what an earlier connection got, which knew what others leave, if the path still is as fast.
            let remembered = 0.5 * self.growth.remembered.min(hint);
            self.growth.jump = (HINT_JUMP * hint).min(16.0 * FIRST_FLIGHT_PACKETS / rtt).max(remembered);
            self.growth.jump_until = ack.now + 1.5 * rtt;
        }
    }

    fn compare_with_hint(&mut self) {
        let Growth { hint, recent, .. } = self.growth;
        if recent < HINT_REACHED * hint {
            return;
        }
        let reached_at = *self.growth.reached_at.get_or_insert(self.now);
        if recent > HINT_EXCEEDED * hint {
            self.growth.hint = 0.0;
        } else if self.now - reached_at > 1.25 * self.delay.smoothed() {
            self.bandwidth.reset(recent.max(self.bandwidth.estimate()));
            self.cruise();
        }
    }

    fn leave_startup(&mut self) {
        self.state = State::Drain { rounds: 0 };
        self.mark(Purpose::Other);
        self.reacted_to = self.cohort;
    }

    fn cruise(&mut self) {
        self.state = State::Cruise;
        (self.gain, self.lean) = (1.0, 0.0);
        self.contest.calm_down();
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

    fn on_startup_round(&mut self) {
        let bandwidth = self.bandwidth.estimate();
        if bandwidth >= STARTUP_GROWTH * self.growth.bandwidth || self.now < self.growth.jump_until {
            self.growth.bandwidth = self.growth.bandwidth.max(bandwidth);
            self.growth.rounds_without = 0;
        } else {
            self.growth.rounds_without += 1;
        }
        let is_full = self.growth.rounds_without >= STARTUP_ROUNDS_WITHOUT_GROWTH;
        if is_full || self.delay.queue() > self.startup_queue_max() {
            self.leave_startup();
        } else {
            self.mark(Purpose::Startup);
        }
    }

    fn probe_rtt(&mut self) {
        self.state = State::ProbeRtt(ProbeRtt {
            since: self.now,
            round: self.bandwidth.round(),
            bandwidth: self.bandwidth.estimate(),
            queue_before: self.delay.queue(),
            queue_min: f64::MAX,
            has_drained: false,
        });
        self.mark(Purpose::Other);
    }

    fn on_probe_rtt_round(&mut self, mut probe: ProbeRtt) {
        probe.queue_min = probe.queue_min.min(self.delay.queue());
        let lasted = self.now - probe.since;
        let is_drained = self.pipe <= 0.85 * self.bdp() + 6.0;
        let is_seen = is_drained && probe.has_drained && (self.competition.is_none() || lasted > 0.3);
        probe.has_drained |= is_drained;
        self.state = State::ProbeRtt(probe);
        if is_seen || (self.bandwidth.round() > probe.round + 6 && lasted > 0.4) {
            self.end_probe_rtt(probe);
        } else {
            self.mark(Purpose::Other);
        }
    }

    fn end_probe_rtt(&mut self, probe: ProbeRtt) {
        self.delay.on_probed(self.now);
        self.state = State::Cruise;
        self.bandwidth.reset(probe.bandwidth);
        let is_empty = probe.queue_min < 0.5 * self.target_queue();
        let is_alone = probe.queue_min < (0.75 * self.target_queue()).max(0.05 * probe.queue_before);
        match &mut self.competition {
            Some(competition) if is_alone => {
                let window = competition.window();
                self.competition = None;
                (self.gain, self.lean) = (1.0, 0.0);
                let until = self.now + 2.0_f64.max(15.0 * self.delay.min_rtt());
                self.hold = Hold { until, rate: 0.97 * probe.bandwidth };
                self.contest.left(self.now, window, probe.bandwidth);
            }
            Some(competition) => {
                competition.restart_epoch();
                self.contest.lengthen_slot(DRAIN_SLOT_MIN, DRAIN_SLOT_MAX);
            }
            None if is_empty => self.contest.drained(),
            None => {}
        }
        self.mark(Purpose::Calm);
    }

    fn on_competitive_round(&mut self) {
        if self.contest.is_slot_due(self.now, self.delay.min_rtt()) {
            self.contest.start_slot(self.now);
            self.probe_rtt();
        } else {
            self.mark(Purpose::Calm);
        }
    }

    fn on_cruise_round(&mut self) {
        if self.advance_test() {
            return;
        }
        let (queue, target) = (self.delay.queue(), self.target_queue());
        let bandwidth = self.bandwidth.estimate();
        let best = self.contest.observe(self.now, bandwidth, queue, target, &self.delay);
        let best_target = self.target_queue_at(best);
        let may_compete = self.policy.kind != PolicyKind::Low;
        // The queue that a heavy flow leaves behind when it drains its own is short, whoever keeps it.
        let returned_rounds = if self.policy.kind == PolicyKind::High { 3 } else { 6 };
        if may_compete && self.contest.has_returned(self.now, self.delay.min_rtt(), returned_rounds) {
            return self.compete(self.contest.saved_window(), true);
        }
        if may_compete && self.contest.is_crowded(self.now, bandwidth, best_target) && !self.delay.is_falling() {
            let window = self.contest.reference(bandwidth) * (self.delay.min_rtt() + queue);
            let window = self.contest.at_least_recent(self.now, window).min(1.5 * self.pipe + 8.0);
            return self.compete(window, self.contest.is_recent(self.now));
        }
        if self.delay.is_stale(self.now, self.contest.is_new_slot(self.now)) {
            return self.probe_rtt();
        }
        let is_test_due = self.now > self.next_test && self.floor.value() > 0.005 && queue < 1.3 * target;
        if self.test == DownTest::None && self.pulse.is_idle() && is_test_due {
            return self.start_test(0.95 * bandwidth, self.floor.value(), queue, Reason::Routine);
        }
        let may_start = self.now > self.hold.until && queue < 0.35 * target;
        let steps_max = if self.now - self.contest.left_at() < 10.0 { 1 } else { 4 };
        let retry_at = self.now + 3.0 * self.delay.min_rtt();
        self.pulse.on_round(self.now, bandwidth, queue < 0.5 * target, may_start, steps_max, retry_at);
        self.queue_cap.recover(self.now, self.now > self.hold.until);
        let last_round = self.bandwidth.last_round();
        let is_overfull = queue > (4.0 * target).max(target + 0.02);
        if is_overfull && last_round > 0.0 && last_round < 0.8 * bandwidth {
            // A standing queue means that the last round is the share.
            self.bandwidth.reset(last_round);
        }
        self.lean += LEAN_WEIGHT * (self.queue_error().clamp(SLOWEST, FASTEST) - self.lean);
        self.steer();
        // A fixed rate has no gain.
        let is_up = self.gain > 1.03 && !matches!(self.policy.kind, PolicyKind::Fixed { .. });
        self.mark(if is_up { Purpose::Up } else { Purpose::Calm });
    }

    /// Enters the competitive mode with this window.
    fn compete(&mut self, window: f64, is_return: bool) {
        self.contest.entered(self.now, is_return, DRAIN_SLOT_MIN, DRAIN_SLOT_MAX);
        self.competition = Some(Competition::new(window.max(4.0), matches!(self.policy.kind, PolicyKind::High)));
        self.mark(Purpose::Calm);
    }

    /// Steers the queue towards its target.
    fn steer(&mut self) {
        let (queue, target) = (self.delay.queue(), self.target_queue());
        let (slowest, lean_slowest) = match self.policy.kind {
            PolicyKind::Low => (SLOWEST_LOW, SLOWEST_LOW),
            PolicyKind::High => (SLOWEST, LEAN_SLOWEST / 4.0),
            _ => (SLOWEST, LEAN_SLOWEST),
        };
        let lean = (LEAN_GAIN * self.lean).max(lean_slowest);
        let mut gain = 1.0 + (self.queue_error() + lean).clamp(slowest, FASTEST);
        if self.pulse.is_up() {
            if queue > 0.7 * target {
                self.pulse.look();
            } else {
                gain = self.pulse.gain();
            }
        }
        if self.now < self.hold.until {
            gain = gain.min(1.0);
        }
        self.gain = gain;
    }

    /// How much faster the pace should be for the queue to reach its target soon.
    fn queue_error(&self) -> f64 {
        (self.target_queue() - self.delay.queue()) / (2.5 * self.delay.min_rtt() + 0.03)
    }

    fn start_test(&mut self, pace: f64, trigger_loss: f64, queue: f64, reason: Reason) {
        self.gain = if reason == Reason::Routine { 0.9 } else { 0.85 };
        let cohort = self.cohort + 1;
        let test = Test { since: self.now, cohort, pace, trigger_loss, queue, reason };
        self.test = DownTest::Sending(test);
        self.mark(Purpose::Down);
    }

    /// Whether a down-test takes this round for itself.
    fn advance_test(&mut self) -> bool {
        match self.test {
            DownTest::None => false,
            DownTest::Sending(test) => {
                if (self.now - test.since) * self.pace() >= TEST_PACKETS {
                    self.test = DownTest::Waiting(test);
                    self.gain = 1.0;
                    self.mark(Purpose::Calm);
                }
                true
            }
            DownTest::Waiting(test) => {
                if self.now - test.since > 8.0 * self.delay.smoothed() + 0.5 {
                    self.test = DownTest::None;
                }
                false
            }
        }
    }

    fn is_tested_by(&self, cohort: u32) -> bool {
        matches!(self.test, DownTest::Sending(test) | DownTest::Waiting(test) if test.cohort == cohort)
    }

    fn observe_loss(&mut self, cohort: &Cohort, queue: f64, tally: Tally) {
        let is_level = matches!(cohort.purpose, Purpose::Calm | Purpose::Down);
        let is_calm = is_level && self.competition.is_none() && queue < 1.5 * self.target_queue();
        let is_growing = cohort.purpose == Purpose::Startup && queue < 0.002 && self.growth.rounds_without == 0;
        if is_calm || is_growing {
            self.floor.learn(tally);
        } else {
            self.floor.bound(tally);
        }
        let is_empty = self.state == State::Cruise && queue < 0.3 * self.target_queue();
        if is_empty && self.competition.is_none() && cohort.purpose != Purpose::Up {
            self.floor.observe_scatter(tally);
        }
    }

    fn judge_test(&mut self, tally: Tally) {
        let (DownTest::Sending(test) | DownTest::Waiting(test)) = std::mem::replace(&mut self.test, DownTest::None)
        else {
            return;
        };
        self.next_test = self.now + 5.0_f64.max(40.0 * self.delay.min_rtt());
        let loss = tally.loss();
        let stayed = loss > 0.6 * test.trigger_loss && tally.lost >= 2;
        if test.trigger_loss < 0.25 && tally.sent >= 40 && stayed {
            let random = loss.min(test.trigger_loss);
            let recent = self.bandwidth.recent().min(self.bandwidth.estimate());
            match test.reason {
                Reason::Proof => self.floor.prove(random),
                _ if self.floor.needs_proof(random) && recent > 0.0 => {
                    return self.start_test(PROOF_GAIN * recent, test.trigger_loss, test.queue, Reason::Proof);
                }
                Reason::Suspicion | Reason::Routine => self.floor.validate(random),
            }
            self.hold.until = self.now;
            return;
        }
        self.floor.refute(loss);
        if test.reason == Reason::Routine {
            return;
        }
        self.hold.until = self.now + (2.0 + self.random()).max(6.0 * self.delay.min_rtt());
        let proven = if self.floor.dispersion() > 3.0 { test.pace / 0.95 * 0.98 } else { 0.0 };
        let rate = self.bandwidth.recent().max(proven).min(self.bandwidth.estimate());
        if rate > 0.0 {
            self.bandwidth.reset(rate);
            self.hold.rate = 0.98 * rate;
        }
        if test.queue < 1.3 * self.target_queue() {
            self.queue_cap.set(0.5 * test.queue);
        }
    }

    fn compete_on_loss(&mut self, cohort: &Cohort, tally: Tally) {
        let expected = tally.sent as f64 * self.floor.value();
        let lost = tally.lost as f64;
        // On a path with random loss the peak of the queue stands for the overflow that the floor hides.
        let peak = cohort.queue.max(self.delay.round_queue_max());
        let is_at_peak =
            peak > 0.95 * self.delay.long_queue_max() && self.delay.long_queue_max() > 3.0 * self.target_queue();
        let is_overflow = lost >= 1.0 + self.floor.explained(tally.sent, 3.0);
        let is_masked_overflow = expected > 0.5 && lost > expected && is_at_peak;
        if (is_overflow || is_masked_overflow) && cohort.id > self.reacted_to {
            self.reacted_to = self.cohort + 1;
            self.last_reaction = self.now;
            if let Some(competition) = &mut self.competition {
                competition.reduce();
            }
        }
    }

    /// Any loss above the floor while a queue stands teaches how deep the buffer is.
    fn learn_depth(&mut self, cohort: &Cohort, tally: Tally) {
        let queue = cohort.queue.max(self.delay.round_queue_max());
        let sigmas = if self.floor.value() > 0.003 { 5.0 } else { 3.5 };
        let is_loss = tally.lost as f64 >= 1.0 + self.floor.explained(tally.sent, sigmas);
        let is_queued = queue > 0.000_6 && queue < 1.5 * self.target_queue() + 0.002;
        if !is_loss || !is_queued || !self.queue_cap.is_news(cohort.id) {
            return;
        }
        self.queue_cap.lower(0.5 * queue, self.now, self.cohort + 1);
        if self.now > self.hold.until {
            let until = self.now + (1.0 + self.random()).max(5.0 * self.delay.min_rtt());
            self.hold = Hold { until, rate: 0.93 * self.bandwidth.estimate() };
        }
        self.pulse.stop();
        self.pulse.pause_until(self.now + 1.0_f64.max(5.0 * self.delay.min_rtt()));
    }

    /// Loss above what chance explains, in a cohort sent after the last reaction.
    fn react(&mut self, cohort: &Cohort, queue: f64, loss: f64) {
        match self.state {
            State::Startup => {
                let is_heavy = loss > self.floor.value() + 0.2;
                if is_heavy || self.growth.rounds_without >= 1 {
                    let rate = self.bandwidth.recent();
                    if is_heavy && rate > 0.0 {
                        self.bandwidth.reset(rate);
                    }
                    self.leave_startup();
                }
            }
            State::Cruise if queue > 1.5 * self.target_queue() => self.react_to_overflow(),
            State::Cruise => self.react_to_unexplained(cohort, loss),
            State::Drain { .. } | State::ProbeRtt(_) => {}
        }
    }

    /// A standing queue overflowed: the window drains it, and the depth of the buffer is remembered.
    fn react_to_overflow(&mut self) {
        if self.now - self.last_reaction <= self.delay.smoothed() {
            return;
        }
        self.last_reaction = self.now;
        self.reacted_to = self.cohort + 1;
        self.pulse.stop();
        let until = self.now + (2.0 + self.random()).max(6.0 * self.delay.min_rtt());
        self.hold = Hold { until, rate: self.bandwidth.estimate() };
        self.queue_cap.lower(0.4 * self.delay.round_queue_max(), self.now, 0);
    }

    /// No queue explains the loss: test whether it follows our rate.
    fn react_to_unexplained(&mut self, cohort: &Cohort, loss: f64) {
        if self.test != DownTest::None || self.now - self.last_reaction <= 2.0 * self.delay.smoothed() {
            return;
        }
        self.pulse.stop();
        self.last_reaction = self.now;
        let fastest = 1.3 * self.bandwidth.estimate() / (1.0 - self.floor.value());
        let pace = 0.95 * cohort.pace.min(fastest) * (1.0 - loss);
        self.start_test(pace, loss, self.delay.round_queue_max(), Reason::Suspicion);
        self.reacted_to = self.cohort;
        self.round_start = self.now;
    }

    /// 0 ..= 1; xorshift is enough to keep flows from falling in step.
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}
