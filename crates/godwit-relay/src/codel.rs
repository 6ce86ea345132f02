//! CoDel: a queue that drops packets when they have waited too long for too long.
//!
//! Source: RFC 8289, section 5 (the pseudo-code, told per packet that leaves the queue).

use std::time::{Duration, Instant};

/// Below this backlog nothing is dropped: a queue of one packet is no queue.
const MTU_BYTES: usize = 1514;

/// The two times of CoDel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoDelConfig {
    /// The waiting time that is fine. Default 5 ms.
    pub target: Duration,
    /// How long it may be exceeded before the first packet is dropped. Default 100 ms.
    pub interval: Duration,
}

impl Default for CoDelConfig {
    fn default() -> Self {
        Self { target: Duration::from_millis(5), interval: Duration::from_millis(100) }
    }
}

/// The state of one queue.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CoDel {
    /// When the waiting time will have been too long for an interval.
    first_above_at: Option<Instant>,
    is_dropping: bool,
    drop_next_at: Option<Instant>,
    drops: u32,
    drops_before: u32,
}

impl CoDel {
    /// A packet that waited for `sojourn` leaves the queue at `now`, with `backlog_bytes` behind it: is it dropped?
    pub(crate) fn drops(&mut self, config: CoDelConfig, now: Instant, sojourn: Duration, backlog_bytes: usize) -> bool {
        let may_drop = self.is_late(config, now, sojourn, backlog_bytes);
        if !self.is_dropping {
            if may_drop {
                self.begin_dropping(config, now);
            }
            return may_drop;
        }
        self.is_dropping = may_drop;
        let Some(due) = self.drop_next_at.filter(|&due| may_drop && now >= due) else { return false };
        self.drops += 1;
        self.drop_next_at = Some(due + self.gap(config));
        true
    }

    fn is_late(&mut self, config: CoDelConfig, now: Instant, sojourn: Duration, backlog_bytes: usize) -> bool {
        if sojourn < config.target || backlog_bytes <= MTU_BYTES {
            self.first_above_at = None;
            return false;
        }
        let first_above_at = *self.first_above_at.get_or_insert(now + config.interval);
        now >= first_above_at
    }

    fn begin_dropping(&mut self, config: CoDelConfig, now: Instant) {
        let new_drops = self.drops - self.drops_before;
        let is_recent = self.drop_next_at.is_some_and(|due| now < due + config.interval * 16);
        self.drops = if new_drops > 1 && is_recent { new_drops } else { 1 };
        self.drops_before = self.drops;
        self.is_dropping = true;
        self.drop_next_at = Some(now + self.gap(config));
    }

    fn gap(&self, config: CoDelConfig) -> Duration {
        config.interval.div_f64(f64::from(self.drops).sqrt())
    }
}
