//! One flow on a path, or under an application, that changes (22, 23, 36 to 38).

use std::time::Duration;

use godwit_relay::{BurstLoss, CoDelConfig, Discipline, LinkConfig};
use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};

use super::{ms, target_queue_ms};
use crate::controller::Contender;
use crate::line::Line;
use crate::scenario::{Change, Flow, LinkName, Scenario};
use crate::workload::Workload;

pub(super) fn scenarios(contender: Contender) -> Vec<Scenario> {
    let one = |name: &str, rate, rtt: Duration, queue| {
        Scenario::new(name, rate, rtt, queue, vec![Flow::new(contender.flow(), rtt)])
    };
    vec![
        rate_step(one("step-100-20-100M-50ms", 100.0, ms(50), 1.0)),
        loss_begins(one("100M-100ms-loss0-5%", 100.0, ms(100), 1.0)),
        after_idle(one("idle-1s-100M-50ms", 100.0, ms(50), 1.0), 1.0),
        after_idle(one("idle-30s-100M-50ms", 100.0, ms(50), 1.0), 30.0),
        after_trickle(one("trickle-100M-50ms", 100.0, ms(50), 1.0)),
        bursts(one("bursts-0.5%-10-100M-80ms", 100.0, ms(80), 1.0), 0.005, 10.0)
            .prototype(0.953, 1.5)
            .prototype_native(0.196),
        bursts(one("bursts-2%-20-100M-80ms", 100.0, ms(80), 1.0), 0.02, 20.0)
            .prototype(0.959, 1.5)
            .prototype_native(0.117),
        bursts(one("bursts-2%-100-100M-80ms", 100.0, ms(80), 1.0), 0.02, 100.0)
            .prototype(0.762, 1.5)
            .prototype_native(0.277),
        black_out(one("black-out-3s-100M-50ms", 100.0, ms(50), 1.0)),
        codel(one("codel-100M-50ms", 100.0, ms(50), 4.0)),
        trace(one("lte-50ms", 30.0, ms(50), 4.0)),
        route_change(one("route-change-100M-30-80ms", 100.0, ms(30), 2.0)),
    ]
}

fn rate_step(scenario: Scenario) -> Scenario {
    let fast = scenario.bottleneck;
    let slow = LinkConfig { rate_bits_per_s: Some(20_000_000), ..fast };
    let step = |at, to| Change { at: Duration::from_secs(at), link: LinkName::Bottleneck, to };
    let lines = [
        Line::CarriesBetween { from_s: 17.0, to_s: 30.0, min: 0.95 },
        Line::CarriesBetween { from_s: 32.0, to_s: 45.0, min: 0.95 },
        Line::QueueBetween { from_s: 16.5, to_s: 30.0, max_ms: 1.5 * target_queue_ms(20.0) },
    ];
    let changes = vec![step(15, slow), step(30, fast)];
    let scenario = Scenario { changes, ..scenario.lasting(45.0).warm_after(1.0) };
    // The prototype's figures are of 100 Mbit/s all the time, of which 0.733 are there on average.
    let scenario = scenario.must(lines).prototype(0.716 / 0.733, 11.7).prototype_native(0.438 / 0.733);
    scenario.prototype_tcp(0.634 / 0.733, 0.723 / 0.733).numbered("22")
}

fn loss_begins(scenario: Scenario) -> Scenario {
    let to = LinkConfig { loss: 0.05, ..scenario.flows[0].after_link() };
    let changes = vec![Change { at: Duration::from_secs(10), link: LinkName::After(0), to }];
    let lines = [Line::Utilisation(0.95 * 0.95)];
    Scenario { changes, ..scenario.lasting(40.0) }.must(lines).numbered("23")
}

/// Six seconds' worth of data, a pause of so many seconds after its end, then as much as there may be.
fn after_idle(mut scenario: Scenario, idle_s: f64) -> Scenario {
    let resumed_s = 6.5 + idle_s;
    scenario.flows[0].workload =
        Workload::Supplies(vec![(Duration::ZERO, 65_000_000), (Duration::from_secs_f64(resumed_s), 1 << 40)]);
    scenario.lasting(resumed_s + 5.0).must([resumes(resumed_s, 3.0, 0.05)]).numbered("36")
}

/// An application that has little to send, then much: the rate must not have been unlearnt.
fn after_trickle(mut scenario: Scenario) -> Scenario {
    let mut supplies = vec![(Duration::ZERO, 65_000_000)];
    supplies.extend((0..100).map(|tenth| (Duration::from_millis(7000 + 100 * tenth), 30_000)));
    supplies.push((Duration::from_secs(17), 1 << 40));
    scenario.flows[0].workload = Workload::Supplies(supplies);
    scenario.lasting(22.0).must([resumes(17.0, 3.0, 0.05)]).numbered("36")
}

/// 90 % of the rate arrive from so many round-trip times after `at_s` on.
fn resumes(at_s: f64, rtts: f64, rtt_s: f64) -> Line {
    let from_s = at_s + rtts * rtt_s + rtt_s / 2.0;
    Line::CarriesBetween { from_s, to_s: from_s + 0.5, min: 0.9 }
}

fn bursts(mut scenario: Scenario, mean: f64, mean_packets: f64) -> Scenario {
    scenario.flows[0].after.burst_loss = BurstLoss { mean, mean_packets };
    scenario.must([Line::Utilisation(0.95 * (1.0 - mean))]).numbered("37")
}

fn black_out(scenario: Scenario) -> Scenario {
    let (up, back) = (scenario.flows[0].after_link(), scenario.flows[0].back_link());
    let at = |seconds, link, to| Change { at: Duration::from_secs(seconds), link, to };
    let changes = vec![
        at(10, LinkName::After(0), LinkConfig { is_down: true, ..up }),
        at(10, LinkName::Back(0), LinkConfig { is_down: true, ..back }),
        at(13, LinkName::After(0), up),
        at(13, LinkName::Back(0), back),
    ];
    let line = resumes(13.0, 5.0, 0.05);
    Scenario { changes, ..scenario.lasting(20.0) }.must([line]).numbered("37")
}

fn codel(mut scenario: Scenario) -> Scenario {
    scenario.bottleneck.discipline = Discipline::CoDel(CoDelConfig::default());
    scenario.lasting(20.0).must([Line::Utilisation(0.9), Line::QueueMean(30.0)]).numbered("38")
}

/// A mobile link: its rate walks between 5 and 80 Mbit/s, a step each 100 ms.
fn trace(scenario: Scenario) -> Scenario {
    const SECONDS: u64 = 60;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(38);
    let mut rate: f64 = 30e6;
    let changes = (1..SECONDS * 10).map(|step| {
        // The sum of twelve uniform numbers is as good as normal.
        let normal = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        rate = (rate * (0.12 * normal).exp()).clamp(5e6, 80e6);
        let to = LinkConfig { rate_bits_per_s: Some(rate as u64), ..scenario.bottleneck };
        Change { at: Duration::from_millis(100 * step), link: LinkName::Bottleneck, to }
    });
    let changes = changes.collect();
    let lines = [Line::CarriesBetween { from_s: 5.0, to_s: SECONDS as f64, min: 0.9 }, Line::QueueMean(30.0)];
    Scenario { changes, ..scenario.lasting(SECONDS as f64).warm_after(5.0) }.must(lines).numbered("38")
}

/// The path gets 50 ms longer, for good: that is no queue.
fn route_change(scenario: Scenario) -> Scenario {
    let (after, back) = (scenario.flows[0].after_link(), scenario.flows[0].back_link());
    let longer = |config: LinkConfig| LinkConfig { delay: config.delay + ms(25), ..config };
    let at = Duration::from_secs(15);
    let changes = vec![
        Change { at, link: LinkName::After(0), to: longer(after) },
        Change { at, link: LinkName::Back(0), to: longer(back) },
    ];
    let lines = [Line::CarriesBetween { from_s: 40.0, to_s: 60.0, min: 0.95 }];
    Scenario { changes, ..scenario.lasting(60.0) }.must(lines).numbered("3.4")
}
