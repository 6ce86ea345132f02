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

/// Growth since a reduction, or since the mode began.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    began: f64,
    /// How long it takes to the last maximum.
    plateau: f64,
}

/// Windows are in packets, times in seconds.
#[derive(Clone, Debug)]
pub(super) struct Competition {
    window: f64,
    window_max: f64,
    /// The window that Reno would have.
    reno: f64,
    epoch: Option<Epoch>,
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
            // RFC 9438, figure 2: from this window, which is the maximum where nothing was lost.
            Epoch { began: now, plateau: ((self.window_max - self.window) / C).cbrt() }
        });
        let weight = if self.is_high { 4.0 } else { 1.0 };
        let time = now - epoch.began + rtt;
        let target = (self.window_max + C * (time - epoch.plateau).powi(3)).clamp(self.window, 1.5 * self.window);
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

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: f64 = 0.1;

    /// Goes on until then, with an acknowledgement each 10 ms.
    fn grow(competition: &mut Competition, from: u32, until: u32) {
        for tick in from * 100..until * 100 {
            competition.grow(f64::from(tick) / 100.0, competition.window * 0.01 / RTT, RTT);
        }
    }

    /// A curve that began as if a part of the window was lost stayed flat for seven seconds.
    #[test]
    fn a_window_that_lost_nothing_grows_at_once() {
        let mut competition = Competition::new(1000.0, false);
        grow(&mut competition, 0, 5);
        assert!((1045.0..1060.0).contains(&competition.window), "1000 + 0.4 * 5.1^3, not {}", competition.window);
    }

    /// After each drain test it did, too.
    #[test]
    fn a_pause_does_not_put_off_the_growth() {
        let mut whole = Competition::new(1000.0, false);
        whole.reduce();
        let mut paused = whole.clone();
        grow(&mut whole, 0, 14);
        for part in 0..7 {
            grow(&mut paused, 2 * part, 2 * part + 2);
            paused.restart_epoch();
        }
        assert!(whole.window > 1040.0, "{}", whole.window);
        assert!((paused.window / whole.window - 1.0).abs() < 0.02, "{} instead of {}", paused.window, whole.window);
    }
}
