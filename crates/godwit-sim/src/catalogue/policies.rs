//! The other policies of the same controller (31, 32). A policy that does not exist is left out.

use super::ms;
use super::sharing::{each_at_least, mixed};
use crate::controller::{Contender, ControllerChoice};
use crate::line::Line;
use crate::rival::RivalKind;
use crate::scenario::{FlowKind, Scenario};

const CUBIC: FlowKind = FlowKind::Rival(RivalKind::Cubic);

pub(super) fn scenarios(contender: Contender) -> Vec<Scenario> {
    let own = contender.flow();
    let policy = |name: &str| name.parse::<ControllerChoice>().ok().map(FlowKind::Godwit);
    let mut all = Vec::new();
    if let Some(low) = policy("low") {
        all.extend(scavenger(low, own));
    }
    if let Some(high) = policy("high") {
        let lines = [Line::Portion { flow: 0, min: 0.7, max: 0.85 }];
        all.push(duel("high-vs-own-100M-40ms", 1.0, [high, own]).must(lines).prototype(1.0, 10.0).numbered("32"));
        all.push(duel("high-vs-cubic-100M-40ms", 1.0, [high, CUBIC]).must(lines).prototype(1.0, 30.0).numbered("32"));
    }
    if let Some(fixed) = policy("fixed:50") {
        let scenario = mixed("fixed50-100M-100ms-loss10%", 100.0, ms(100), 1.0, &[fixed]).lossy(0.1);
        let lines = [Line::Share { flow: 0, min: 0.49, max: 0.51 }];
        all.push(scenario.must(lines).prototype(0.497, 0.0).numbered("32"));
    }
    if let Some(cap) = policy("cap:30") {
        let scenario = mixed("cap30-100M-50ms", 100.0, ms(50), 1.0, &[cap]).warm_after(5.0);
        let lines = [Line::Share { flow: 0, min: 0.294, max: 0.306 }];
        all.push(scenario.must(lines).prototype(0.30, 0.0).numbered("32"));
    }
    if let Some(native) = policy("native").filter(|&native| native != own) {
        all.push(
            duel("vs-native-100M-40ms", 1.0, [own, native])
                .must(each_at_least(0.25))
                .prototype(0.99, 11.0)
                .numbered("32"),
        );
    }
    all
}

fn scavenger(low: FlowKind, own: FlowKind) -> Vec<Scenario> {
    let yields = [Line::Portion { flow: 0, min: 0.0, max: 0.1 }];
    let alone = mixed("low-alone-100M-40ms", 100.0, ms(40), 1.0, &[low]).warm_after(5.0);
    vec![
        duel("low-vs-cubic-100M-40ms-0.5BDP", 0.5, [low, CUBIC]).must(yields).numbered("31"),
        duel("low-vs-cubic-100M-40ms-1BDP", 1.0, [low, CUBIC]).must(yields).numbered("31"),
        duel("low-vs-cubic-100M-40ms-4BDP", 4.0, [low, CUBIC]).must(yields).numbered("31"),
        duel("low-vs-own-100M-40ms", 1.0, [low, own]).must(yields).numbered("31"),
        alone.must([Line::Utilisation(0.95)]).prototype(0.998, 1.5).numbered("31"),
    ]
}

fn duel(name: &str, queue_bdp: f64, kinds: [FlowKind; 2]) -> Scenario {
    mixed(name, 100.0, ms(40), queue_bdp, &kinds).staggered(5.0).lasting(60.0).warm_after(20.0)
}
