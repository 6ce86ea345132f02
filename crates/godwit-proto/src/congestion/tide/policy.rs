//! What a flow wants: how much of a shared bottleneck, and within which bounds.

/// How a flow behaves beside others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum PolicyKind {
    /// An equal share.
    #[default]
    Fair,
    /// What the others leave.
    Low,
    /// Four shares.
    High,
    /// This goodput in packets per second, whatever the others do.
    Fixed {
        /// Packets per second.
        packets_per_s: f64,
    },
}

/// A policy with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Policy {
    pub(super) kind: PolicyKind,
    /// Never faster, packets per second.
    pub(super) ceiling: Option<f64>,
    /// Not slower unless loss says so, packets per second.
    pub(super) floor: Option<f64>,
}

impl Policy {
    /// The standing queue in seconds that this policy aims at with this rate.
    pub(super) fn target_queue(self, rate: f64) -> f64 {
        // 1 ms is the noise of a measurement; 4 ms at 100 Mbit/s (8333 packets per second).
        let target = |rate: f64| 0.001 + 0.003 * (8333.0 / rate).sqrt();
        match self.kind {
            PolicyKind::High => target(rate / 4.0),
            PolicyKind::Low => 0.25 * target(rate),
            PolicyKind::Fair | PolicyKind::Fixed { .. } => target(rate),
        }
    }

    /// The pace within the bounds. The lower one counts only while loss allows it, and never for a scavenger.
    pub(super) fn bound(self, pace: f64, is_floor_allowed: bool) -> f64 {
        let floor = self.floor.filter(|_| is_floor_allowed && self.kind != PolicyKind::Low);
        let pace = floor.map_or(pace, |floor| pace.max(floor));
        self.ceiling.map_or(pace, |ceiling| pace.min(ceiling))
    }
}
