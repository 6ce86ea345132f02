//! Models of TCP that share a bottleneck with our flows: endless senders with SACK, pacing as Linux does it, and CUBIC or BBR.
//!
//! They know which transmission an acknowledgement is for, have no receive window and no application. What decides
//! about sharing, the window and the rate over time, follows RFC 9438, RFC 9406 and the BBR draft.

mod bbr;
mod bbr_v1;
mod cubic;
mod receiver;
mod sender;
mod window_max;

use std::time::Instant;

pub use receiver::TcpReceiver;
pub use sender::TcpSender;

use bbr::Bbr;
use bbr_v1::BbrV1;
use cubic::Cubic;

/// Which congestion control a TCP model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RivalKind {
    /// CUBIC with HyStart++.
    Cubic,
    /// BBRv3, simplified.
    Bbr,
    /// BBR as Linux has it.
    BbrV1,
}

/// What an acknowledgement taught the sender.
#[derive(Clone, Copy, Debug)]
struct Acked {
    now: Instant,
    /// Segments newly acknowledged, and newly taken for lost.
    newly: u64,
    lost: u64,
    /// All that were ever acknowledged.
    delivered: u64,
    /// Round-trip time of the newest of them, in seconds.
    rtt_s: Option<f64>,
    /// Smoothed, in seconds.
    srtt_s: f64,
    /// Delivery rate, in segments per second, and how much had been delivered when the sampled segment left.
    rate: Option<f64>,
    prior_delivered: u64,
    in_flight: u64,
    /// Number of the first lost segment, and the number that the next one gets.
    first_lost: Option<u64>,
    next: u64,
}

/// The part of a sender that decides.
#[derive(Debug)]
enum Brain {
    Cubic(Cubic),
    Bbr(Bbr),
    BbrV1(BbrV1),
}

impl Brain {
    fn new(kind: RivalKind, seed: u64) -> Self {
        match kind {
            RivalKind::Cubic => Self::Cubic(Cubic::new()),
            RivalKind::Bbr => Self::Bbr(Bbr::new(seed)),
            RivalKind::BbrV1 => Self::BbrV1(BbrV1::new(seed)),
        }
    }

    fn on_ack(&mut self, acked: &Acked) {
        match self {
            Self::Cubic(cubic) => cubic.on_ack(acked),
            Self::Bbr(bbr) => bbr.on_ack(acked),
            Self::BbrV1(bbr) => bbr.on_ack(acked),
        }
    }

    fn on_timeout(&mut self) {
        match self {
            Self::Cubic(cubic) => cubic.on_timeout(),
            Self::Bbr(bbr) => bbr.on_timeout(),
            Self::BbrV1(bbr) => bbr.on_timeout(),
        }
    }

    /// Segments that may be in flight.
    fn window(&self) -> f64 {
        match self {
            Self::Cubic(cubic) => cubic.window(),
            Self::Bbr(bbr) => bbr.window(),
            Self::BbrV1(bbr) => bbr.window(),
        }
    }

    /// Segments per second.
    fn pace(&self, srtt_s: f64) -> f64 {
        match self {
            Self::Cubic(cubic) => cubic.pace(srtt_s),
            Self::Bbr(bbr) => bbr.pace(srtt_s),
            Self::BbrV1(bbr) => bbr.pace(srtt_s),
        }
    }
}
