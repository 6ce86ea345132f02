//! How a connection sends, changed while it lives: its controller, and the bounds of its rate.

use std::time::Instant;

use super::Connection;
use super::sender::steering::Clock;
use crate::config::RateBounds;
use crate::congestion::{Control as _, Controller, ControllerKind};
use crate::error::RateBoundsError;
use crate::path_cache::PathMemory;

impl Connection {
    /// Sends under this controller from now on; its bounds stay. Between `Fair`, `Low`, `High` and `Fixed` everything learnt of the
    /// path is kept; any other change begins anew with the rate and the RTT of now.
    pub fn set_controller(&mut self, now: Instant, kind: ControllerKind) {
        self.config.controller = kind;
        let unix_time = self.unix_time_at(now);
        if let Some(halves) = &mut self.halves {
            halves.sender.set_controller(kind, Clock { now, unix_time }, &self.rtt);
        }
    }

    /// Never sends faster than this many bits per second, headers included, at least 1; `None` lifts the bound.
    ///
    /// # Errors
    /// It is less than the minimum, which then has to be lowered first. Nothing has changed.
    pub fn set_max_rate(&mut self, now: Instant, bits_per_s: Option<u64>) -> Result<(), RateBoundsError> {
        self.set_rate_bounds(now, RateBounds { max_bits_per_s: bits_per_s, ..self.config.rate_bounds() })
    }

    /// Sends at least this many bits per second, headers included, if the application writes as much, while the path
    /// loses less than 10 % beyond its random loss; `None` lifts the bound. `Low`, `Cubic` and `Native` keep none.
    ///
    /// # Errors
    /// It is more than the maximum, which then has to be raised first. Nothing has changed.
    pub fn set_min_rate(&mut self, now: Instant, bits_per_s: Option<u64>) -> Result<(), RateBoundsError> {
        self.set_rate_bounds(now, RateBounds { min_bits_per_s: bits_per_s, ..self.config.rate_bounds() })
    }

    /// What is known of the path, for the next connection to the same host; nothing under controllers that don't measure it.
    pub fn path_memory(&self) -> Option<PathMemory> {
        let sender = &self.halves.as_ref()?.sender;
        let Controller::Tide(..) = sender.controller() else { return None };
        let packets_per_s = sender.controller().bandwidth_packets_per_s()?;
        let bytes_per_s = packets_per_s * f64::from(self.config.mss_or_default());
        Some(PathMemory { bytes_per_s, delivered_packets: sender.delivered_packets() })
    }

    /// What was known of the path when the connection began.
    #[cfg(test)]
    pub(crate) fn remembered_bytes_per_s(&self) -> Option<f64> {
        self.path_bytes_per_s
    }

    fn set_rate_bounds(&mut self, now: Instant, bounds: RateBounds) -> Result<(), RateBoundsError> {
        let bounds = bounds.check()?;
        self.config.min_rate_bits_per_s = bounds.min_bits_per_s;
        self.config.max_rate_bits_per_s = bounds.max_bits_per_s;
        if let Some(halves) = &mut self.halves {
            halves.sender.set_rate_bounds(now, bounds);
        }
        Ok(())
    }
}
