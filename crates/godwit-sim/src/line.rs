//! Pass lines: what a run must reach, each judged on the worst seed.

use std::fmt;

use crate::measured::Measured;

/// One pass line. Utilisation is goodput (with headers) as a share of the bottleneck's rate, or of the policer's, after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Line {
    /// All flows together reach at least this utilisation.
    Utilisation(f64),
    /// The mean queue is at most this many milliseconds.
    QueueMean(f64),
    /// The utilisation of one flow lies between these.
    Share {
        /// Which flow.
        flow: usize,
        /// At least.
        min: f64,
        /// At most.
        max: f64,
    },
    /// The share of one flow in what all carry lies between these.
    Portion {
        /// Which flow.
        flow: usize,
        /// At least.
        min: f64,
        /// At most.
        max: f64,
    },
    /// Jain's index is at least this.
    Jain(f64),
    /// 90 % of the rate are reached this many round-trip times after the first data packet.
    RttsTo90(f64),
    /// At most this share of the first second's packets is dropped at the bottleneck.
    FirstSecondDrops(f64),
    /// At most this share of the packets after the warm-up is dropped at the bottleneck.
    Drops(f64),
    /// At most this share of the packets is retransmitted in vain.
    Spurious(f64),
    /// In this span of seconds the flows carry at least this share of the rate that the bottleneck has then.
    CarriesBetween {
        /// From, seconds.
        from_s: f64,
        /// To, seconds.
        to_s: f64,
        /// At least.
        min: f64,
    },
    /// In this span of seconds the mean queue is at most so long.
    QueueBetween {
        /// From, seconds.
        from_s: f64,
        /// To, seconds.
        to_s: f64,
        /// Milliseconds.
        max_ms: f64,
    },
}

impl Line {
    /// What was reached, and whether it is enough.
    pub fn judge(&self, measured: &Measured) -> (f64, bool) {
        let at_least = |value: f64, min: f64| (value, value >= min);
        let at_most = |value: f64, max: f64| (value, value <= max);
        match *self {
            Self::Utilisation(min) => at_least(measured.utilisation(), min),
            Self::QueueMean(max) => at_most(measured.queue_mean_ms(), max),
            Self::Share { flow, min, max } => {
                let share = measured.share(flow);
                (share, (min..=max).contains(&share))
            }
            Self::Portion { flow, min, max } => {
                let portion = measured.share(flow) / measured.utilisation().max(1e-9);
                (portion, (min..=max).contains(&portion))
            }
            Self::Jain(min) => at_least(measured.jain(), min),
            Self::RttsTo90(max) => at_most(measured.rtts_to_90().unwrap_or(f64::INFINITY), max),
            Self::FirstSecondDrops(max) => at_most(measured.first_second_drops, max),
            Self::Drops(max) => at_most(measured.drops, max),
            Self::Spurious(max) => at_most(measured.spurious, max),
            Self::CarriesBetween { from_s, to_s, min } => at_least(measured.carried_between(from_s, to_s), min),
            Self::QueueBetween { from_s, to_s, max_ms } => at_most(measured.queue_between_ms(from_s, to_s), max_ms),
        }
    }

    /// Whether a greater value is the better one; `None` if it must lie in between.
    pub fn is_greater_better(&self) -> Option<bool> {
        match self {
            Self::Utilisation(_) | Self::Jain(_) | Self::CarriesBetween { .. } => Some(true),
            Self::Share { .. } | Self::Portion { .. } => None,
            _ => Some(false),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utilisation(min) => write!(f, "utilisation >= {min:.3}"),
            Self::QueueMean(max) => write!(f, "queue mean <= {max:.1} ms"),
            Self::Share { flow, min, max } => write!(f, "flow {flow} carries {min}..{max} of the rate"),
            Self::Portion { flow, min, max } => write!(f, "flow {flow} has {min}..{max} of what is carried"),
            Self::Jain(min) => write!(f, "Jain >= {min}"),
            Self::RttsTo90(max) => write!(f, "90 % within {max} RTT"),
            Self::FirstSecondDrops(max) => write!(f, "drops in the first second <= {max}"),
            Self::Drops(max) => write!(f, "drops after the warm-up <= {max}"),
            Self::Spurious(max) => write!(f, "spurious retransmissions <= {max}"),
            Self::CarriesBetween { from_s, to_s, min } => {
                write!(f, "{from_s:.2}-{to_s:.2} s: carries >= {min} of the rate")
            }
            Self::QueueBetween { from_s, to_s, max_ms } => {
                write!(f, "{from_s:.2}-{to_s:.2} s: queue mean <= {max_ms:.1} ms")
            }
        }
    }
}
