//! Scenarios that a seed draws, configuration and all: nobody chose what to try, so nobody can have overlooked it.
//!
//! Faults last for some seconds; then they stop, the writers close, and everything must arrive (the liveness phase).

use std::panic::catch_unwind;
use std::time::Duration;

use godwit_proto::ControllerKind;
use godwit_relay::{BurstLoss, CoDelConfig, Discipline, JitterShape, LinkConfig, Policer, Reorder};
use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

use crate::controller::ControllerChoice;
use crate::failure::Failure;
use crate::host::HostNoise;
use crate::measured::SAMPLE_EVERY;
use crate::rival::RivalKind;
use crate::scenario::{Buffers, Change, Flow, FlowKind, LinkName, PACKET_BYTES, Scenario};
use crate::workload::Workload;
use crate::world::World;

/// Time that a flow has to come to its end on a path without faults. The slowest paths drawn carry 25 packets per second, and what
/// was written but not sent may be a megabyte.
const LIVENESS_LIMIT: Duration = Duration::from_secs(3600);
/// Packets that a scenario may carry at most, to bound what one seed costs.
const PACKETS_MAX: f64 = 15_000.0;

/// How a random run went.
#[derive(Clone, Debug)]
pub struct RandomRun {
    /// What was run.
    pub scenario: Scenario,
    /// Whether damaged packets arrived, so that only safety could be checked.
    pub is_damaged: bool,
    /// The first check that did not hold.
    pub outcome: Result<(), Failure>,
    /// Simulated steps.
    pub steps: u64,
}

/// Runs the scenarios of the seeds `first .. first + count` and prints those that fail; true if none does.
pub fn run(first: u64, count: u64, traces: bool) -> bool {
    let mut failed = 0;
    let mut steps = 0;
    for seed in first..first.saturating_add(count) {
        let outcome = catch_unwind(|| {
            let run = run_seed(seed, traces);
            (run.outcome, run.steps)
        });
        let (outcome, taken) = outcome.unwrap_or((Err(Failure::Panicked), 0));
        steps += taken;
        if let Err(failure) = outcome {
            failed += 1;
            println!("seed {seed} FAILED: {failure}");
            println!("  replay: cargo run --release -p godwit-sim -- random --seed {seed} --count 1 --trace");
        }
    }
    println!("{count} random scenarios, {steps} events: {failed} failed");
    failed == 0
}

/// One random run; a traced one prints the scenario first.
pub fn run_seed(seed: u64, traces: bool) -> RandomRun {
    let (scenario, is_damaged) = drawn(seed);
    let mut world = World::new(&scenario, seed);
    if is_damaged {
        world.let_damage_arrive();
    }
    if traces {
        println!("{scenario:#?}");
        world.trace();
    }
    let outcome = run_world(&mut world, &scenario, is_damaged);
    RandomRun { is_damaged, outcome, steps: world.work().0, scenario }
}

/// The scenario of a seed, and whether it damages packets.
fn drawn(seed: u64) -> (Scenario, bool) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x0DD_5EED);
    let is_damaged = rng.random_bool(0.1);
    let mut scenario = scenario(&mut rng, is_damaged);
    // Drawn last, so that the rest of a scenario is what it was before there were so many.
    let rate = scenario.rate_bits_per_s();
    for flow in &mut scenario.flows {
        if let FlowKind::Godwit(own) | FlowKind::ToLibudt(own) = &mut flow.kind {
            *own = controller(&mut rng, rate);
        }
    }
    (scenario, is_damaged)
}

fn run_world(world: &mut World, scenario: &Scenario, is_damaged: bool) -> Result<(), Failure> {
    let samples = (scenario.duration.as_nanos() / SAMPLE_EVERY.as_nanos()) as u32;
    for sample in 1..=samples {
        world.run_until(SAMPLE_EVERY * sample)?;
        world.check_memory()?;
    }
    world.stop_faults();
    // A damaged acknowledgement can have told the sender anything: there is no right end to wait for.
    if is_damaged { Ok(()) } else { world.finish(LIVENESS_LIMIT) }
}

fn scenario(rng: &mut Xoshiro256PlusPlus, is_damaged: bool) -> Scenario {
    let rate_mbits = logarithmic(rng, 0.3, 400.0);
    let rtt = Duration::from_secs_f64(logarithmic(rng, 0.000_2, 0.4));
    let count = rng.random_range(1..=3);
    let flows = (0..count).map(|_| flow(rng, rtt, is_damaged)).collect();
    let seconds = (PACKETS_MAX * PACKET_BYTES as f64 * 8.0 / (rate_mbits * 1e6)).clamp(0.5, 30.0);
    let mut scenario = Scenario::new("random", rate_mbits, rtt, logarithmic(rng, 0.02, 4.0), flows).lasting(seconds);
    if rng.random_bool(0.2) {
        scenario.bottleneck.discipline = Discipline::CoDel(CoDelConfig::default());
    }
    if rng.random_bool(0.1) {
        let rate_bits_per_s = (rate_mbits * 1e6 * 0.5) as u64;
        scenario.bottleneck.policer =
            Some(Policer { rate_bits_per_s, burst_bytes: rng.random_range(10_000..1_000_000) });
    }
    scenario.changes = changes(rng, &scenario);
    scenario
}

fn flow(rng: &mut Xoshiro256PlusPlus, rtt: Duration, is_damaged: bool) -> Flow {
    let own = ControllerChoice::default();
    let kind = match rng.random_range(0..10) {
        0 => FlowKind::Rival(RivalKind::Cubic),
        1 => FlowKind::Rival(RivalKind::Bbr),
        2 => FlowKind::ToLibudt(own),
        3 => FlowKind::FromLibudt,
        _ => FlowKind::Godwit(own),
    };
    let rtt = rtt.mul_f64(logarithmic(rng, 0.5, 2.0));
    let mut flow = Flow::new(kind, rtt);
    flow.start = Duration::from_millis(rng.random_range(0..300));
    flow.after = faults(rng, is_damaged);
    flow.back = faults(rng, is_damaged);
    flow.sender_noise = noise(rng);
    flow.receiver_noise = noise(rng);
    flow.workload = workload(rng);
    flow.buffers = buffers(rng);
    flow
}

/// One of ours, sometimes with a cap. A fixed rate may be twice what the path carries.
fn controller(rng: &mut Xoshiro256PlusPlus, rate_bits_per_s: f64) -> ControllerChoice {
    let mut part = || (rate_bits_per_s * logarithmic(rng, 0.1, 2.0)) as u64;
    let (fixed, cap) = (ControllerKind::Fixed { bits_per_s: part() }, part());
    let kind = match rng.random_range(0..8) {
        0 | 1 => ControllerKind::Native,
        2 => ControllerKind::Low,
        3 => ControllerKind::High,
        4 => ControllerKind::Cubic,
        5 => fixed,
        _ => ControllerKind::Fair,
    };
    ControllerChoice { kind, max_rate_bits_per_s: rng.random_bool(0.1).then_some(cap) }
}

fn faults(rng: &mut Xoshiro256PlusPlus, is_damaged: bool) -> LinkConfig {
    let mut config = LinkConfig::default();
    if rng.random_bool(0.5) {
        config.loss = logarithmic(rng, 0.0001, 0.3);
    }
    if rng.random_bool(0.2) {
        config.burst_loss =
            BurstLoss { mean: logarithmic(rng, 0.001, 0.2), mean_packets: logarithmic(rng, 1.0, 100.0) };
    }
    if rng.random_bool(0.3) {
        let spread = Duration::from_secs_f64(logarithmic(rng, 0.000_05, 0.05));
        config.reorder = Reorder { probability: logarithmic(rng, 0.001, 0.3), extra_delay: Duration::ZERO, spread };
    }
    if rng.random_bool(0.3) {
        config.jitter = Duration::from_secs_f64(logarithmic(rng, 0.000_05, 0.03));
        config.jitter_shape = if rng.random_bool(0.5) { JitterShape::Uniform } else { JitterShape::Exponential };
    }
    if rng.random_bool(0.2) {
        config.duplicate = logarithmic(rng, 0.001, 0.3);
    }
    if is_damaged || rng.random_bool(0.2) {
        config.corrupt = logarithmic(rng, 0.001, 0.1);
    }
    config
}

fn noise(rng: &mut Xoshiro256PlusPlus) -> HostNoise {
    if rng.random_bool(0.5) {
        return HostNoise::default();
    }
    let step_us = [0, 0, 1, 10, 1000, 4000, 15_625][rng.random_range(0..7)];
    HostNoise {
        late_mean: Duration::from_secs_f64(logarithmic(rng, 0.000_01, 0.005)),
        timer_late_mean: Duration::from_secs_f64(logarithmic(rng, 0.000_01, 0.005)),
        spike_probability: if rng.random_bool(0.5) { 0.01 } else { 0.0 },
        spike: Duration::from_secs_f64(logarithmic(rng, 0.001, 0.2)),
        batch_segments_max: rng.random_range(1..=64),
        batch_hold: Duration::from_micros(rng.random_range(0..200)),
        clock_step: Duration::from_micros(step_us),
    }
}

fn workload(rng: &mut Xoshiro256PlusPlus) -> Workload {
    match rng.random_range(0..4) {
        0 => Workload::Bytes(logarithmic(rng, 1.0, 3e6) as u64),
        1 => {
            let mut supply = || (Duration::from_millis(rng.random_range(0..3000)), logarithmic(rng, 1.0, 3e5) as u64);
            Workload::Supplies((0..10).map(|_| supply()).collect())
        }
        _ => Workload::Endless,
    }
}

fn buffers(rng: &mut Xoshiro256PlusPlus) -> Buffers {
    let near_wrap = 0x7FFF_FFFF_u32.wrapping_sub(rng.random_range(0..3000));
    Buffers {
        flow_window_packets: logarithmic(rng, 32.0, 100_000.0) as u32,
        send_bytes: logarithmic(rng, 65_536.0, 64e6) as usize,
        receive_bytes: logarithmic(rng, 50_000.0, 64e6) as usize,
        mss_bytes: if rng.random_bool(0.7) { PACKET_BYTES as u32 } else { rng.random_range(400..=1500) },
        initial_seq: if rng.random_bool(0.5) { Some(near_wrap) } else { None },
    }
}

fn changes(rng: &mut Xoshiro256PlusPlus, scenario: &Scenario) -> Vec<Change> {
    let count = if rng.random_bool(0.4) { rng.random_range(1..6) } else { 0 };
    let mut changes: Vec<Change> = (0..count).map(|_| change(rng, scenario)).collect();
    changes.sort_by_key(|change| change.at);
    changes
}

fn change(rng: &mut Xoshiro256PlusPlus, scenario: &Scenario) -> Change {
    let at = scenario.duration.mul_f64(rng.random());
    let flow = rng.random_range(0..scenario.flows.len());
    let after = scenario.flows[flow].after_link();
    match rng.random_range(0..4) {
        0 => {
            let rate = (scenario.rate_bits_per_s() * logarithmic(rng, 0.1, 1.0)) as u64;
            let to = LinkConfig { rate_bits_per_s: Some(rate.max(100_000)), ..scenario.bottleneck };
            Change { at, link: LinkName::Bottleneck, to }
        }
        1 => Change { at, link: LinkName::After(flow), to: LinkConfig { is_down: true, ..after } },
        2 => {
            let longer = LinkConfig { delay: after.delay.mul_f64(logarithmic(rng, 0.3, 3.0)), ..after };
            Change { at, link: LinkName::After(flow), to: longer }
        }
        _ => {
            let back = scenario.flows[flow].back_link();
            Change { at, link: LinkName::Back(flow), to: LinkConfig { is_down: rng.random_bool(0.5), ..back } }
        }
    }
}

/// Between the two, each order of magnitude as likely as the next.
fn logarithmic(rng: &mut Xoshiro256PlusPlus, min: f64, max: f64) -> f64 {
    min * (max / min).powf(rng.random::<f64>())
}

#[cfg(test)]
mod tests {
    use std::mem::discriminant;

    use super::*;

    /// Among the seeds that `cargo test` runs.
    #[test]
    fn each_controller_is_drawn() {
        let flows = (0..40).flat_map(|seed| drawn(seed).0.flows);
        let kinds: Vec<_> = flows
            .filter_map(|flow| match flow.kind {
                FlowKind::Godwit(own) => Some(discriminant(&own.kind)),
                _ => None,
            })
            .collect();
        let fixed = ControllerKind::Fixed { bits_per_s: 1 };
        let tide = [ControllerKind::Fair, ControllerKind::Low, ControllerKind::High, fixed];
        for kind in tide.into_iter().chain([ControllerKind::Native, ControllerKind::Cubic]) {
            assert!(kinds.contains(&discriminant(&kind)), "{kind:?}");
        }
    }
}
