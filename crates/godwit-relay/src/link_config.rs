//! What one direction of a path is like.

use std::time::Duration;

use crate::{CoDelConfig, LinkConfigError};

/// One direction of a path. Change it on a live link with [`Link::reconfigure`](crate::Link::reconfigure): that is how
/// rate steps, traces, outages and route changes are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkConfig {
    /// One-way propagation delay. Default 0.
    pub delay: Duration,
    /// Each packet is delayed by a further uniform 0 to `jitter`, or as [`jitter_shape`](Self::jitter_shape) says;
    /// packets stay in order. Default 0.
    pub jitter: Duration,
    /// How the jitter is distributed. Default uniform.
    pub jitter_shape: JitterShape,
    /// Rate of the wire in bits per second, headers included as the caller counts them; `None` is infinite. Default `None`.
    pub rate_bits_per_s: Option<u64>,
    /// Queue in front of a wire with a rate, in bytes, the packet being sent included. Default 1 MiB.
    pub queue_bytes: usize,
    /// Which packets that queue drops beside those for which it has no room. Default none.
    pub discipline: Discipline,
    /// A token bucket before the queue: what comes faster is dropped. Default none.
    pub policer: Option<Policer>,
    /// Probability that a packet is lost after the wire, 0 to 1. Default 0.
    pub loss: f64,
    /// Probability that a packet is lost before the queue, so that it uses nothing of the rate, 0 to 1. Default 0.
    pub loss_before_queue: f64,
    /// Losses in bursts, after the wire. Default none.
    pub burst_loss: BurstLoss,
    /// Packets that are held back so that later ones overtake them. Default none.
    pub reorder: Reorder,
    /// Probability that a packet arrives twice, 0 to 1. Default 0.
    pub duplicate: f64,
    /// Probability that a packet is damaged on the way, 0 to 1. Default 0. See [`Link::with_damage`](crate::Link::with_damage).
    pub corrupt: f64,
    /// An outage: whatever enters is lost. What is on its way arrives. Default no.
    pub is_down: bool,
}

/// The distribution of the jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JitterShape {
    /// Uniform from 0 to the jitter.
    #[default]
    Uniform,
    /// Exponential with the jitter as its mean, cut at five times that.
    Exponential,
}

/// How a queue decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Discipline {
    /// It drops what does not fit.
    #[default]
    DropTail,
    /// Beside that, it keeps the time in the queue short.
    CoDel(CoDelConfig),
}

/// A token bucket: packets for which there are no tokens are dropped at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policer {
    /// How fast it fills, in bits per second.
    pub rate_bits_per_s: u64,
    /// What it holds, in bytes.
    pub burst_bytes: u64,
}

/// Gilbert's model: a good state without loss and a bad one in which every packet is lost.
///
/// Source: E. N. Gilbert, "Capacity of a Burst-Noise Channel", 1960, with the bad state losing everything.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BurstLoss {
    /// The share of packets lost on average, 0 to 0.5; 0 switches it off.
    pub mean: f64,
    /// The mean length of a burst in packets, at least 1.
    pub mean_packets: f64,
}

/// Which packets are held back, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reorder {
    /// Probability that a packet is held back, 0 to 1.
    pub probability: f64,
    /// How much later than without reordering it arrives.
    pub extra_delay: Duration,
    /// A further delay, uniform from 0 to this.
    pub spread: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            jitter_shape: JitterShape::Uniform,
            rate_bits_per_s: None,
            queue_bytes: 1 << 20,
            discipline: Discipline::DropTail,
            policer: None,
            loss: 0.0,
            loss_before_queue: 0.0,
            burst_loss: BurstLoss::default(),
            reorder: Reorder::default(),
            duplicate: 0.0,
            corrupt: 0.0,
            is_down: false,
        }
    }
}

impl LinkConfig {
    /// Whether this describes a path.
    ///
    /// # Errors
    /// The field that does not.
    pub fn check(&self) -> Result<(), LinkConfigError> {
        let probability = 0.0..=1.0;
        for loss in [self.loss, self.loss_before_queue] {
            if !probability.contains(&loss) {
                return Err(LinkConfigError::Loss(loss));
            }
        }
        let burst = self.burst_loss;
        if !(0.0..=0.5).contains(&burst.mean) || (burst.mean > 0.0 && !(1.0..=1e9).contains(&burst.mean_packets)) {
            return Err(LinkConfigError::BurstLoss(burst));
        }
        if !probability.contains(&self.duplicate) {
            return Err(LinkConfigError::Duplicate(self.duplicate));
        }
        if !probability.contains(&self.corrupt) {
            return Err(LinkConfigError::Corrupt(self.corrupt));
        }
        if !probability.contains(&self.reorder.probability) {
            return Err(LinkConfigError::Reorder(self.reorder.probability));
        }
        if self.policer.is_some_and(|policer| policer.rate_bits_per_s == 0) {
            return Err(LinkConfigError::ZeroRate);
        }
        match self.rate_bits_per_s {
            Some(0) => Err(LinkConfigError::ZeroRate),
            Some(_) if self.queue_bytes == 0 => Err(LinkConfigError::ZeroQueue),
            _ => Ok(()),
        }
    }
}
