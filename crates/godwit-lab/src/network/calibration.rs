//! What a path really is, against what was asked for.

use std::time::Duration;

use godwit_relay::{JitterShape, LinkConfig};
use serde::{Deserialize, Serialize};

use super::addressing::Side;
use super::error::CalibrationError;
use super::probe::{self, Blast, BlastPlan};
use super::{Counters, Network};

/// How far the RTT may be off.
const RTT_MARGIN: Duration = Duration::from_micros(500);
/// How far the rate may be off, as a share.
const RATE_MARGIN: f64 = 0.01;
/// The loss must be within so many standard deviations: of 1,000 healthy paths one is outside.
const LOSS_DEVIATIONS: f64 = 3.3;
/// Pings, and the time between two.
const PINGS: u64 = 100;
const PING_INTERVAL: Duration = Duration::from_millis(5);
/// How long one blast lasts; to measure loss as precisely as below it may be longer. And the fewest packets of one.
const BLAST: Duration = Duration::from_secs(1);
const BLAST_MAX: Duration = Duration::from_secs(5);
const LOSS_PRECISION: f64 = 0.5;
const BLAST_PACKETS_MIN: usize = 50;
/// The rate of a blast over a path without one.
const UNLIMITED_BITS_PER_S: f64 = 100e6;
/// Of the rate: to measure loss, below it, so that nothing queues; to measure the rate, beyond it.
const BELOW: f64 = 0.9;
const BEYOND: f64 = 1.1;
/// A blast beyond the rate begins with so much of itself, so that the queue does not run empty when the sender is held up.
const AHEAD: Duration = Duration::from_millis(50);
/// A blast that was meant to go beyond the rate and did not reach this much of it has measured itself.
const BEYOND_MIN: f64 = 1.02;

/// What a path was measured to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// From left to right.
    pub forward: DirectionCalibration,
    /// From right to left.
    pub reverse: DirectionCalibration,
    /// What the configuration says, a small packet each way, with the mean jitter.
    pub rtt_asked: Duration,
    /// The median of the pings.
    pub rtt_measured: Duration,
    /// How far it may be off.
    pub rtt_margin: Duration,
    /// 99 % of the packets left the emulator no later than this after their time.
    pub lateness_p99: Duration,
    /// The latest of them.
    pub lateness_max: Duration,
    /// The emulator's share of one core while one direction was full, the busier one.
    pub emulator_cpu_share: f64,
}

/// One direction of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DirectionCalibration {
    /// Bits per second of IP packets; `None` where no rate was asked for, or where a policer comes first.
    pub rate_asked: Option<f64>,
    /// What arrived, and what was lost after the wire added to it.
    pub rate_measured: Option<f64>,
    /// How far it may be off, as a share.
    pub rate_margin: f64,
    /// The share of packets that is to be lost at random.
    pub loss_asked: f64,
    /// The share that was.
    pub loss_measured: f64,
    /// How far it may be off by chance.
    pub loss_margin: f64,
    /// Packets that nobody planned to lose, of both blasts, the measuring receiver's included.
    pub unplanned_drops: u64,
    /// The emulator's share of one core during the fastest blast.
    pub emulator_cpu_share: f64,
    /// What the blast beyond the rate came to, in bits per second.
    pub offered: Option<f64>,
}

/// The first thing about a path that is not as asked for.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Deviation {
    /// Packets were lost that should not be, or were not even sent in time.
    #[error(
        "this machine is too slow for the path asked for: from the {} {unplanned_drops} packets were dropped that should not be, and \
         {:.0} Mbit/s could be sent; use a lower rate, or a machine with more idle cores", from.name(), offered / 1e6
    )]
    TooSlow {
        /// Where the direction begins.
        from: Side,
        /// Packets lost that should not be.
        unplanned_drops: u64,
        /// What could be sent, in bits per second.
        offered: f64,
    },
    /// The delay.
    #[error("the RTT is {measured:?} instead of {asked:?}; is the machine busy with something else?")]
    Rtt {
        /// As configured.
        asked: Duration,
        /// As measured.
        measured: Duration,
    },
    /// The rate.
    #[error(
        "the rate from the {} is {:.2} Mbit/s instead of {:.2}; is the machine busy with something else?", from.name(),
        measured / 1e6, asked / 1e6
    )]
    Rate {
        /// Where the direction begins.
        from: Side,
        /// As configured, in bits per second.
        asked: f64,
        /// As measured.
        measured: f64,
    },
    /// The random loss.
    #[error("the loss from the {} is {measured:.5} instead of {asked:.5}, which chance does not explain", from.name())]
    Loss {
        /// Where the direction begins.
        from: Side,
        /// As configured.
        asked: f64,
        /// As measured.
        measured: f64,
    },
}

impl Calibration {
    /// Whether the path is what was asked for: RTT within 0.5 ms, rate within 1 %, loss within its confidence interval.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn check(&self) -> Result<(), Deviation> {
        let directions = [(Side::Left, &self.forward), (Side::Right, &self.reverse)];
        for (from, direction) in directions {
            direction.check_speed(from)?;
        }
        if self.rtt_measured.abs_diff(self.rtt_asked) > self.rtt_margin {
            return Err(Deviation::Rtt { asked: self.rtt_asked, measured: self.rtt_measured });
        }
        directions.into_iter().try_for_each(|(from, direction)| direction.check(from))
    }
}

impl DirectionCalibration {
    fn check_speed(&self, from: Side) -> Result<(), Deviation> {
        let is_beyond = match (self.rate_asked, self.offered) {
            (Some(asked), Some(offered)) => offered >= asked * BEYOND_MIN,
            _ => true,
        };
        if self.unplanned_drops == 0 && is_beyond {
            return Ok(());
        }
        let offered = self.offered.unwrap_or(UNLIMITED_BITS_PER_S);
        Err(Deviation::TooSlow { from, unplanned_drops: self.unplanned_drops, offered })
    }

    fn check(&self, from: Side) -> Result<(), Deviation> {
        if let (Some(asked), Some(measured)) = (self.rate_asked, self.rate_measured)
            && (measured / asked - 1.0).abs() > self.rate_margin
        {
            return Err(Deviation::Rate { from, asked, measured });
        }
        if (self.loss_measured - self.loss_asked).abs() > self.loss_margin {
            return Err(Deviation::Loss { from, asked: self.loss_asked, measured: self.loss_measured });
        }
        Ok(())
    }
}

pub(super) fn measure(network: &Network) -> Result<Calibration, CalibrationError> {
    network.counters();
    let pings = ping(network)?;
    let idle = network.counters();
    let (forward, forward_full) = measure_direction(network, Side::Left)?;
    let (reverse, reverse_full) = measure_direction(network, Side::Right)?;
    let config = network.config();
    let intervals = [&idle, &forward_full, &reverse_full];
    Ok(Calibration {
        forward,
        reverse,
        rtt_asked: rtt(&config.forward) + rtt(&config.reverse),
        rtt_measured: pings,
        // The median of a jitter that keeps packets in order is not far from its mean, but it is not that.
        rtt_margin: RTT_MARGIN + (config.forward.jitter + config.reverse.jitter) / 2,
        lateness_p99: intervals.map(|interval| interval.lateness_p99).into_iter().max().unwrap_or_default(),
        lateness_max: intervals.map(|interval| interval.lateness_max).into_iter().max().unwrap_or_default(),
        emulator_cpu_share: forward.emulator_cpu_share.max(reverse.emulator_cpu_share),
    })
}

/// The median RTT.
fn ping(network: &Network) -> Result<Duration, CalibrationError> {
    let config = network.config();
    let wait = one_way_max(&config.forward) + one_way_max(&config.reverse);
    let mut times = probe::ping(network.left(0), network.right(0), PINGS, PING_INTERVAL, wait)?;
    times.sort_unstable();
    times.get(times.len() / 2).copied().ok_or(CalibrationError::Silence)
}

fn measure_direction(network: &Network, from: Side) -> Result<(DirectionCalibration, Counters), CalibrationError> {
    let link = match from {
        Side::Left => &network.config().forward,
        Side::Right => &network.config().reverse,
    };
    let (below, below_counters) = blast(network, from, link, BELOW)?;
    let mut direction = judge_loss(link, &below, queue_drops(from, &below_counters));
    direction.unplanned_drops = below_counters.unplanned_drops() + below.unread;
    direction.emulator_cpu_share = cpu_share(&below, &below_counters);
    if link.rate_bits_per_s.is_none() || link.policer.is_some() {
        return Ok((direction, below_counters));
    }
    let (beyond, beyond_counters) = blast(network, from, link, BEYOND)?;
    direction.unplanned_drops += beyond_counters.unplanned_drops() + beyond.unread;
    direction.emulator_cpu_share = cpu_share(&beyond, &beyond_counters);
    let packet_bits = f64::from(network.config().mtu) * 8.0;
    let loss = direction.loss_asked;
    let arrived = beyond.received.saturating_sub(1) as f64;
    direction.rate_measured = Some(arrived * packet_bits / beyond.receiving_time.as_secs_f64() / (1.0 - loss));
    direction.rate_asked = link.rate_bits_per_s.map(|rate| rate as f64);
    direction.rate_margin += loss_margin(link, loss, arrived) / (1.0 - loss);
    direction.offered = Some(beyond.sent.saturating_sub(1) as f64 * packet_bits / beyond.sending_time.as_secs_f64());
    Ok((direction, beyond_counters))
}

fn blast(network: &Network, from: Side, link: &LinkConfig, share: f64) -> Result<(Blast, Counters), CalibrationError> {
    network.counters();
    let rate = link.rate_bits_per_s.map_or(UNLIMITED_BITS_PER_S, |rate| rate as f64);
    let rate_bits_per_s = share * link.policer.map_or(rate, |policer| rate.min(policer.rate_bits_per_s as f64));
    let packet_bytes = usize::from(network.config().mtu);
    let packets_in = |time: Duration| (rate_bits_per_s * time.as_secs_f64() / (packet_bytes as f64 * 8.0)) as usize;
    let (ahead, wanted) = if share > 1.0 { (AHEAD, 0) } else { (Duration::ZERO, packets_for_precision(link)) };
    let packets = wanted.clamp(packets_in(BLAST), packets_in(BLAST_MAX)).max(BLAST_PACKETS_MIN);
    let plan = BlastPlan { rate_bits_per_s, packet_bytes, packets, ahead, one_way_max: one_way_max(link) };
    let [sender, receiver] = [from, from.other()].map(|side| &network.hosts(side)[0]);
    let blast = probe::blast(sender, receiver, plan)?;
    Ok((blast, network.counters()))
}

/// Waiting for the last packets costs the emulator nothing, and does not count.
fn cpu_share(blast: &Blast, counters: &Counters) -> f64 {
    counters.emulator_cpu.as_secs_f64() / blast.sending_time.max(blast.receiving_time).as_secs_f64()
}

fn queue_drops(from: Side, counters: &Counters) -> u64 {
    let direction = match from {
        Side::Left => &counters.forward,
        Side::Right => &counters.reverse,
    };
    direction.queue_dropped + direction.policed
}

fn judge_loss(link: &LinkConfig, below: &Blast, queue_drops: u64) -> DirectionCalibration {
    let carried = below.sent.saturating_sub(queue_drops).max(1) as f64;
    let lost = below.sent.saturating_sub(below.received + queue_drops) as f64;
    let loss_asked = expected_loss(link);
    DirectionCalibration {
        rate_asked: None,
        rate_measured: None,
        rate_margin: RATE_MARGIN,
        loss_asked,
        loss_measured: lost / carried,
        loss_margin: loss_margin(link, loss_asked, carried),
        unplanned_drops: 0,
        emulator_cpu_share: 0.0,
        offered: None,
    }
}

/// The share of packets that is lost at random, of all kinds of loss together.
fn expected_loss(link: &LinkConfig) -> f64 {
    let kept = [link.loss, link.loss_before_queue, link.burst_loss.mean, link.corrupt];
    1.0 - kept.into_iter().map(|lost| 1.0 - lost).product::<f64>()
}

/// How far the share lost of so many packets may be off by chance.
fn loss_margin(link: &LinkConfig, loss: f64, packets: f64) -> f64 {
    let together = lost_together(link);
    let deviation = (loss * (1.0 - loss) * together / packets.max(1.0)).sqrt();
    // One packet of a few says nothing yet, but without loss none may be lost.
    LOSS_DEVIATIONS * deviation + if loss > 0.0 { together / packets.max(1.0) } else { 0.0 }
}

/// With so many packets the margin is that share of the loss.
fn packets_for_precision(link: &LinkConfig) -> usize {
    let loss = expected_loss(link);
    let deviations = (LOSS_DEVIATIONS / LOSS_PRECISION).powi(2);
    if loss > 0.0 { (deviations * lost_together(link) * (1.0 - loss) / loss) as usize } else { 0 }
}

/// Bursts make the loss less certain by their length: the packets of one burst are lost together.
fn lost_together(link: &LinkConfig) -> f64 {
    if link.burst_loss.mean > 0.0 { 2.0 * link.burst_loss.mean_packets } else { 1.0 }
}

/// The time of a ping's packet from host to host.
fn rtt(link: &LinkConfig) -> Duration {
    let jitter = match link.jitter_shape {
        JitterShape::Uniform => link.jitter / 2,
        JitterShape::Exponential => link.jitter,
    };
    link.delay + jitter + sending_time(link, probe::ping_packet_bytes())
}

/// The longest that any packet takes.
fn one_way_max(link: &LinkConfig) -> Duration {
    let held = link.reorder.extra_delay + link.reorder.spread;
    // Exponential jitter ends at five times its mean.
    link.delay + 5 * link.jitter + held + sending_time(link, link.queue_bytes)
}

fn sending_time(link: &LinkConfig, bytes: usize) -> Duration {
    link.rate_bits_per_s.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Calibration {
        let direction = DirectionCalibration {
            rate_asked: Some(100e6),
            rate_measured: Some(100.5e6),
            rate_margin: RATE_MARGIN,
            loss_asked: 0.01,
            loss_measured: 0.011,
            loss_margin: 0.002,
            unplanned_drops: 0,
            emulator_cpu_share: 0.3,
            offered: Some(110e6),
        };
        Calibration {
            forward: direction,
            reverse: direction,
            rtt_asked: Duration::from_millis(100),
            rtt_measured: Duration::from_micros(100_200),
            rtt_margin: RTT_MARGIN,
            lateness_p99: Duration::ZERO,
            lateness_max: Duration::ZERO,
            emulator_cpu_share: 0.3,
        }
    }

    #[test]
    fn the_first_deviation_is_named() {
        assert_eq!(good().check(), Ok(()));
        let late = Calibration { rtt_measured: Duration::from_micros(100_600), ..good() };
        assert!(matches!(late.check(), Err(Deviation::Rtt { .. })));
        let mut slow = good();
        slow.reverse.unplanned_drops = 1;
        assert!(matches!(slow.check(), Err(Deviation::TooSlow { from: Side::Right, unplanned_drops: 1, .. })));
        let mut lame = good();
        lame.forward.offered = Some(101e6);
        assert!(matches!(lame.check(), Err(Deviation::TooSlow { from: Side::Left, .. })));
        let mut thin = good();
        thin.forward.rate_measured = Some(98.9e6);
        assert!(matches!(thin.check(), Err(Deviation::Rate { from: Side::Left, .. })));
        let mut lossy = good();
        lossy.reverse.loss_measured = 0.0;
        assert!(matches!(lossy.check(), Err(Deviation::Loss { from: Side::Right, .. })));
    }

    #[test]
    fn the_margin_of_the_loss() {
        let clear = LinkConfig::default();
        assert_eq!((expected_loss(&clear), loss_margin(&clear, 0.0, 1e4)), (0.0, 0.0));
        let lossy = LinkConfig { loss: 0.1, loss_before_queue: 0.1, ..clear };
        assert!((expected_loss(&lossy) - 0.19).abs() < 1e-12);
        assert_eq!(
            (packets_for_precision(&clear), packets_for_precision(&LinkConfig { loss: 0.01, ..clear })),
            (0, 4312)
        );
        assert!((loss_margin(&lossy, 0.1, 10_000.0) - (3.3 * 0.003 + 0.0001)).abs() < 1e-9);
    }
}
