//! Congestion control, apart from UDT: a controller hears what was sent, delivered and lost, and answers with a pace, a
//! quantum and a window.
//!
//! Nothing here knows a UDT type, so that QUIC can use the same controllers. Data packets are named by a *tag*: their
//! count from the beginning of the connection, unwrapped, from 0. A retransmission has the tag of its original. All
//! rates are in packets per second, all packets count as full.
//!
//! # The contract
//!
//! The connection calls, in the order in which things happen:
//!
//! * [`on_sent`](Control::on_sent) for each run of packets that leave together, and for each retransmission;
//! * [`on_feedback`](Control::on_feedback) once per acknowledgement, after the RTT estimate and the delivered packets
//!   were updated;
//! * [`on_lost`](Control::on_lost) once per report of loss, whatever it contains;
//! * [`on_undo`](Control::on_undo) when packets that were called lost turn out to have arrived;
//! * [`on_timeout`](Control::on_timeout) when the connection gave up waiting for an answer;
//! * [`on_timer`](Control::on_timer) at [`next_timer`](Control::next_timer).
//!
//! After any of them it asks [`pace`](Control::pace), [`quantum_packets`](Control::quantum_packets) and
//! [`window_packets`](Control::window_packets) again. Retransmissions are paced but not held back by the window.
//!
//! # A new controller
//!
//! Write `congestion/NAME.rs` with a type that implements [`Control`]; give it a variant in [`Controller`] and in
//! [`ControllerKind`], and a line in [`Controller::new`] and in `with_inner!`. Nothing else in the crate has to know.

use std::time::{Duration, Instant};

mod cohorts;
mod cubic;
mod native;
mod rate_sample;
mod tide;

pub use cohorts::{BURST_PACKETS, CohortReport, Cohorts, OUTAGE_PACKETS};
pub use cubic::Cubic;
pub use native::Native;
pub use rate_sample::{RateSample, RateSampler, SendRecord};
pub use tide::{PolicyKind, Tide};

/// A measurement of the round-trip time.
#[derive(Clone, Copy, Debug)]
pub struct RttSample {
    /// The time from sending to hearing of it.
    pub rtt: Duration,
    /// Whether the answer was immediate. Otherwise the peer may have waited before it acknowledged.
    pub exact: bool,
}

/// What the receiver says about its side.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReceiverReport {
    /// Packets per second that arrive; `None` if not reported.
    pub arrival_speed_packets_per_s: Option<u32>,
    /// Packets per second that the path could carry; `None` if not reported.
    pub link_capacity_packets_per_s: Option<u32>,
    /// Packets per second at which those of the last fraction of a round-trip arrived; `None` if that can't be told from its
    /// reports.
    pub recent_rate_packets_per_s: Option<f64>,
}

/// An acknowledgement came.
#[derive(Clone, Copy, Debug)]
pub struct Feedback {
    /// When.
    pub now: Instant,
    /// All tags below this one have arrived.
    pub acked_to: u64,
    /// Packets that are known to be delivered since the last feedback.
    pub newly_delivered: u32,
    /// Packets that are known to be delivered since the beginning.
    pub delivered_total: u64,
    /// The time over which the rate sample was taken; zero if there is none.
    pub interval: Duration,
    /// Packets that were delivered in `interval`.
    pub sample_delivered: u64,
    /// Whether the packet that began the sample was sent while the application was the limit.
    pub sample_app_limited: bool,
    /// An own measurement of the round-trip time.
    pub rtt: Option<RttSample>,
    /// The smoothed round-trip time of the connection.
    pub srtt: Duration,
    /// What the receiver reports.
    pub receiver: ReceiverReport,
    /// Packets sent and neither known to be delivered nor lost.
    pub in_flight_packets: u32,
    /// The tag that the next new packet will have.
    pub next_tag: u64,
    /// Whether a packet was delivered that was sent after the last round began: a round-trip has passed.
    pub is_round_start: bool,
    /// Whether the receiver tells what it has beside the cumulative position, so that rates and what is in flight are exact.
    pub is_exact: bool,
}

/// The receiver reported loss, or the connection itself found a packet lost that was sent once. A retransmission that the
/// connection finds lost again is not announced: libudt has no such event, and its arithmetic would count it as congestion.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    /// When.
    pub now: Instant,
    /// The first lost tag that the report names.
    pub first: u64,
    /// Packets that the report names and that were not known to be lost; 0 for a mere repetition.
    pub packets: u32,
    /// The tag that the next new packet will have.
    pub next_tag: u64,
    /// Packets sent and neither known to be delivered nor lost.
    pub in_flight_packets: u32,
}

/// How fast to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time from one packet to the next.
    pub interval: Duration,
}

/// What every controller can do. Used through [`Controller`], by enum dispatch: these calls are made for each run of packets and
/// each acknowledgement.
pub trait Control {
    /// Packets left; so many are sent now and neither known to be delivered nor lost.
    fn on_sent(&mut self, in_flight_packets: u32);
    /// An acknowledgement came.
    fn on_feedback(&mut self, feedback: &Feedback);
    /// A report of loss came.
    fn on_lost(&mut self, lost: &Lost);
    /// The `packets` tags from `first` on were called lost, but had arrived.
    fn on_undo(&mut self, first: u64, packets: u32);
    /// A cohort is complete: nearly all of its packets are known to be delivered or lost.
    fn on_cohort(&mut self, now: Instant, report: &CohortReport);
    /// Nothing was heard for so long that the connection starts over from the first unacknowledged packet.
    fn on_timeout(&mut self, now: Instant, next_tag: u64);
    /// The time that [`next_timer`](Self::next_timer) named has come.
    fn on_timer(&mut self, now: Instant);
    /// When the controller wants to be called; `None`: never, as things stand.
    fn next_timer(&self) -> Option<Instant>;

    /// The number under which packets sent from now on are counted: it rises whenever the controller wants to tell what it did
    /// before from what it does then.
    fn cohort(&self) -> u32;
    /// Whether [`window_packets`](Self::window_packets) bounds the packets that are on their way, rather than those
    /// beyond the cumulative acknowledgement, as libudt's does.
    fn window_counts_pipe(&self) -> bool;
    /// The time between packets.
    fn pace(&self) -> Pace;
    /// How many packets may leave back to back, at least 1; their time is made up for afterwards.
    fn quantum_packets(&self) -> u32;
    /// How many packets may be in flight for a new one to be sent.
    fn window_packets(&self) -> u32;

    /// Never send faster than this many packets per second; `None`: no limit. Takes precedence over the minimum.
    fn set_max_rate(&mut self, packets_per_s: Option<f64>);
    /// Not slower than this many packets per second while the path loses little; `None`: no such bound. Only [`Tide`] has
    /// what makes that safe, and not as a scavenger; the others ignore it.
    fn set_min_rate(&mut self, packets_per_s: Option<f64>);
    /// The most packets in flight that the peer will ever take.
    fn set_max_window(&mut self, packets: u32);
    /// What the path carries, packets per second, as far as the controller knows.
    fn bandwidth_packets_per_s(&self) -> Option<f64>;
}

/// Which controller a connection uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControllerKind {
    /// libudt's own, for behaviour that a libudt user knows: see [`Native`].
    Native,
    /// Fills long lossy paths with a small queue and takes a fair share: see [`Tide`].
    #[default]
    Fair,
    /// [`Tide`] as a scavenger: takes what others leave.
    Low,
    /// [`Tide`] with the weight of four flows.
    High,
    /// [`Tide`] at this goodput, whatever others do; halved only if half of it is lost.
    Fixed {
        /// Bits per second, headers included.
        bits_per_s: u64,
    },
    /// What most TCP senders do, as an option and to compare with: see [`Cubic`].
    Cubic,
}

impl ControllerKind {
    /// The policy of [`Tide`] that it stands for, with packets of this size.
    fn policy(self, packet_bytes: u32) -> Option<PolicyKind> {
        match self {
            Self::Native | Self::Cubic => None,
            Self::Fair => Some(PolicyKind::Fair),
            Self::Low => Some(PolicyKind::Low),
            Self::High => Some(PolicyKind::High),
            Self::Fixed { bits_per_s } => {
                let packets_per_s = bits_per_s as f64 / (f64::from(packet_bytes) * 8.0);
                Some(PolicyKind::Fixed { packets_per_s })
            }
        }
    }
}

/// What a controller needs to know when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// When the connection begins.
    pub now: Instant,
    /// What the wall clock says then: the time since the beginning of 1970, or zero where there is no such clock.
    pub unix_time: Duration,
    /// The size of a full packet with all headers (UDT: the MSS), in bytes, at least 1.
    pub packet_bytes: u32,
    /// The most packets in flight that the peer will ever take (UDT: the window of its handshake).
    pub max_window_packets: u32,
    /// Whatever is random in the controller is drawn from this.
    pub seed: u64,
    /// What is known already.
    pub start: Start,
}

/// What is known of a path when a controller begins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Start {
    /// Nothing.
    #[default]
    Blank,
    /// Nothing for sure, but an earlier connection on the same path found this.
    Remembered {
        /// What the path carried, packets per second.
        packets_per_s: f64,
    },
    /// It takes over from another controller on a live connection.
    Takeover {
        /// The tag that the next new packet will have: what is older was sent by the other.
        next_tag: u64,
        /// What the path carried, packets per second, if the other knew.
        packets_per_s: Option<f64>,
        /// The smoothed round-trip time.
        srtt: Duration,
    },
}

/// A controller.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Controller {
    /// See [`ControllerKind::Native`].
    Native(Native),
    /// See [`ControllerKind::Fair`] and the kinds after it.
    Tide(ControllerKind, Box<Tide>),
    /// See [`ControllerKind::Cubic`].
    Cubic(Box<Cubic>),
}

/// The same call for whichever controller it is.
macro_rules! with_inner {
    ($self:expr, $inner:ident => $call:expr) => {
        match $self {
            Self::Native($inner) => $call,
            Self::Tide(_, $inner) => $call,
            Self::Cubic($inner) => $call,
        }
    };
}

impl Controller {
    /// Makes a controller of a kind.
    pub fn new(kind: ControllerKind, setup: &Setup) -> Self {
        match kind {
            ControllerKind::Native => Self::Native(Native::new(setup)),
            ControllerKind::Cubic => Self::Cubic(Box::new(Cubic::new(setup))),
            ControllerKind::Fair | ControllerKind::Low | ControllerKind::High | ControllerKind::Fixed { .. } => {
                let policy = kind.policy(setup.packet_bytes).unwrap_or_default();
                Self::Tide(kind, Box::new(Tide::new(setup, policy)))
            }
        }
    }

    /// Becomes another kind without losing what it knows, if the same controller serves both. Otherwise nothing happens and
    /// the answer is false.
    pub fn change_policy(&mut self, kind: ControllerKind, packet_bytes: u32) -> bool {
        match (self, kind.policy(packet_bytes)) {
            (Self::Tide(own, tide), Some(policy)) => {
                *own = kind;
                tide.set_policy(policy);
                true
            }
            (own, _) => own.kind() == kind,
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> ControllerKind {
        match self {
            Self::Native(_) => ControllerKind::Native,
            Self::Tide(kind, _) => *kind,
            Self::Cubic(_) => ControllerKind::Cubic,
        }
    }
}

impl Control for Controller {
    fn on_sent(&mut self, in_flight_packets: u32) {
        with_inner!(self, inner => inner.on_sent(in_flight_packets));
    }

    fn on_feedback(&mut self, feedback: &Feedback) {
        with_inner!(self, inner => inner.on_feedback(feedback));
    }

    fn on_lost(&mut self, lost: &Lost) {
        with_inner!(self, inner => inner.on_lost(lost));
    }

    fn on_undo(&mut self, first: u64, packets: u32) {
        with_inner!(self, inner => inner.on_undo(first, packets));
    }

    fn on_cohort(&mut self, now: Instant, report: &CohortReport) {
        with_inner!(self, inner => inner.on_cohort(now, report));
    }

    fn on_timeout(&mut self, now: Instant, next_tag: u64) {
        with_inner!(self, inner => inner.on_timeout(now, next_tag));
    }

    fn on_timer(&mut self, now: Instant) {
        with_inner!(self, inner => inner.on_timer(now));
    }

    fn next_timer(&self) -> Option<Instant> {
        with_inner!(self, inner => inner.next_timer())
    }

    fn cohort(&self) -> u32 {
        with_inner!(self, inner => inner.cohort())
    }

    fn window_counts_pipe(&self) -> bool {
        with_inner!(self, inner => inner.window_counts_pipe())
    }

    fn pace(&self) -> Pace {
        with_inner!(self, inner => inner.pace())
    }

    fn quantum_packets(&self) -> u32 {
        with_inner!(self, inner => inner.quantum_packets())
    }

    fn window_packets(&self) -> u32 {
        with_inner!(self, inner => inner.window_packets())
    }

    fn set_max_rate(&mut self, packets_per_s: Option<f64>) {
        with_inner!(self, inner => inner.set_max_rate(packets_per_s));
    }

    fn set_min_rate(&mut self, packets_per_s: Option<f64>) {
        with_inner!(self, inner => inner.set_min_rate(packets_per_s));
    }

    fn set_max_window(&mut self, packets: u32) {
        with_inner!(self, inner => inner.set_max_window(packets));
    }

    fn bandwidth_packets_per_s(&self) -> Option<f64> {
        with_inner!(self, inner => inner.bandwidth_packets_per_s())
    }
}
