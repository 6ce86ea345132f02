//! One direction of an emulated path, as a value.
//!
//! A packet walks: queue (drop-tail, in bytes) → wire of a given rate → random loss → delay, jitter, reordering →
//! duplication → out. A lost packet has used its share of the rate, as on a real wire.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::LinkConfigError;

/// Packets on the wire of one link, in bytes. It only bounds memory: 10 Gbit/s over 200 ms are 250 MB.
const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;

/// One direction of a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkConfig {
    /// One-way propagation delay. Default 0.
    pub delay: Duration,
    /// Each packet is delayed by a further uniform 0 to `jitter`; packets stay in order. Default 0.
    pub jitter: Duration,
    /// Rate of the wire in bits per second, headers included as the caller counts them; `None` is infinite. Default `None`.
    pub rate_bits_per_s: Option<u64>,
    /// Drop-tail queue in front of a wire with a rate, in bytes, the packet being sent included. Default 1 MiB.
    pub queue_bytes: usize,
    /// Probability that a packet is lost, 0 to 1. Default 0.
    pub loss: f64,
    /// Packets that are held back so that later ones overtake them. Default none.
    pub reorder: Reorder,
    /// Probability that a packet arrives twice, 0 to 1. Default 0.
    pub duplicate: f64,
}

/// Which packets are held back, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reorder {
    /// Probability that a packet is held back, 0 to 1.
    pub probability: f64,
    /// How much later than without reordering it arrives.
    pub extra_delay: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate_bits_per_s: None,
            queue_bytes: 1 << 20,
            loss: 0.0,
            reorder: Reorder::default(),
            duplicate: 0.0,
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
        if !probability.contains(&self.loss) {
            return Err(LinkConfigError::Loss(self.loss));
        }
        if !probability.contains(&self.duplicate) {
            return Err(LinkConfigError::Duplicate(self.duplicate));
        }
        if !probability.contains(&self.reorder.probability) {
            return Err(LinkConfigError::Reorder(self.reorder.probability));
        }
        match self.rate_bits_per_s {
            Some(0) => Err(LinkConfigError::ZeroRate),
            Some(_) if self.queue_bytes == 0 => Err(LinkConfigError::ZeroQueue),
            _ => Ok(()),
        }
    }
}

/// What became of a packet that entered a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It will come out, once or twice.
    Carried,
    /// It was lost at random, as planned.
    Lost,
    /// The queue in front of the wire was full, as planned.
    QueueFull,
    /// The link's memory was full. Nobody planned that: the run is not the one asked for.
    Overflowed,
}

/// What a link has done so far, in packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCounters {
    /// Packets that entered.
    pub entered: u64,
    /// Packets that came out, copies included.
    pub left: u64,
    /// Packets lost at random.
    pub lost: u64,
    /// Packets dropped by the queue in front of the wire.
    pub queue_dropped: u64,
    /// Packets dropped because the link's memory was full.
    pub overflowed: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Packets that came out after one that had entered later.
    pub reordered: u64,
}

/// One direction of a path: packets go in with a time and come out at a later time.
///
/// Time is an argument and must not run backwards. Equal seeds and equal calls give equal results; each packet draws the
/// same number of random values whatever the configuration, so that changing one fault leaves the others in place.
#[derive(Debug)]
pub struct Link<P> {
    config: LinkConfig,
    rng: Xoshiro256PlusPlus,
    /// When the wire has sent everything that was accepted.
    wire_free_at: Option<Instant>,
    /// When the last packet that keeps its order arrives: jitter must not let the next one overtake it.
    last_arrival: Option<Instant>,
    in_flight: BinaryHeap<Reverse<InFlight<P>>>,
    in_flight_bytes: usize,
    next_number: u64,
    /// One more than the highest packet number that came out.
    newest_left: u64,
    counters: LinkCounters,
}

impl<P: Clone> Link<P> {
    /// An empty link.
    ///
    /// # Errors
    /// The configuration describes no path.
    pub fn new(config: LinkConfig, seed: u64) -> Result<Self, LinkConfigError> {
        config.check()?;
        Ok(Self {
            config,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            wire_free_at: None,
            last_arrival: None,
            in_flight: BinaryHeap::new(),
            in_flight_bytes: 0,
            next_number: 0,
            newest_left: 0,
            counters: LinkCounters::default(),
        })
    }

    /// A packet of `length_bytes` on the wire enters the link at `now`.
    pub fn push(&mut self, now: Instant, packet: P, length_bytes: usize) -> Fate {
        self.push_held(now, packet, length_bytes, Duration::ZERO)
    }

    /// The same, for a packet that is to arrive `held` later than it would; later packets may overtake it.
    pub fn push_held(&mut self, now: Instant, packet: P, length_bytes: usize, held: Duration) -> Fate {
        let draw = Draw::from(&mut self.rng);
        self.counters.entered += 1;
        let Some(sent_at) = self.send_over_wire(now, length_bytes) else {
            self.counters.queue_dropped += 1;
            return Fate::QueueFull;
        };
        if draw.loss < self.config.loss {
            self.counters.lost += 1;
            return Fate::Lost;
        }
        let duplicated = draw.duplicate < self.config.duplicate;
        let copies = 1 + usize::from(duplicated);
        if self.in_flight_bytes + copies * length_bytes > IN_FLIGHT_BYTES_MAX {
            self.counters.overflowed += 1;
            return Fate::Overflowed;
        }
        let due = self.arrival(sent_at, draw, held);
        let number = self.next_number;
        self.next_number += 1;
        if duplicated {
            self.counters.duplicated += 1;
            self.carry(InFlight { due, number, length_bytes, packet: packet.clone() });
        }
        self.carry(InFlight { due, number, length_bytes, packet });
        Fate::Carried
    }

    /// The next packet that has arrived by `now`, if any; call until `None`.
    pub fn pop_due(&mut self, now: Instant) -> Option<P> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse(arrived) = self.in_flight.pop()?;
        self.in_flight_bytes -= arrived.length_bytes;
        self.counters.left += 1;
        self.counters.reordered += u64::from(arrived.number + 1 < self.newest_left);
        self.newest_left = self.newest_left.max(arrived.number + 1);
        Some(arrived.packet)
    }

    /// When the next packet arrives, if one is on its way.
    pub fn next_due(&self) -> Option<Instant> {
        self.in_flight.peek().map(|Reverse(next)| next.due)
    }

    /// What the link has done so far.
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// When the wire has sent this packet, or `None` if the queue in front of it is full.
    fn send_over_wire(&mut self, now: Instant, length_bytes: usize) -> Option<Instant> {
        let Some(rate_bits_per_s) = self.config.rate_bits_per_s else { return Some(now) };
        let starts_at = self.wire_free_at.map_or(now, |free_at| free_at.max(now));
        let queued_bits = (starts_at - now).as_nanos() * u128::from(rate_bits_per_s) / 1_000_000_000;
        if queued_bits + length_bytes as u128 * 8 > self.config.queue_bytes as u128 * 8 {
            return None;
        }
        let sending_ns = (length_bytes as u128 * 8 * 1_000_000_000).div_ceil(u128::from(rate_bits_per_s));
        // Saturates only for a packet that takes 584 years.
        let sent_at = starts_at + Duration::from_nanos(u64::try_from(sending_ns).unwrap_or(u64::MAX));
        self.wire_free_at = Some(sent_at);
        Some(sent_at)
    }

    fn arrival(&mut self, sent_at: Instant, draw: Draw, held: Duration) -> Instant {
        let earliest = sent_at + self.config.delay + self.config.jitter.mul_f64(draw.jitter);
        let in_order = self.last_arrival.map_or(earliest, |last| last.max(earliest));
        let reordered = draw.reorder < self.config.reorder.probability;
        let held = held + if reordered { self.config.reorder.extra_delay } else { Duration::ZERO };
        if held.is_zero() {
            self.last_arrival = Some(in_order);
        }
        in_order + held
    }

    fn carry(&mut self, packet: InFlight<P>) {
        self.in_flight_bytes += packet.length_bytes;
        self.in_flight.push(Reverse(packet));
    }
}

/// The random values of one packet, each uniform in 0 (inclusive) to 1 (exclusive).
#[derive(Clone, Copy)]
struct Draw {
    loss: f64,
    duplicate: f64,
    reorder: f64,
    jitter: f64,
}

impl Draw {
    fn from(rng: &mut Xoshiro256PlusPlus) -> Self {
        let mut unit = || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        Self { loss: unit(), duplicate: unit(), reorder: unit(), jitter: unit() }
    }
}

#[derive(Debug)]
struct InFlight<P> {
    due: Instant,
    number: u64,
    length_bytes: usize,
    packet: P,
}

impl<P> InFlight<P> {
    fn order(&self) -> (Instant, u64) {
        (self.due, self.number)
    }
}

impl<P> PartialEq for InFlight<P> {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl<P> Eq for InFlight<P> {}

impl<P> PartialOrd for InFlight<P> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> Ord for InFlight<P> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}
