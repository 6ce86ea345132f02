//! Several flows over one bottleneck: our own, and those of TCP models (25 to 30).

use std::time::Duration;

use super::{ms, target_queue_ms};
use crate::controller::Contender;
use crate::line::Line;
use crate::rival::RivalKind;
use crate::scenario::{Flow, FlowKind, Scenario};

const CUBIC: FlowKind = FlowKind::Rival(RivalKind::Cubic);
const BBR: FlowKind = FlowKind::Rival(RivalKind::Bbr);
const BBR_V1: FlowKind = FlowKind::Rival(RivalKind::BbrV1);

pub(super) fn scenarios(contender: Contender) -> Vec<Scenario> {
    let mut all = among_ourselves(contender.flow());
    all.extend(against_others(contender.flow()));
    all
}

/// A scenario with flows of these kinds and one round-trip time.
pub(super) fn mixed(name: &str, rate_mbits: f64, rtt: Duration, queue_bdp: f64, kinds: &[FlowKind]) -> Scenario {
    let flows = kinds.iter().map(|&kind| Flow::new(kind, rtt)).collect();
    Scenario::new(name, rate_mbits, rtt, queue_bdp, flows)
}

/// Each of two flows has at least this share of the rate.
pub(super) fn each_at_least(min: f64) -> [Line; 2] {
    [Line::Share { flow: 0, min, max: 1.0 }, Line::Share { flow: 1, min, max: 1.0 }]
}

fn among_ourselves(own: FlowKind) -> Vec<Scenario> {
    let two = |name: &str, rate, rtt, queue| {
        mixed(name, rate, rtt, queue, &[own; 2]).staggered(10.0).lasting(60.0).warm_after(30.0)
    };
    let many = |name: &str, rate, rtt, count: usize, gap, jain, queue| {
        let scenario = mixed(name, rate, rtt, 1.0, &vec![own; count]).staggered(gap).lasting(80.0).warm_after(40.0);
        scenario.must([Line::Jain(jain), Line::QueueMean(queue)]).numbered("25")
    };
    let mut unequal = two("2-own-100M-20+100ms", 100.0, ms(50), 1.0).must([Line::Jain(0.95)]).numbered("26");
    unequal.flows[0].rtt = ms(20);
    unequal.flows[1].rtt = ms(100);
    vec![
        two("2-own-100M-50ms", 100.0, ms(50), 1.0)
            .must([Line::Jain(0.97), Line::QueueMean(10.0)])
            .prototype(0.997, 5.6)
            .numbered("25"),
        two("2-own-1G-50ms", 1000.0, ms(50), 1.0)
            .must([Line::Jain(0.95), Line::QueueMean(10.0)])
            .prototype(0.998, 3.4)
            .numbered("25"),
        many("4-own-100M-50ms", 100.0, ms(50), 4, 5.0, 0.97, 10.0).prototype(0.998, 6.9),
        many("8-own-200M-80ms", 200.0, ms(80), 8, 2.0, 0.9, 20.0).prototype(0.998, 28.0),
        two("2-own-100M-50ms-0.1BDP", 100.0, ms(50), 0.1).must([Line::Jain(0.95)]).prototype(0.976, 2.4).numbered("26"),
        unequal.prototype(0.995, 11.3),
        two("2-own-100M-200ms", 100.0, ms(200), 1.0).must([Line::Jain(0.95)]).prototype(0.988, 6.2).numbered("26"),
    ]
}

fn against_others(own: FlowKind) -> Vec<Scenario> {
    let duel = |name: &str, queue, kinds: &[FlowKind]| {
        let scenario = mixed(name, 100.0, ms(40), queue, kinds).lasting(90.0).warm_after(30.0);
        scenario.staggered(5.0)
    };
    let mut all = Vec::new();
    let depths = [("0.1", 0.1), ("0.5", 0.5), ("1", 1.0), ("4", 4.0)];
    for (name, queue) in depths {
        all.push(
            duel(&format!("vs-cubic-100M-40ms-{name}BDP"), queue, &[own, CUBIC])
                .must(each_at_least(0.3))
                .numbered("27"),
        );
    }
    all.push(duel("cubic-first-100M-40ms-1BDP", 1.0, &[CUBIC, own]).must(each_at_least(0.3)).numbered("27"));
    let crowd = duel("vs-3-cubic-100M-40ms-1BDP", 1.0, &[own, CUBIC, CUBIC, CUBIC]).staggered(0.5);
    all.push(crowd.must([Line::Portion { flow: 0, min: 0.15, max: 0.4 }]).numbered("28"));
    all.push(duel("vs-bbr-100M-40ms-1BDP", 1.0, &[own, BBR]).must(each_at_least(0.25)).numbered("30"));
    // Linux' own, as on the other side of most downloads.
    all.push(duel("vs-bbr1-100M-40ms-1BDP", 1.0, &[own, BBR_V1]).must(each_at_least(0.3)).numbered("30"));
    all.push(duel("bbr1-first-100M-40ms-1BDP", 1.0, &[BBR_V1, own]).must(each_at_least(0.3)).numbered("30"));
    let mut left = duel("cubic-leaves-100M-40ms-2BDP", 2.0, &[own, CUBIC]).staggered(3.0);
    left.flows[1].stop = Some(Duration::from_secs(30));
    let max_ms = 1.5 * target_queue_ms(100.0);
    let lines = [Line::QueueBetween { from_s: 75.0, to_s: 90.0, max_ms }, Line::Utilisation(0.97)];
    all.push(left.warm_after(40.0).must(lines).numbered("29"));
    all
}
