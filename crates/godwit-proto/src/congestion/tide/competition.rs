//! The competitive mode: while others fill the buffer, a window that grows and falls as CUBIC's does (RFC 9438).

use super::unyielding::Unyielding;

/// CUBIC's scaling constant, packets per second cubed.
const C: f64 = 0.4;
/// What remains of the window after a loss.
const BETA: f64 = 0.7;
/// The same for policy high.
const BETA_HIGH: f64 = 0.925;
/// The additive increase per RTT that is as fair to Reno as beta is.
const RENO_INCREASE: f64 = 0.53;
const WINDOW_MIN: f64 = 4.0;
/// How much faster than the window asks for, so that acknowledgements and not the pace decide.
const PACE_GAIN: f64 = 1.1;

/// Windows are in packets, times in seconds.
#[derive(Clone, Debug)]
pub(super) struct Competition {
    window: f64,
    window_max: f64,
    /// The window that Reno would have.
    reno: f64,
    epoch: Option<f64>,
    /// Whether the policy is high: it grows faster and falls less.
    is_high: bool,
    /// Beside one who does not yield to loss its law counts, and not the window.
    unyielding: Option<Unyielding>,
}

impl Competition {
    pub(super) fn new(window: f64, is_high: bool) -> Self {
        let window = window.max(WINDOW_MIN);
        Self { window, window_max: window, reno: window, epoch: None, is_high, unyielding: None }
    }

    /// Another policy, from now on.
    pub(super) fn set_high(&mut self, is_high: bool) {
        self.is_high = is_high;
    }

    pub(super) fn window(&self, min_rtt: f64) -> f64 {
        self.unyielding.as_ref().map_or(self.window, |unyielding| unyielding.window(min_rtt))
    }

    /// Packets per second.
    pub(super) fn pace(&self, rtt: f64) -> f64 {
        self.unyielding.as_ref().map_or(PACE_GAIN * self.window / rtt, Unyielding::pace)
    }

    /// One who does not yield to loss was seen.
    pub(super) fn stand(&mut self, rate: f64) {
        self.unyielding.get_or_insert_with(|| Unyielding::new(rate));
    }

    /// That one has gone, or the path loses too much: back to the window, for this rate.
    pub(super) fn give_way(&mut self, rate: f64, rtt: f64) {
        if self.unyielding.take().is_some() {
            *self = Self::new(rate * rtt, self.is_high);
        }
    }

    /// A round is over, in which packets arrived at up to this rate.
    pub(super) fn on_round(&mut self, rate: f64) {
        if let Some(unyielding) = &mut self.unyielding {
            unyielding.on_round(rate);
        }
    }

    pub(super) fn is_standing(&self) -> bool {
        self.unyielding.is_some()
    }

    /// Of a cohort so much was lost, above what the path explains: whether that may be a reason to reduce.
    pub(super) fn minds(&mut self, excess: f64) -> bool {
        self.unyielding.as_mut().is_none_or(|unyielding| unyielding.minds(excess))
    }

    /// Packets were delivered.
    pub(super) fn grow(&mut self, now: f64, delivered: f64, rtt: f64) {
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.window_max = self.window_max.max(self.window);
            self.reno = self.window;
            now
        });
        let weight = if self.is_high { 4.0 } else { 1.0 };
        let plateau = (self.window_max * (1.0 - BETA) / C).cbrt();
        let time = now - epoch + rtt;
        let target = (self.window_max + C * (time - plateau).powi(3)).clamp(self.window, 1.5 * self.window);
        self.reno += RENO_INCREASE * weight * delivered / self.window;
        if self.reno > target {
            self.window = self.window.max(self.reno);
        } else {
            self.window += weight * (target - self.window) / self.window * delivered;
        }
    }

    /// A loss that counts.
    pub(super) fn reduce(&mut self) {
        // Fast convergence: a window that did not reach its last maximum leaves room for others.
        self.window_max = if self.window < self.window_max { 0.85 * self.window } else { self.window };
        self.window = (self.window * if self.is_high { BETA_HIGH } else { BETA }).max(WINDOW_MIN);
        self.epoch = None;
    }

    /// Growth starts anew after a pause.
    pub(super) fn restart_epoch(&mut self) {
        self.epoch = None;
    }
}
