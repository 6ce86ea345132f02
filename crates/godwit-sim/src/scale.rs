//! What an internet of our flows would do: thousands of them, most short and some long, come and go on one link.

use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

use crate::clock;
use crate::controller::Contender;
use crate::scenario::{Buffers, Flow, PACKET_BYTES, Scenario};
use crate::workload::Workload;
use crate::world::World;

/// Rate of the link, in Mbit/s.
const RATE_MBITS: f64 = 1000.0;
/// What the flows offer together, as a share of it.
const LOAD: f64 = 0.8;
/// The queue, in bandwidth-delay products of the mean round-trip time.
const QUEUE_BDP: f64 = 1.0;
/// Sizes follow a bounded Pareto distribution: many mice, few elephants that carry most bytes.
const SIZE_MIN_BYTES: f64 = 30_000.0;
const SIZE_MAX_BYTES: f64 = 1e9;
const SIZE_SHAPE: f64 = 1.05;
/// Round-trip times lie between these, each order of magnitude as likely as the next.
const RTT_MIN_S: f64 = 0.005;
const RTT_MAX_S: f64 = 0.2;
/// After the last arrival everything must be done by then.
const DRAIN_LIMIT: Duration = Duration::from_secs(600);
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// A flow of this many bytes lives long enough for its rate to mean something.
const LONG_BYTES: u64 = 5_000_000;
/// The classes of the report: upper bounds of the sizes in bytes.
const CLASSES: [(&str, u64); 4] =
    [("under 100 kB", 100_000), ("100 kB - 1 MB", 1_000_000), ("1 - 10 MB", 10_000_000), ("over 10 MB", u64::MAX)];

/// Runs it and prints the report; false if a check failed or a flow did not end.
pub fn run(contender: Contender, flows: usize, seed: u64) -> bool {
    let began = Instant::now();
    let scenario = scenario(contender, flows, seed);
    let mut world = World::new(&scenario, seed);
    let mut queue_ms = Vec::new();
    let arrivals_end = scenario.flows.iter().map(|flow| flow.start).max().unwrap_or_default();
    let mut at = Duration::ZERO;
    while at < arrivals_end + DRAIN_LIMIT {
        at += SAMPLE_EVERY;
        if let Err(failure) = world.run_until(at) {
            println!("FAILED: {failure}");
            return false;
        }
        if at <= arrivals_end {
            queue_ms.push(world.queue_delay().as_secs_f64() * 1e3);
        } else if unfinished(&world, &scenario) == 0 {
            break;
        }
    }
    report(&scenario, &world, &mut queue_ms, arrivals_end);
    let (steps, packets) = world.work();
    println!("{steps} events, {packets} packets in {:.1} s", began.elapsed().as_secs_f64());
    unfinished(&world, &scenario) == 0
}

fn scenario(contender: Contender, count: usize, seed: u64) -> Scenario {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut start_s = 0.0;
    let mut flows = Vec::with_capacity(count);
    let mut bytes_total = 0.0;
    for _ in 0..count {
        let rtt = Duration::from_secs_f64(RTT_MIN_S * (RTT_MAX_S / RTT_MIN_S).powf(rng.random::<f64>()));
        let mut flow = Flow::new(contender.flow(), rtt);
        let bytes = size(&mut rng);
        bytes_total += bytes;
        flow.workload = Workload::Bytes(bytes as u64);
        flow.buffers = Buffers { flow_window_packets: 65_536, ..Buffers::default() };
        flows.push(flow);
    }
    // Arrivals at random, as fast as the load asks for.
    let gap_s = bytes_total * 8.0 / (RATE_MBITS * 1e6 * LOAD) / count as f64;
    for flow in &mut flows {
        start_s += -(1.0 - rng.random::<f64>()).ln() * gap_s;
        flow.start = Duration::from_secs_f64(start_s);
    }
    let rtt_mean = Duration::from_secs_f64((RTT_MAX_S - RTT_MIN_S) / (RTT_MAX_S / RTT_MIN_S).ln());
    Scenario::new("scale", RATE_MBITS, rtt_mean, QUEUE_BDP, flows).lasting(start_s + DRAIN_LIMIT.as_secs_f64())
}

fn size(rng: &mut Xoshiro256PlusPlus) -> f64 {
    let (low, high) = (SIZE_MIN_BYTES.powf(-SIZE_SHAPE), SIZE_MAX_BYTES.powf(-SIZE_SHAPE));
    (low - rng.random::<f64>() * (low - high)).powf(-1.0 / SIZE_SHAPE)
}

fn bytes_of(flow: &Flow) -> u64 {
    flow.workload.supplied(Duration::ZERO)
}

fn finished_at(world: &World, flow: usize, bytes: u64) -> Option<Instant> {
    let (_, receiver) = world.peers(flow);
    receiver.filter(|receiver| receiver.progress().1 == bytes).and_then(|receiver| receiver.last_read_at())
}

fn unfinished(world: &World, scenario: &Scenario) -> usize {
    let is_unfinished = |&(number, flow): &(usize, &Flow)| finished_at(world, number, bytes_of(flow)).is_none();
    scenario.flows.iter().enumerate().filter(is_unfinished).count()
}

fn report(scenario: &Scenario, world: &World, queue_ms: &mut [f64], arrivals_end: Duration) {
    let total: u64 = scenario.flows.iter().map(bytes_of).sum();
    println!(
        "{} flows, {:.2} GB over {RATE_MBITS} Mbit/s in {:.0} s, offered load {LOAD}; {} unfinished",
        scenario.flows.len(),
        total as f64 / 1e9,
        arrivals_end.as_secs_f64(),
        unfinished(world, scenario)
    );
    let counters = world.bottleneck();
    let mean = queue_ms.iter().sum::<f64>() / queue_ms.len().max(1) as f64;
    println!(
        "queue: mean {mean:.2} ms, p95 {:.2}, p99 {:.2}; dropped {:.4} of {} packets",
        percentile(queue_ms, 0.95),
        percentile(queue_ms, 0.99),
        counters.queue_dropped as f64 / counters.entered.max(1) as f64,
        counters.entered
    );
    println!("completion time / (handshake and bytes alone on the link):");
    let mut least = 0;
    for (name, most) in CLASSES {
        let mut slowdowns = slowdowns(scenario, world, least..most);
        println!(
            "  {name:14} {:6} flows  median {:7.2}  p95 {:7.2}  p99 {:7.2}",
            slowdowns.len(),
            percentile(&mut slowdowns, 0.5),
            percentile(&mut slowdowns, 0.95),
            percentile(&mut slowdowns, 0.99)
        );
        least = most;
    }
    println!(
        "fairness of flows over {} MB (Jain of their mean rates): {:.3}",
        LONG_BYTES / 1_000_000,
        jain(scenario, world)
    );
}

fn completion_s(scenario: &Scenario, world: &World, number: usize) -> Option<f64> {
    let flow = &scenario.flows[number];
    let end = finished_at(world, number, bytes_of(flow))?;
    Some(clock::seconds(end) - flow.start.as_secs_f64())
}

fn slowdowns(scenario: &Scenario, world: &World, sizes: std::ops::Range<u64>) -> Vec<f64> {
    let slowdown = |(number, flow): (usize, &Flow)| {
        let bytes = bytes_of(flow);
        // Two round trips of handshake, half of one for the data, and a window that doubles from 16 packets.
        let packets = bytes as f64 / 1456.0;
        let doublings = (packets / 16.0)
            .max(1.0)
            .log2()
            .min((RATE_MBITS * 1e6 * flow.rtt.as_secs_f64() / 12_000.0 / 16.0).max(1.0).log2());
        let ideal_s =
            flow.rtt.as_secs_f64() * (2.5 + doublings) + packets * PACKET_BYTES as f64 * 8.0 / (RATE_MBITS * 1e6);
        sizes.contains(&bytes).then(|| completion_s(scenario, world, number).map(|took| took / ideal_s)).flatten()
    };
    scenario.flows.iter().enumerate().filter_map(slowdown).collect()
}

fn jain(scenario: &Scenario, world: &World) -> f64 {
    let rate = |(number, flow): (usize, &Flow)| {
        let bytes = bytes_of(flow);
        (bytes >= LONG_BYTES).then(|| completion_s(scenario, world, number).map(|took| bytes as f64 / took)).flatten()
    };
    let rates: Vec<f64> = scenario.flows.iter().enumerate().filter_map(rate).collect();
    let (sum, squares) = rates.iter().fold((0.0, 0.0), |(sum, squares), rate| (sum + rate, squares + rate * rate));
    if squares > 0.0 { sum * sum / (rates.len() as f64 * squares) } else { 0.0 }
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() as f64 * share) as usize).or_else(|| values.last()).copied().unwrap_or(0.0)
}
