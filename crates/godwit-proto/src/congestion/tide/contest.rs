//! Whether somebody else fills the buffer: what decides on entering the competitive mode, and on leaving it.

/// A flow that comes back to the competitive mode this soon drains half as often there...
const RECENT: f64 = 20.0;
/// ... and this soon it takes up the window that it left with.
const WINDOW_KEPT: f64 = 10.0;
/// How fast the rate that a flow claims beside others fades towards what it has.
const CLAIM_FADES: f64 = 20.0;
const CLAIM: f64 = 0.85;
/// All flows look for their least RTT once in this time, on the clock of the wall.
const RTT_SLOT: f64 = 10.0;
/// Whoever suspects that the queue is another's drains on whole seconds of it, ...
const TEST_SLOT: f64 = 1.0;
/// ... after so many rounds with a queue that our own slowing down does not drain, ...
const SUSPICIOUS_ROUNDS: u32 = 8;
/// ... or that falls no faster than our rate, which is below this part of what it was before: while a queue of our own stands, as much
/// arrives as ever, ...
const RATE_FALLEN: f64 = 0.7;
/// ... and if it was our own all the same, not again for this long, doubled each time.
const WAIT_MIN: f64 = 2.0;
const WAIT_MAX: f64 = 16.0;
/// ... unless the suspicion lasts so many rounds, and what we have left is below that part of what it was at the test: that is somebody who
/// was short of a queue then. One of our own that comes takes as much, but the queue is soon near its target again.
const LONG_SUSPICIOUS_ROUNDS: u32 = 3 * SUSPICIOUS_ROUNDS;
/// Where a test lately found the queue to be our own, one that is in doubt is repeated on the next slot, and that one counts.
const REPEATED_WITHIN: f64 = 3.0 * TEST_SLOT;
/// The drain tests of the competitive mode sit on multiples of this, so that all our flows drain together.
const DRAIN_SLOT_MIN: f64 = 5.0;
const DRAIN_SLOT_MAX: f64 = 20.0;

/// Times in seconds, rates in packets per second.
#[derive(Clone, Debug)]
pub(super) struct Contest {
    /// Rounds with a queue that our own slowing down did not drain, less those without.
    hot_rounds: u32,
    /// The rate when the queue was last near its target.
    reference: f64,
    /// The highest rate of the recent past: what others took of it is claimed beside them.
    claim: f64,
    observed_at: f64,
    /// What has to be added to `now` for the time on the wall.
    wall_clock: f64,
    slot: f64,
    slot_at: f64,
    rtt_slot: f64,
    test_slot: f64,
    wait: f64,
    tested_at: f64,
    /// The rate before the queue that was ours went.
    tested_rate: f64,
    left_at: f64,
    saved_window: f64,
    /// When a test was last in doubt.
    doubted_at: f64,
}

impl Contest {
    /// `wall_clock` is what it says at time 0.
    pub(super) fn new(wall_clock: f64) -> Self {
        Self {
            hot_rounds: 0,
            reference: 0.0,
            claim: 0.0,
            observed_at: 0.0,
            wall_clock,
            slot: DRAIN_SLOT_MIN,
            slot_at: 0.0,
            rtt_slot: (wall_clock / RTT_SLOT).floor(),
            test_slot: (wall_clock / TEST_SLOT).floor(),
            wait: 0.0,
            tested_at: -100.0,
            tested_rate: 0.0,
            left_at: -100.0,
            saved_window: 0.0,
            doubted_at: -100.0,
        }
    }

    /// A round in delay mode. `targets` are those of the queue at this bandwidth and at the one before others came.
    pub(super) fn observe(&mut self, now: f64, bandwidth: f64, queue: f64, targets: [f64; 2], is_rising: bool) {
        let [target, usual] = targets;
        let hot = (1.5 * usual).max(usual + 0.002).max(usual + 4.0 / bandwidth.max(80.0));
        let faded = ((now - self.observed_at) / CLAIM_FADES).min(1.0);
        self.claim += (bandwidth - self.claim) * if bandwidth > self.claim { 1.0 } else { faded };
        self.observed_at = now;
        if queue < 1.15 * target {
            self.reference = bandwidth;
        }
        self.hot_rounds = match queue > hot {
            true if is_rising || bandwidth < RATE_FALLEN * self.reference => self.hot_rounds + 1,
            false if queue < 1.25 * usual => self.hot_rounds.saturating_sub(2),
            _ => self.hot_rounds.saturating_sub(1),
        };
    }

    /// Whether a queue that may be somebody else's is to be tested now.
    pub(super) fn is_test_due(&mut self, now: f64, bandwidth: f64) -> bool {
        let slot = self.slot_of(now, TEST_SLOT);
        let is_new = std::mem::replace(&mut self.test_slot, slot) != slot;
        let is_over = now - self.tested_at > self.wait
            || (self.hot_rounds >= LONG_SUSPICIOUS_ROUNDS && bandwidth < RATE_FALLEN * self.tested_rate);
        is_new && self.hot_rounds >= SUSPICIOUS_ROUNDS && is_over
    }

    /// The queue stayed though all of us drained it for a moment.
    pub(super) fn suspect(&mut self) {
        self.hot_rounds = self.hot_rounds.max(SUSPICIOUS_ROUNDS);
    }

    /// Whether a test that found a queue, but on a link that may just have become slower, is to be repeated: if queues of late were
    /// our own, and this one is not a repetition.
    pub(super) fn is_doubtful(&mut self, now: f64) -> bool {
        let is_doubtful = self.was_ours(now) && now - self.doubted_at > REPEATED_WITHIN;
        if is_doubtful {
            self.doubted_at = now;
        }
        is_doubtful
    }

    /// The rate to claim on entering.
    pub(super) fn claim(&self, bandwidth: f64) -> f64 {
        bandwidth.max(CLAIM * self.claim)
    }

    /// About the rate before others came.
    pub(super) fn reference(&self, bandwidth: f64) -> f64 {
        bandwidth.max(0.85 * self.reference)
    }

    /// A window on entering, not below what we left with a moment ago.
    pub(super) fn at_least_recent(&self, now: f64, window: f64) -> f64 {
        if now - self.left_at < WINDOW_KEPT { window.max(CLAIM * self.saved_window) } else { window }
    }

    /// The competitive mode begins, perhaps again.
    pub(super) fn entered(&mut self, now: f64) {
        let is_return = now - self.left_at < RECENT;
        self.slot_at = now;
        self.slot = if is_return { (self.slot * 2.0).clamp(DRAIN_SLOT_MIN, DRAIN_SLOT_MAX) } else { DRAIN_SLOT_MIN };
    }

    /// The competitive mode ends.
    pub(super) fn left(&mut self, now: f64, window: f64, bandwidth: f64) {
        self.hot_rounds = 0;
        self.left_at = now;
        self.saved_window = window;
        self.reference = bandwidth;
        self.wait = 0.0;
    }

    /// Whether a drain test is due: on slots of the clock, so that all our flows drain together.
    pub(super) fn is_slot_due(&self, now: f64, min_rtt: f64) -> bool {
        let is_new = self.slot_of(now, self.slot) != self.slot_of(self.slot_at, self.slot);
        is_new && now - self.slot_at > 1.5_f64.max(10.0 * min_rtt)
    }

    /// Whether one of the slots has begun in which all flows look for their least RTT.
    pub(super) fn is_new_slot(&mut self, now: f64) -> bool {
        let slot = self.slot_of(now, RTT_SLOT);
        std::mem::replace(&mut self.rtt_slot, slot) != slot
    }

    pub(super) fn start_slot(&mut self, now: f64) {
        self.slot_at = now;
    }

    /// The drain test met somebody: the next one comes later.
    pub(super) fn lengthen_slot(&mut self) {
        self.slot = (self.slot * 2.0).clamp(DRAIN_SLOT_MIN, DRAIN_SLOT_MAX);
    }

    /// The queue was gone when we drained it, and with us all who drain then: nobody else keeps it.
    pub(super) fn drained(&mut self, now: f64, bandwidth: f64, is_test: bool) {
        self.calm_down();
        if is_test {
            let is_again = self.was_ours(now);
            self.wait = if is_again { (2.0 * self.wait).clamp(WAIT_MIN, WAIT_MAX) } else { WAIT_MIN };
            (self.tested_at, self.tested_rate) = (now, bandwidth);
        }
    }

    pub(super) fn calm_down(&mut self) {
        self.hot_rounds = 0;
    }

    pub(super) fn left_at(&self) -> f64 {
        self.left_at
    }

    /// Whether a test lately found the queue gone.
    fn was_ours(&self, now: f64) -> bool {
        now - self.tested_at < 2.0 * WAIT_MAX
    }

    /// The number of the slot of this length that holds a time, on the clock of the wall.
    fn slot_of(&self, time: f64, length: f64) -> f64 {
        ((self.wall_clock + time) / length).floor()
    }
}
