//! One flow, and something that disturbs it: jitter, reordering, policers, lossy feedback, foreign receivers, busy hosts
//! (19 to 21, 24, 33, 35).

use std::time::Duration;

use godwit_relay::{JitterShape, Policer, Reorder};

use super::ms;
use crate::controller::Contender;
use crate::host::HostNoise;
use crate::line::Line;
use crate::scenario::{Flow, FlowKind, PACKET_BYTES, Scenario};

pub(super) fn scenarios(contender: Contender) -> Vec<Scenario> {
    let one = |name: &str, rate, rtt: Duration, queue| {
        Scenario::new(name, rate, rtt, queue, vec![Flow::new(contender.flow(), rtt)]).lasting(20.0)
    };
    let mut all = vec![
        jitter(one("jitter-3ms-100M-50ms", 100.0, ms(50), 1.0)),
        policer(one("policer-50M-40ms", 1000.0, ms(40), 1.0)),
        reverse_loss(one("reverse-loss10%-loss1%-100M-50ms", 100.0, ms(50), 1.0)),
        reorder(one("reorder-1%-100M-50ms", 100.0, ms(50), 1.0))
            .must([Line::Utilisation(0.99), Line::Spurious(0.001)])
            .prototype(0.998, 4.6)
            .prototype_native(0.768)
            .prototype_tcp(0.987, 1.0),
    ];
    if let Some(kind) = contender.to_libudt() {
        let mut scenario = reorder(one("reorder-1%-libudt-100M-50ms", 100.0, ms(50), 1.0));
        scenario.flows[0].kind = kind;
        let lines = [Line::Utilisation(0.9), Line::Spurious(0.015)];
        all.push(scenario.must(lines).prototype(0.980, 3.8).prototype_native(0.053));
        let rows = [("0", 0.0, 0.95, 0.995), ("1", 0.01, 0.93, 0.980), ("5", 0.05, 0.85, 0.865)];
        for (percent, loss, share, fair) in rows {
            let mut scenario = one(&format!("libudt-loss{percent}%-100M-100ms"), 100.0, ms(100), 1.0).lossy(loss);
            scenario.flows[0].kind = kind;
            all.push(scenario.must([Line::Utilisation(share * (1.0 - loss))]).prototype(fair, 6.0).numbered("33"));
        }
    }
    all.extend(from_libudt(&one));
    all.extend(noise(&one));
    all
}

/// libudt's sender to our receiver, and to its own for comparison: what the latter reaches is the former's pass line.
fn from_libudt(one: &dyn Fn(&str, f64, Duration, f64) -> Scenario) -> Vec<Scenario> {
    let rows = [("0", 0.0, 0.9), ("1", 0.01, 0.02), ("5", 0.05, 0.005)];
    let pair = |(percent, loss, least): (&str, f64, f64)| {
        let scenario = |name: String, kind: FlowKind| {
            let mut scenario = one(&name, 100.0, ms(100), 1.0).lossy(loss).lasting(40.0).numbered("34");
            scenario.flows[0].kind = kind;
            scenario
        };
        let ours = scenario(format!("from-libudt-loss{percent}%-100M-100ms"), FlowKind::FromLibudt);
        [
            ours.must([Line::Utilisation(least)]),
            scenario(format!("libudt-alone-loss{percent}%-100M-100ms"), FlowKind::Libudt),
        ]
    };
    rows.into_iter().flat_map(pair).collect()
}

fn jitter(mut scenario: Scenario) -> Scenario {
    scenario.flows[0].after.jitter = ms(3);
    scenario.flows[0].after.jitter_shape = JitterShape::Exponential;
    scenario
        .must([Line::Utilisation(0.95)])
        .prototype(0.995, 2.7)
        .prototype_native(0.080)
        .prototype_tcp(0.966, 1.0)
        .numbered("19")
}

fn reorder(mut scenario: Scenario) -> Scenario {
    scenario.flows[0].after.reorder = Reorder { probability: 0.01, extra_delay: Duration::ZERO, spread: ms(5) };
    scenario.numbered("20")
}

fn policer(mut scenario: Scenario) -> Scenario {
    let burst_bytes = 200 * PACKET_BYTES as u64;
    scenario.bottleneck.policer = Some(Policer { rate_bits_per_s: 50_000_000, burst_bytes });
    let lines = [Line::Utilisation(0.95), Line::Drops(0.03)];
    scenario.must(lines).prototype(1.0, 0.0).prototype_native(0.84).prototype_tcp(0.94, 0.94).numbered("21")
}

fn reverse_loss(mut scenario: Scenario) -> Scenario {
    scenario.flows[0].back.loss = 0.1;
    let lines = [Line::Utilisation(0.95 * 0.99)];
    scenario
        .lossy(0.01)
        .must(lines)
        .prototype(0.988, 4.8)
        .prototype_native(0.033)
        .prototype_tcp(0.704, 0.033)
        .numbered("24")
}

fn noise(one: &dyn Fn(&str, f64, Duration, f64) -> Scenario) -> Vec<Scenario> {
    let noisy = |mut scenario: Scenario, micros: u64, loss: f64| {
        let noise = HostNoise::busy(Duration::from_micros(micros));
        scenario.flows[0].sender_noise = noise;
        scenario.flows[0].receiver_noise = noise;
        scenario.lossy(loss).must([Line::Utilisation(0.95 * (1.0 - loss))]).numbered("35")
    };
    let coarse = {
        let mut scenario = one("noise-coarse-clock-1ms-100M-50ms", 100.0, ms(50), 1.0);
        scenario.flows[0].sender_noise.clock_step = ms(1);
        scenario.flows[0].receiver_noise.clock_step = ms(1);
        scenario.must([Line::Utilisation(0.95)]).numbered("35")
    };
    // A sender that sleeps for 5 ms, each hundredth of its half milliseconds, leaves a path with 2 ms of buffer idle for 6 % of the time.
    let mut short = noisy(one("noise-0.3ms-1G-2ms", 1000.0, ms(2), 1.0).lasting(15.0), 300, 0.0);
    short.lines = vec![Line::Utilisation(0.85)];
    vec![
        noisy(one("noise-0.5ms-1G-20ms", 1000.0, ms(20), 1.0).lasting(15.0), 500, 0.0).prototype(0.999, 4.1),
        noisy(one("noise-0.5ms-1G-100ms", 1000.0, ms(100), 1.0).lasting(15.0), 500, 0.0),
        noisy(one("noise-0.5ms-10G-20ms", 10_000.0, ms(20), 1.0).lasting(5.0), 500, 0.0).prototype(0.989, 2.7),
        noisy(one("noise-1ms-100M-50ms", 100.0, ms(50), 1.0).lasting(15.0), 1000, 0.0),
        short,
        noisy(one("noise-0.5ms-1G-50ms-loss1%", 1000.0, ms(50), 1.0).lasting(15.0), 500, 0.01),
        coarse,
    ]
}
