//! The depth of the bottleneck's buffer, as far as losses have shown it: the target queue stays below.

const CAP_MIN: f64 = 0.000_3;
/// More than any target: no cap.
const CAP_NONE: f64 = 1.0;

/// Seconds of queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueCap {
    seconds: f64,
    changed_at: f64,
    /// Cohorts up to this one were sent before the last lesson.
    learnt_from: u32,
}

impl Default for QueueCap {
    fn default() -> Self {
        Self { seconds: CAP_NONE, changed_at: 0.0, learnt_from: 0 }
    }
}

impl QueueCap {
    pub(super) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Whether a cohort was sent after the last lesson.
    pub(super) fn is_news(&self, cohort: u32) -> bool {
        cohort > self.learnt_from
    }

    pub(super) fn set(&mut self, seconds: f64) {
        self.seconds = seconds.max(CAP_MIN);
    }

    /// The buffer is not deeper than this; 0 for `next_cohort` leaves the lessons open.
    pub(super) fn lower(&mut self, seconds: f64, now: f64, next_cohort: u32) {
        self.seconds = self.seconds.min(seconds.max(CAP_MIN));
        if next_cohort > 0 {
            self.changed_at = now;
            self.learnt_from = next_cohort;
        }
    }

    /// Buffers can get deeper: 15 % per second after two quiet seconds.
    pub(super) fn recover(&mut self, now: f64, is_quiet: bool) {
        if self.seconds < CAP_NONE && is_quiet && now - self.changed_at > 2.0 {
            self.changed_at = now - 1.0;
            self.seconds = (self.seconds * 1.15).min(CAP_NONE);
        }
    }
}
