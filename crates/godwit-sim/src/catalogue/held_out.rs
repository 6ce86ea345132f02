//! Scenarios that the prototype was not tuned on when they were written.

use std::time::Duration;

use super::ms;
use super::sharing::{each_at_least, mixed};
use crate::controller::Contender;
use crate::host::HostNoise;
use crate::line::Line;
use crate::rival::RivalKind;
use crate::scenario::{FlowKind, Scenario};

const CUBIC: FlowKind = FlowKind::Rival(RivalKind::Cubic);

pub(super) fn scenarios(contender: Contender) -> Vec<Scenario> {
    let own = contender.flow();
    let mut all = plain(own);
    let pair = |name: &str, rate, rtt, queue, kinds: &[FlowKind]| mixed(name, rate, rtt, queue, kinds).lasting(60.0);
    let three = pair("3-own-30M-40ms-2BDP", 30.0, ms(40), 2.0, &[own; 3]).staggered(4.0).warm_after(25.0);
    all.push(three.must([Line::Jain(0.95)]).prototype(0.999, 10.8));
    let mut lossy = pair("2-own-200M-60ms-loss1%", 200.0, ms(60), 1.0, &[own; 2]).staggered(8.0).warm_after(25.0);
    lossy.flows.iter_mut().for_each(|flow| flow.after.loss = 0.01);
    all.push(lossy.must([Line::Jain(0.9)]));
    let four = pair("2-own-2-cubic-200M-30ms-0.7BDP", 200.0, ms(30), 0.7, &[own, CUBIC, own, CUBIC]);
    let four = four.staggered(3.0).lasting(80.0).warm_after(30.0);
    all.push(four.must([Line::Jain(0.85)]).prototype(0.999, 15.0));
    let near = pair("vs-cubic-1G-10ms-0.5BDP", 1000.0, ms(10), 0.5, &[own, CUBIC]).staggered(3.0).lasting(40.0);
    all.push(near.warm_after(12.0).must(each_at_least(0.2)));
    let far = pair("vs-cubic-20M-100ms-1BDP", 20.0, ms(100), 1.0, &[own, CUBIC]).staggered(5.0).lasting(120.0);
    all.push(far.warm_after(40.0).must(each_at_least(0.3)));
    let handicapped = pair("loss1%-vs-clean-cubic-100M-40ms", 100.0, ms(40), 1.0, &[own, CUBIC]).staggered(5.0);
    all.push(handicapped.lasting(80.0).warm_after(30.0).lossy(0.01).must(each_at_least(0.25)));
    all.extend(noisy_pairs(own));
    all.into_iter().map(|scenario| scenario.numbered("H")).collect()
}

fn plain(own: FlowKind) -> Vec<Scenario> {
    let rows = [
        ("300M-70ms-0.3BDP-loss2%", 300.0, 70, 0.3, 0.02),
        ("500M-150ms-0.5BDP-loss0.5%", 500.0, 150, 0.5, 0.005),
        ("20M-300ms-loss3%", 20.0, 300, 1.0, 0.03),
        ("700M-30ms-2BDP", 700.0, 30, 2.0, 0.0),
        ("2G-80ms-0.2BDP-loss1%", 2000.0, 80, 0.2, 0.01),
        ("40M-150ms-0.25BDP", 40.0, 150, 0.25, 0.0),
    ];
    rows.map(|(name, rate, rtt, queue, loss)| {
        let scenario = mixed(name, rate, ms(rtt), queue, &[own]).lossy(loss).lasting(25.0);
        scenario.must([Line::Utilisation(0.95 * (1.0 - loss))]).prototype(0.995 * (1.0 - loss), 5.0)
    })
    .into()
}

fn noisy_pairs(own: FlowKind) -> [Scenario; 2] {
    let noisy = |mut scenario: Scenario| {
        for flow in scenario.flows.iter_mut().filter(|flow| !matches!(flow.kind, FlowKind::Rival(_))) {
            flow.sender_noise = HostNoise::busy(Duration::from_micros(500));
            flow.receiver_noise = flow.sender_noise;
        }
        scenario
    };
    let two = mixed("noise-0.5ms-2-own-1G-20ms", 1000.0, ms(20), 1.0, &[own; 2]).staggered(0.5).lasting(40.0);
    let duel = mixed("noise-0.5ms-vs-cubic-1G-40ms", 1000.0, ms(40), 1.0, &[own, CUBIC]).staggered(0.5).lasting(60.0);
    [noisy(two.warm_after(15.0)).must([Line::Jain(0.9)]), noisy(duel.warm_after(20.0)).must(each_at_least(0.2))]
}
