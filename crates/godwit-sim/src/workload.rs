//! What the application of a flow writes, and when.

use std::time::Duration;

/// What a sending application does.
#[derive(Clone, Debug, PartialEq)]
pub enum Workload {
    /// It always has more.
    Endless,
    /// It has this much, then closes.
    Bytes(u64),
    /// At these times after the start of the flow it gets this many bytes more; it never closes.
    Supplies(Vec<(Duration, u64)>),
}

/// How much the application has at a time after the start, and when that changes.
impl Workload {
    /// Bytes that it has got by then, of all that it ever gets.
    pub fn supplied(&self, since_start: Duration) -> u64 {
        match self {
            Self::Endless => u64::MAX,
            Self::Bytes(bytes) => *bytes,
            Self::Supplies(supplies) => supplies
                .iter()
                .filter(|supply| supply.0 <= since_start)
                .fold(0, |sum, supply| sum.saturating_add(supply.1)),
        }
    }

    /// When it gets more, if it ever does.
    pub fn next_supply(&self, since_start: Duration) -> Option<Duration> {
        match self {
            Self::Endless | Self::Bytes(_) => None,
            Self::Supplies(supplies) => supplies.iter().map(|supply| supply.0).filter(|&at| at > since_start).min(),
        }
    }

    /// Whether it closes once it has written this much.
    pub fn closes_after(&self, written: u64) -> bool {
        matches!(self, Self::Bytes(bytes) if written >= *bytes)
    }
}
