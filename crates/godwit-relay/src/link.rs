//! One direction of an emulated path, as a value.
//!
//! A packet walks: loss before the queue → policer → queue (drop-tail in bytes, or CoDel) → wire of a given rate → random
//! and burst loss, damage → delay, jitter, reordering → duplication → out. A packet that is lost after the wire has used its share
//! of the rate, as on a real one.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::{
    LinkConfig, LinkConfigError,
    codel::CoDel,
    link_config::{BurstLoss, Discipline, JitterShape},
};

/// Packets in one link, in bytes. It only bounds memory: 10 Gbit/s over 200 ms are 250 MB.
const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;

/// Exponential jitter ends at this many times its mean, so that one packet can't hold up all behind it.
const JITTER_MEANS_MAX: f64 = 5.0;

/// What became of a packet that entered a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It will come out, once or twice.
    Carried,
    /// It was lost at random, as planned.
    Lost,
    /// The queue in front of the wire was full, as planned.
    QueueFull,
    /// It was faster than the policer allows, as planned.
    Policed,
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
    /// Packets lost at random or in an outage.
    pub lost: u64,
    /// Packets dropped by the queue in front of the wire, when they came or (CoDel) when they would have left it.
    pub queue_dropped: u64,
    /// Packets dropped by the policer.
    pub policed: u64,
    /// Packets damaged.
    pub corrupted: u64,
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
    damage: Option<fn(&mut P, u64)>,
    tokens: Option<Tokens>,
    is_in_burst: bool,
    queue: VecDeque<Queued<P>>,
    queued_bytes: usize,
    codel: CoDel,
    /// When the wire has sent the packet that it is sending.
    wire_free_at: Option<Instant>,
    /// The size of that packet.
    sending_bytes: usize,
    /// When the last packet that keeps its order arrives: jitter must not let the next one overtake it.
    last_arrival: Option<Instant>,
    /// Packets that keep their order, and those that were held back.
    in_order: VecDeque<InFlight<P>>,
    held: BinaryHeap<Reverse<InFlight<P>>>,
    in_flight_bytes: usize,
    next_number: u64,
    /// One more than the highest packet number that came out.
    newest_left: u64,
    counters: LinkCounters,
}

impl<P: Clone> Link<P> {
    /// An empty link. Damaged packets don't arrive, as if the checksum of UDP had found them.
    ///
    /// # Errors
    /// The configuration describes no path.
    pub fn new(config: LinkConfig, seed: u64) -> Result<Self, LinkConfigError> {
        config.check()?;
        Ok(Self {
            config,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            damage: None,
            tokens: None,
            is_in_burst: false,
            queue: VecDeque::new(),
            queued_bytes: 0,
            codel: CoDel::default(),
            wire_free_at: None,
            sending_bytes: 0,
            last_arrival: None,
            in_order: VecDeque::new(),
            held: BinaryHeap::new(),
            in_flight_bytes: 0,
            next_number: 0,
            newest_left: 0,
            counters: LinkCounters::default(),
        })
    }

    /// The same link, with damaged packets arriving: `damage` gets the packet and a random number, and decides which bit.
    #[must_use]
    pub fn with_damage(mut self, damage: fn(&mut P, u64)) -> Self {
        self.damage = Some(damage);
        self
    }

    /// From `now` on the path is another one; the packet being sent is sent at the rate with which it began.
    ///
    /// # Errors
    /// The configuration describes no path; the old one stays.
    pub fn reconfigure(&mut self, now: Instant, config: LinkConfig) -> Result<(), LinkConfigError> {
        config.check()?;
        self.advance(now);
        self.config = config;
        if self.config.rate_bits_per_s.is_none() {
            self.wire_free_at = None;
        }
        self.advance(now);
        Ok(())
    }

    /// How the path is configured.
    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// A packet of `length_bytes` on the wire enters the link at `now`.
    pub fn push(&mut self, now: Instant, packet: P, length_bytes: usize) -> Fate {
        self.push_held(now, packet, length_bytes, Duration::ZERO)
    }

    /// The same, for a packet that is to arrive `held` later than it would; later packets may overtake it. What is
    /// [`Fate::Carried`] can still be dropped by CoDel.
    pub fn push_held(&mut self, now: Instant, packet: P, length_bytes: usize, held: Duration) -> Fate {
        self.advance(now);
        let draw = Draw::from(&mut self.rng);
        self.counters.entered += 1;
        if self.config.is_down || draw.early_loss < self.config.loss_before_queue {
            self.counters.lost += 1;
            return Fate::Lost;
        }
        if !self.has_tokens(now, length_bytes) {
            self.counters.policed += 1;
            return Fate::Policed;
        }
        let queued = Queued { packet, length_bytes, entered: now, held, draw, is_lost: false };
        match self.config.rate_bits_per_s {
            None => self.enter_line(queued, now),
            Some(_) => self.enter_queue(queued, now),
        }
    }

    /// The next packet that has arrived by `now`, if any; call until `None`.
    pub fn pop_due(&mut self, now: Instant) -> Option<P> {
        self.pop_due_at(now).map(|(packet, _)| packet)
    }

    /// The same, with the time at which it arrived.
    pub fn pop_due_at(&mut self, now: Instant) -> Option<(P, Instant)> {
        self.advance(now);
        let arrived = match (self.in_order.front(), self.held.peek()) {
            (Some(first), Some(Reverse(held))) if first < held => self.pop_in_order_by(now),
            (Some(_), None) => self.pop_in_order_by(now),
            (_, Some(Reverse(held))) if held.due <= now => self.held.pop().map(|Reverse(held)| held),
            _ => None,
        }?;
        self.in_flight_bytes -= arrived.length_bytes;
        self.counters.left += 1;
        self.counters.reordered += u64::from(arrived.number + 1 < self.newest_left);
        self.newest_left = self.newest_left.max(arrived.number + 1);
        Some((arrived.packet, arrived.due))
    }

    /// When to call [`pop_due`](Self::pop_due) next: a packet arrives, or the queue moves.
    pub fn next_due(&self) -> Option<Instant> {
        let moves_at = if self.queue.is_empty() { None } else { self.wire_free_at };
        let in_order = self.in_order.front().map(|first| first.due);
        let held = self.held.peek().map(|Reverse(first)| first.due);
        [moves_at, in_order, held].into_iter().flatten().min()
    }

    /// How long a packet that came at `now` would wait for the wire.
    pub fn queue_delay(&self, now: Instant) -> Duration {
        let Some(rate_bits_per_s) = self.config.rate_bits_per_s else { return Duration::ZERO };
        let sending = self.wire_free_at.map_or(Duration::ZERO, |free_at| free_at.saturating_duration_since(now));
        sending + sending_time(self.queued_bytes, rate_bits_per_s)
    }

    /// What the link has done so far.
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    fn has_tokens(&mut self, now: Instant, length_bytes: usize) -> bool {
        let Some(policer) = self.config.policer else { return true };
        let full = policer.burst_bytes as f64;
        let tokens = self.tokens.get_or_insert(Tokens { bytes: full, at: now });
        let gained = now.saturating_duration_since(tokens.at).as_secs_f64() * policer.rate_bits_per_s as f64 / 8.0;
        *tokens = Tokens { bytes: (tokens.bytes + gained).min(full), at: now };
        let is_enough = tokens.bytes >= length_bytes as f64;
        if is_enough {
            tokens.bytes -= length_bytes as f64;
        }
        is_enough
    }

    fn enter_queue(&mut self, mut queued: Queued<P>, now: Instant) -> Fate {
        let is_sending = self.wire_free_at.is_some_and(|free_at| free_at > now);
        let waiting_bytes = self.queued_bytes + if is_sending { self.sending_bytes } else { 0 };
        if waiting_bytes + queued.length_bytes > self.config.queue_bytes {
            self.counters.queue_dropped += 1;
            return Fate::QueueFull;
        }
        if !self.has_memory(queued.length_bytes) {
            return Fate::Overflowed;
        }
        // Decided here, so that the caller learns of it; it uses its share of the rate all the same.
        queued.is_lost = self.is_lost(&queued.draw);
        let fate = if queued.is_lost { Fate::Lost } else { Fate::Carried };
        self.queued_bytes += queued.length_bytes;
        self.queue.push_back(queued);
        self.advance(now);
        fate
    }

    /// Packets leave the queue as the wire gets free, until `now`.
    fn advance(&mut self, now: Instant) {
        while let Some(first) = self.queue.front() {
            let starts_at = self.wire_free_at.map_or(first.entered, |free_at| free_at.max(first.entered));
            if starts_at > now {
                return;
            }
            let queued = self.queue.pop_front().expect("it has just been seen");
            self.queued_bytes -= queued.length_bytes;
            if let Discipline::CoDel(config) = self.config.discipline
                && self.codel.drops(config, starts_at, starts_at - queued.entered, self.queued_bytes)
            {
                self.counters.queue_dropped += 1;
                continue;
            }
            let sending =
                self.config.rate_bits_per_s.map_or(Duration::ZERO, |rate| sending_time(queued.length_bytes, rate));
            let sent_at = starts_at + sending;
            self.wire_free_at = Some(sent_at);
            self.sending_bytes = queued.length_bytes;
            if queued.is_lost {
                self.counters.lost += 1;
            } else {
                self.carry(queued, sent_at);
            }
        }
    }

    fn enter_line(&mut self, queued: Queued<P>, now: Instant) -> Fate {
        if self.is_lost(&queued.draw) {
            self.counters.lost += 1;
            return Fate::Lost;
        }
        if !self.has_memory(queued.length_bytes) {
            return Fate::Overflowed;
        }
        self.carry(queued, now);
        Fate::Carried
    }

    fn has_memory(&mut self, length_bytes: usize) -> bool {
        let is_enough = self.in_flight_bytes + self.queued_bytes + length_bytes <= IN_FLIGHT_BYTES_MAX;
        self.counters.overflowed += u64::from(!is_enough);
        is_enough
    }

    fn is_lost(&mut self, draw: &Draw) -> bool {
        let BurstLoss { mean, mean_packets } = self.config.burst_loss;
        if mean > 0.0 {
            let (enter, leave) = (mean / (1.0 - mean) / mean_packets, 1.0 / mean_packets);
            self.is_in_burst = if self.is_in_burst { draw.burst >= leave } else { draw.burst < enter };
        } else {
            self.is_in_burst = false;
        }
        let is_damaged = draw.corrupt < self.config.corrupt;
        self.counters.corrupted += u64::from(is_damaged);
        self.is_in_burst || draw.loss < self.config.loss || (is_damaged && self.damage.is_none())
    }

    /// The packet has been sent at `sent_at` and is not lost.
    fn carry(&mut self, queued: Queued<P>, sent_at: Instant) {
        let Queued { mut packet, length_bytes, held, draw, .. } = queued;
        if draw.corrupt < self.config.corrupt
            && let Some(damage) = self.damage
        {
            damage(&mut packet, draw.damage);
        }
        let is_reordered = draw.reorder < self.config.reorder.probability;
        let extra = self.config.reorder.extra_delay + self.config.reorder.spread.mul_f64(draw.spread);
        let held = held + if is_reordered { extra } else { Duration::ZERO };
        let due = self.arrival(sent_at, &draw) + held;
        let number = self.next_number;
        self.next_number += 1;
        if draw.duplicate < self.config.duplicate {
            self.counters.duplicated += 1;
            self.hold(InFlight { due, number, length_bytes, packet: packet.clone() }, held);
        }
        self.hold(InFlight { due, number, length_bytes, packet }, held);
    }

    /// When a packet arrives that is not held back.
    fn arrival(&mut self, sent_at: Instant, draw: &Draw) -> Instant {
        let factor = match self.config.jitter_shape {
            JitterShape::Uniform => draw.jitter,
            JitterShape::Exponential => (-(1.0 - draw.jitter).ln()).min(JITTER_MEANS_MAX),
        };
        let jitter = if self.config.jitter.is_zero() { Duration::ZERO } else { self.config.jitter.mul_f64(factor) };
        let earliest = sent_at + self.config.delay + jitter;
        self.last_arrival.map_or(earliest, |last| last.max(earliest))
    }

    fn hold(&mut self, packet: InFlight<P>, held: Duration) {
        self.in_flight_bytes += packet.length_bytes;
        if held.is_zero() {
            self.last_arrival = Some(packet.due);
            self.in_order.push_back(packet);
        } else {
            self.held.push(Reverse(packet));
        }
    }

    fn pop_in_order_by(&mut self, now: Instant) -> Option<InFlight<P>> {
        if self.in_order.front()?.due <= now { self.in_order.pop_front() } else { None }
    }
}

fn sending_time(length_bytes: usize, rate_bits_per_s: u64) -> Duration {
    let bits = length_bytes as u128 * 8;
    // Saturates only for a packet that takes 584 years.
    Duration::from_nanos(
        u64::try_from((bits * 1_000_000_000).div_ceil(u128::from(rate_bits_per_s))).unwrap_or(u64::MAX),
    )
}

#[derive(Debug, Clone, Copy)]
struct Tokens {
    bytes: f64,
    at: Instant,
}

/// The random values of one packet, each uniform in 0 (inclusive) to 1 (exclusive).
#[derive(Debug, Clone, Copy)]
struct Draw {
    loss: f64,
    duplicate: f64,
    reorder: f64,
    jitter: f64,
    early_loss: f64,
    burst: f64,
    corrupt: f64,
    spread: f64,
    damage: u64,
}

impl Draw {
    fn from(rng: &mut Xoshiro256PlusPlus) -> Self {
        let mut unit = || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        Self {
            loss: unit(),
            duplicate: unit(),
            reorder: unit(),
            jitter: unit(),
            early_loss: unit(),
            burst: unit(),
            corrupt: unit(),
            spread: unit(),
            damage: rng.next_u64(),
        }
    }
}

/// A packet in the queue.
#[derive(Debug)]
struct Queued<P> {
    packet: P,
    length_bytes: usize,
    entered: Instant,
    held: Duration,
    draw: Draw,
    is_lost: bool,
}

/// A packet on its way.
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
