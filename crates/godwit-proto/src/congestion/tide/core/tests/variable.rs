//! Links that become slower or lose in bursts, and busy hosts that look like them.

use super::path::{CAPACITY, Flow};
use super::*;

/// Lesson 11 is not about what a path loses in bursts all the time, far more than the floor.
#[test]
fn what_a_path_always_loses_in_bursts_teaches_no_depth() {
    let mut flow = Flow::cruising();
    let round = |flow: &mut Flow, queue: f64, lost: u64| {
        let (cohort, target) = (flow.core.cohort(), flow.core.target_queue());
        flow.hear(queue, CAPACITY);
        flow.report(cohort, 800, lost);
        flow.core.target_queue() / target
    };
    for number in 0..200 {
        round(&mut flow, 0.0, if number % 5 == 0 { 5 } else { 0 });
    }
    let before = [[0.004; 50].as_slice(), &[0.0015; 2]].concat();
    before.into_iter().for_each(|queue| _ = round(&mut flow, queue, 0));
    assert!(flow.core.floor.value() < 0.001, "{}", flow.core.floor.value());
    assert!(round(&mut flow, 0.0015, 5) > 0.95, "as so often");
    assert!(round(&mut flow, 0.0015, 40) < 0.5, "more than ever");
}

/// On a short path all that arrived in the last two rounds was what a down-test sent, and the loss was a busy host's burst.
#[test]
fn what_arrives_of_a_down_test_is_no_share() {
    let mut flow = Flow::cruising();
    flow.hear(0.0, CAPACITY);
    let cohort = flow.core.cohort();
    flow.hear(0.0, CAPACITY);
    flow.report(cohort, 800, 160);
    let test = flow.core.cohort();
    (0..2).for_each(|_| flow.hear(0.0, 0.76 * CAPACITY));
    flow.report(test, 800, 0);
    assert_eq!(flow.core.test, DownTest::None);
    assert!(flow.core.pace() > 0.95 * CAPACITY, "{}", flow.core.pace());
}

/// Design point 8: a link that becomes slower during a test leaves a queue, too. One who shares it is there a second later.
#[test]
fn a_link_that_becomes_slower_is_tested_again() {
    let test = |flow: &mut Flow, queue: f64, rate: f64| {
        while !matches!(flow.core.state, State::ProbeRtt(probe) if probe.is_test) {
            flow.hear(0.04, CAPACITY / 2.0);
        }
        while matches!(flow.core.state, State::ProbeRtt(_)) {
            flow.hear(queue, rate);
        }
        flow.core.competition.is_some()
    };
    for (queue, is_met) in [(0.0, false), (0.04, true)] {
        let mut flow = Flow::cruising();
        assert!(!test(&mut flow, 0.0, CAPACITY / 2.0), "it was our own");
        assert!(!test(&mut flow, 0.04, CAPACITY / 4.0), "half of what was there before");
        let doubted_at = flow.now;
        assert_eq!(test(&mut flow, queue, CAPACITY / 4.0), is_met);
        assert!(flow.now - doubted_at < 3.0, "{} s later", flow.now - doubted_at);
    }
}
