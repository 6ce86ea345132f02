//! Probe pulses: one round faster, one round to look; a free link is taken exponentially, a full one costs 5 % of an RTT.

/// How much faster, from pulse to pulse.
const STEPS: [f64; 5] = [0.05, 0.1, 0.25, 0.5, 1.0];

/// A smaller step is noise.
const FIRST_STEP_MIN: f64 = 0.02;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Up,
    Look,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    stage: Stage,
    step: usize,
    /// The first step is no longer than this.
    first_step: f64,
    bandwidth_before: f64,
    next: f64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { stage: Stage::Idle, step: 0, first_step: STEPS[0], bandwidth_before: 0.0, next: 0.0 }
    }
}

impl Pulse {
    /// A round is over: start, go on, or give up.
    pub(super) fn on_round(
        &mut self,
        now: f64,
        bandwidth: f64,
        is_queue_short: bool,
        may_start: bool,
        steps_max: usize,
        retry_at: f64,
    ) {
        match self.stage {
            Stage::Up => self.stage = Stage::Look,
            Stage::Look if is_queue_short && bandwidth > self.bandwidth_before * (1.0 + 0.4 * self.step()) => {
                self.step = (self.step + 1).min(steps_max.min(STEPS.len() - 1));
                self.stage = Stage::Up;
                self.bandwidth_before = bandwidth;
            }
            Stage::Look => {
                self.stop();
                self.next = retry_at;
            }
            Stage::Idle if may_start && now > self.next => {
                self.stage = Stage::Up;
                self.bandwidth_before = bandwidth;
            }
            Stage::Idle => {}
        }
    }

    /// What a pulse leaves stands in the queue: in one round-trip no more than two targets.
    pub(super) fn bound_by(&mut self, target_queue: f64, min_rtt: f64) {
        self.first_step = (2.0 * target_queue / min_rtt).clamp(FIRST_STEP_MIN, STEPS[0]);
    }

    pub(super) fn stop(&mut self) {
        self.stage = Stage::Idle;
        self.step = 0;
    }

    pub(super) fn pause_until(&mut self, until: f64) {
        self.next = until;
    }

    /// The queue has grown: no more of this pulse.
    pub(super) fn look(&mut self) {
        self.stage = Stage::Look;
    }

    pub(super) fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// The gain of the pace during the round up.
    pub(super) fn gain(&self) -> f64 {
        1.0 + self.step()
    }

    fn step(&self) -> f64 {
        if self.step == 0 { self.first_step } else { STEPS[self.step] }
    }

    /// The gain of the window during the pulse.
    pub(super) fn window_gain(&self) -> f64 {
        if self.is_idle() { 1.0 } else { self.gain() }
    }
}
