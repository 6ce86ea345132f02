//! What is measured while a scenario runs, and what follows from it.

use std::time::Duration;

use crate::agent::Gauges;
use crate::clock;
use crate::failure::Failure;
use crate::scenario::{PACKET_BYTES, Scenario};
use crate::world::World;

/// The time from one sample to the next.
pub const SAMPLE_EVERY: Duration = Duration::from_millis(10);
/// 90 % must hold for so many samples, as a share of the run: short runs are looked at more closely.
const SUSTAINED_SHARE: f64 = 3.0 / 400.0;
const SUSTAINED_SAMPLES_MIN: usize = 3;

/// One sample of one flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowSample {
    /// Data packets that arrived since the sample before.
    pub received_packets: u32,
    /// The sender.
    pub gauges: Gauges,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Measured {
    duration_s: f64,
    warm_up_s: f64,
    usable_bits_per_s: f64,
    rtt_s: f64,
    loss: f64,
    /// Time of the first data packet of the first flow.
    first_data_s: f64,
    /// Per sample: the queue in milliseconds, and the rate that can be used in bits per second (of the policer, if there is one).
    pub queue_ms: Vec<f32>,
    /// See above.
    pub rate: Vec<f64>,
    /// Samples of each flow.
    pub flows: Vec<Vec<FlowSample>>,
    /// Share of packets dropped at the bottleneck in the first second, and after the warm-up.
    pub first_second_drops: f64,
    /// See above.
    pub drops: f64,
    /// Share of the first flow's packets that were retransmitted in vain, and retransmitted at all.
    pub spurious: f64,
    /// See above.
    pub retransmitted: f64,
    /// Steps and packets that it took.
    pub steps: u64,
    /// See above.
    pub packets: u64,
}

/// Runs a scenario and measures it. Nothing is sent to its end: see [`World::finish`] for that.
///
/// # Errors
/// The first check that did not hold.
pub fn run(scenario: &Scenario, seed: u64, traces: bool) -> Result<Measured, Failure> {
    let mut world = World::new(scenario, seed);
    if traces {
        world.trace();
    }
    let flows = scenario.flows.len();
    let samples = (scenario.duration.as_secs_f64() / SAMPLE_EVERY.as_secs_f64()) as u32;
    let mut measured = Measured::new(scenario);
    let mut received = vec![0; flows];
    let policed = scenario.bottleneck.policer.map_or(f64::INFINITY, |policer| policer.rate_bits_per_s as f64);
    let mut at_second = (0, 0);
    let mut at_warm_up = (0, 0);
    for sample in 1..=samples {
        let at = SAMPLE_EVERY * sample;
        world.run_until(at)?;
        world.check_memory()?;
        measured.queue_ms.push(world.queue_delay().as_secs_f32() * 1e3);
        measured.rate.push(world.bottleneck_rate().min(policed));
        for (flow, received) in received.iter_mut().enumerate() {
            let total = world.received_packets(flow);
            let arrived = (total - std::mem::replace(received, total)) as u32;
            measured.flows[flow].push(FlowSample { received_packets: arrived, gauges: world.gauges(flow) });
        }
        let counters = world.bottleneck();
        let dropped = counters.queue_dropped + counters.policed;
        if at <= Duration::from_secs(1) {
            at_second = (counters.entered, dropped);
        }
        if at <= scenario.warm_up {
            at_warm_up = (counters.entered, dropped);
        }
    }
    measured.conclude(&world, at_second, at_warm_up);
    Ok(measured)
}

impl Measured {
    fn new(scenario: &Scenario) -> Self {
        let first = &scenario.flows[0];
        Self {
            duration_s: scenario.duration.as_secs_f64(),
            warm_up_s: scenario.warm_up.as_secs_f64(),
            usable_bits_per_s: scenario.usable_bits_per_s(),
            rtt_s: first.rtt.as_secs_f64(),
            loss: first.after.loss + first.after.burst_loss.mean,
            first_data_s: 0.0,
            queue_ms: Vec::new(),
            rate: Vec::new(),
            flows: vec![Vec::new(); scenario.flows.len()],
            first_second_drops: 0.0,
            drops: 0.0,
            spurious: 0.0,
            retransmitted: 0.0,
            steps: 0,
            packets: 0,
        }
    }

    fn conclude(&mut self, world: &World, at_second: (u64, u64), at_warm_up: (u64, u64)) {
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        let counters = world.bottleneck();
        let dropped = counters.queue_dropped + counters.policed;
        self.first_second_drops = share(at_second.1, at_second.0);
        self.drops = share(dropped - at_warm_up.1, counters.entered - at_warm_up.0);
        let gauges = world.gauges(0);
        self.spurious = share(gauges.spurious_packets, gauges.sent_packets);
        self.retransmitted = share(gauges.retransmitted_packets, gauges.sent_packets);
        self.first_data_s = world.first_data_at(0).map_or(0.0, clock::seconds);
        (self.steps, self.packets) = world.work();
    }

    /// Utilisation of one flow after the warm-up: its share of what the bottleneck could carry in that time.
    pub fn share(&self, flow: usize) -> f64 {
        let from = self.sample_at(self.warm_up_s);
        let packets: u64 = self.flows[flow][from..].iter().map(|sample| u64::from(sample.received_packets)).sum();
        let could: f64 = self.rate[from..].iter().map(|rate| rate * SAMPLE_EVERY.as_secs_f64()).sum();
        bits(packets) / could.max(1.0)
    }

    /// Utilisation of all flows.
    pub fn utilisation(&self) -> f64 {
        (0..self.flows.len()).map(|flow| self.share(flow)).sum()
    }

    /// Jain's fairness index of the flows.
    pub fn jain(&self) -> f64 {
        let shares: Vec<f64> = (0..self.flows.len()).map(|flow| self.share(flow)).collect();
        let (sum, squares) = shares.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
        if squares > 0.0 { sum * sum / (shares.len() as f64 * squares) } else { 0.0 }
    }

    /// Mean queue after the warm-up.
    pub fn queue_mean_ms(&self) -> f64 {
        self.queue_between_ms(self.warm_up_s, self.duration_s)
    }

    /// 95th percentile of the queue after the warm-up.
    pub fn queue_p95_ms(&self) -> f64 {
        let mut sorted = self.queue_ms[self.sample_at(self.warm_up_s)..].to_vec();
        sorted.sort_by(f32::total_cmp);
        sorted.get(sorted.len() * 95 / 100).copied().unwrap_or(0.0).into()
    }

    /// Seconds from the first data packet until 90 % of what the path can carry are reached and kept for a while.
    pub fn seconds_to_90(&self) -> Option<f64> {
        let samples = self.queue_ms.len();
        let needed = ((samples as f64 * SUSTAINED_SHARE) as usize).max(SUSTAINED_SAMPLES_MIN);
        let goal = 0.9 * (1.0 - self.loss) * self.usable_bits_per_s * needed as f64 * SAMPLE_EVERY.as_secs_f64();
        let carried = |start: usize| -> u64 {
            let span = start..start + needed;
            self.flows
                .iter()
                .flat_map(|flow| &flow[span.clone()])
                .map(|sample| u64::from(sample.received_packets))
                .sum()
        };
        let start = (0..samples.saturating_sub(needed)).find(|&start| bits(carried(start)) >= goal)?;
        Some((start as f64 * SAMPLE_EVERY.as_secs_f64() - self.first_data_s).max(0.0))
    }

    /// The same in round-trip times.
    pub fn rtts_to_90(&self) -> Option<f64> {
        self.seconds_to_90().map(|seconds| seconds / self.rtt_s)
    }

    /// What all flows carried in a span, as a share of what the bottleneck could.
    pub fn carried_between(&self, from_s: f64, to_s: f64) -> f64 {
        let span = self.sample_at(from_s)..self.sample_at(to_s);
        let packets: u64 = self
            .flows
            .iter()
            .flat_map(|flow| &flow[span.clone()])
            .map(|sample| u64::from(sample.received_packets))
            .sum();
        let could: f64 = self.rate[span].iter().map(|rate| rate * SAMPLE_EVERY.as_secs_f64()).sum();
        bits(packets) / could.max(1.0)
    }

    /// Mean queue in a span.
    pub fn queue_between_ms(&self, from_s: f64, to_s: f64) -> f64 {
        let samples = &self.queue_ms[self.sample_at(from_s)..self.sample_at(to_s)];
        samples.iter().map(|&queue| f64::from(queue)).sum::<f64>() / samples.len().max(1) as f64
    }

    fn sample_at(&self, seconds: f64) -> usize {
        ((seconds / SAMPLE_EVERY.as_secs_f64()) as usize).min(self.queue_ms.len())
    }
}

fn bits(packets: u64) -> f64 {
    packets as f64 * PACKET_BYTES as f64 * 8.0
}
