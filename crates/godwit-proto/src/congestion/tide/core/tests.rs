//! What the design learnt by being wrong (docs/congestion.md, "Lessons"), on the state machine alone.

mod path;
mod variable;

use self::path::{CAPACITY, CLEAN, Flow, Path, RTT};
use super::super::pulse::Pulse;
use super::*;

/// Design point 1.
#[test]
fn random_loss_costs_no_more_than_itself() {
    for loss in [0.001, 0.01, 0.05, 0.1] {
        let (mut flow, mut path) = (Flow::new(), Path { loss, ..CLEAN });
        flow.run(50, &mut path);
        let (goodput, _) = flow.run(250, &mut path);
        assert!(goodput > 0.98 * (1.0 - loss) * CAPACITY, "{loss}: {goodput}");
    }
}

/// Design points 1 and 2: what a policer drops stays as long as the rate does.
#[test]
fn loss_that_follows_the_rate_is_not_compensated() {
    for bucket in [20.0, 200.0] {
        let (mut flow, mut path) = (Flow::new(), Path { bucket: Some(bucket), ..CLEAN });
        flow.run(100, &mut path);
        let (goodput, lost) = flow.run(400, &mut path);
        assert!(goodput > 0.9 * CAPACITY && lost < 0.02, "{bucket}: {goodput}, {lost} lost");
        assert!(flow.core.floor.value() < 0.005, "{bucket}: {}", flow.core.floor.value());
    }
}

/// Design point 2, and where we go further: what stays in a first test is believed when it stays at 0.7 of what arrives.
#[test]
fn loss_that_was_never_seen_before_is_proven_twice() {
    for (lost_at_last, floor) in [(160, 0.2), (0, 0.0)] {
        let mut flow = Flow::cruising();
        flow.hear(0.0, CAPACITY);
        for (lost, pace) in [(160, 0.95 * 0.8), (160, 0.7), (lost_at_last, 1.0)] {
            assert_eq!(flow.core.floor.value(), 0.0);
            let cohort = flow.core.cohort();
            (0..2).for_each(|_| flow.hear(0.0, CAPACITY));
            flow.report(cohort, 800, lost);
            let expected = pace * CAPACITY / (1.0 - flow.core.floor.value());
            assert!((flow.core.pace() / expected - 1.0).abs() < 0.06, "{} instead of {expected}", flow.core.pace());
        }
        assert_eq!(flow.core.floor.value(), floor);
    }
}

/// Design point 2.
#[test]
fn what_a_down_test_refuted_is_not_learnt_again() {
    let mut floor = LossFloor::new();
    let learn = |floor: &mut LossFloor| (0..20).for_each(|_| floor.learn(Tally { sent: 300, lost: 24 }));
    learn(&mut floor);
    assert!((floor.value() - 0.08).abs() < 1e-9);
    for (left, most) in [(0.01, 0.015), (0.0, 0.003)] {
        floor.refute(left);
        learn(&mut floor);
        assert!((floor.value() - most).abs() < 1e-9, "{}", floor.value());
    }
    floor.validate(0.08);
    learn(&mut floor);
    assert!((floor.value() - 0.08).abs() < 1e-9);
}

/// Design point 2.
#[test]
fn a_floor_of_loss_is_tested_again_every_five_seconds() {
    let (mut flow, mut path) = (Flow::new(), Path { loss: 0.05, ..CLEAN });
    flow.run(150, &mut path);
    let mut tests = 0;
    let mut is_slow = false;
    for _ in 0..300 {
        flow.round(&mut path);
        let was_slow = std::mem::replace(&mut is_slow, flow.core.pace() < 0.96 * flow.core.bandwidth());
        tests += u32::from(is_slow && !was_slow);
    }
    assert!((5..=12).contains(&tests), "{tests} in 30 s");
}

/// Design point 2: one test may well lose nothing by chance, and a floor that it took away for that would not come back.
#[test]
fn routine_tests_refute_the_floor_together() {
    let (mut flow, mut path) = (Flow::new(), Path { loss: 0.01, ..CLEAN });
    flow.run(100, &mut path);
    for floor in [0.007..0.011, 0.0..0.001] {
        while flow.core.test == DownTest::None {
            flow.round(&mut path);
        }
        let cohort = flow.core.cohort();
        flow.hear(0.0, 0.95 * CAPACITY);
        flow.report(cohort, 600, 0);
        assert!(floor.contains(&flow.core.floor.value()), "{} instead of {floor:?}", flow.core.floor.value());
    }
}

/// Design point 7: of two flows with one queue between their targets the larger gives way to the smaller.
#[test]
fn the_target_queue_falls_with_the_rate() {
    let flow = Flow::cruising();
    let targets = [833.0, CAPACITY, 83_330.0, 833_300.0].map(|rate| (flow.core.target_queue_at(rate) * 1e4).round());
    assert_eq!(targets, [105.0, 40.0, 19.0, 13.0], "tenths of milliseconds");
    let gain = |rate: f64| {
        let mut flow = flow.clone();
        flow.core.bandwidth.reset(rate);
        flow.hear(0.003, rate);
        flow.core.pace() / rate
    };
    assert!(gain(CAPACITY / 4.0) > 1.005 && gain(4.0 * CAPACITY) < 0.999);
}

/// Design point 8: beside one who fills the buffer the window grows as CUBIC's does, until a drain test finds the queue gone.
#[test]
fn a_queue_that_does_not_drain_is_competed_for_until_it_does() {
    let mut flow = Flow::competing();
    let share = CAPACITY / 2.0;
    let window = flow.core.competition.as_ref().expect("it has just begun").window(0.05);
    (0..60).for_each(|_| flow.hear(0.06, share));
    let grown = flow.core.competition.as_ref().map(|it| it.window(0.05));
    assert!(grown > Some(window + 10.0), "{grown:?} after {window}");
    for _ in 0..300 {
        // The other has left: the queue is ours, and goes when we drain it.
        let is_drained = matches!(flow.core.state, State::ProbeRtt(_));
        flow.hear(if is_drained { 0.0 } else { 0.06 }, share);
        if flow.core.competition.is_none() {
            return;
        }
    }
    panic!("30 s were not enough");
}

/// Design point 8: of a flow with a small share little shows when we drain the queue, but what shows comes back.
#[test]
fn a_drain_test_finds_those_with_a_small_share() {
    for (part, others_are_seen) in [(0.5, true), (0.15, true), (0.0, false)] {
        let (mut flow, bdp) = (Flow::cruising(), CAPACITY * RTT);
        let others = part * 1.6 * bdp;
        flow.core.compete(1.6 * bdp - others);
        let (mut tests, mut queue) = (0, 0.06);
        let until = flow.now + 12.0;
        while flow.now < until && flow.core.competition.is_some() {
            let was_test = matches!(flow.core.state, State::ProbeRtt(_));
            // What is not on its way stands in the queue.
            let own = flow.core.window().min(flow.core.pace() * (RTT + queue));
            queue = ((own + others - bdp) / CAPACITY).clamp(0.0, 0.06);
            flow.hear(queue, (own / (RTT + queue)).min(CAPACITY));
            tests += u32::from(was_test && !matches!(flow.core.state, State::ProbeRtt(_)));
        }
        assert!(tests >= 1, "{part}");
        assert_eq!(flow.core.competition.is_some(), others_are_seen, "{part}");
    }
}

/// Design point 8: while a queue of our own stands, as much arrives as ever.
#[test]
fn a_queue_that_falls_with_the_rate_is_suspicious() {
    let suspicious_after = |fall: f64| {
        let mut contest = Contest::new(1e9);
        contest.observe(0.0, CAPACITY, 0.004, [0.004; 2], true);
        (1..40).find(|&round| {
            let (now, left) = (f64::from(round) * 0.1, fall.powi(round));
            contest.observe(now, CAPACITY * left, 0.1 * 0.95_f64.powi(round), [0.004; 2], false);
            contest.is_test_due(now, CAPACITY)
        })
    };
    assert!(suspicious_after(0.95).is_some_and(|round| round <= 20), "{:?}", suspicious_after(0.95));
    assert_eq!(suspicious_after(1.0), None, "ours, and it is drained");
}

/// Design point 8: one whose packets fitted on the path while we drained it takes everything while we wait. One of our own that comes takes
/// as much, but the queue does not stay.
#[test]
fn a_rate_that_falls_beside_a_long_queue_ends_the_wait() {
    let waited = |left: f64, rounds: u32| {
        let mut contest = Contest::new(1e9);
        (0..4).for_each(|test| contest.drained(f64::from(test), CAPACITY, true));
        (1..400).map(|round| (round, 3.0 + 0.05 * f64::from(round))).find_map(|(round, now)| {
            let queue = if round <= rounds || now > 15.0 { 0.02 } else { 0.004 };
            contest.observe(now, left * CAPACITY, queue, [0.004; 2], true);
            contest.is_test_due(now, left * CAPACITY).then_some(now - 3.0)
        })
    };
    let [fallen, not_fallen, short] =
        [waited(0.6, 400), waited(0.8, 400), waited(0.6, 20)].map(Option::unwrap_or_default);
    assert!((1.2..2.3).contains(&fallen), "{fallen}");
    assert!((16.0..17.1).contains(&not_fallen), "{not_fallen}");
    assert!((12.0..17.1).contains(&short), "{short}");
}

/// Design point 8: on a path whose rate falls faster than a flow yields the queue is its own, and goes when it is drained.
#[test]
fn a_queue_that_drains_is_nobody_elses() {
    let mut flow = Flow::cruising();
    let (mut tests, mut was_test) = (0, false);
    let until = flow.now + 60.0;
    while flow.now < until {
        let is_test = matches!(flow.core.state, State::ProbeRtt(probe) if probe.is_test);
        tests += u32::from(is_test && !was_test);
        was_test = is_test;
        flow.hear(if matches!(flow.core.state, State::ProbeRtt(_)) { 0.0 } else { 0.04 }, CAPACITY / 2.0);
        assert!(flow.core.competition.is_none());
    }
    assert!((3..=8).contains(&tests), "{tests} in a minute: each waits twice as long as the one before");
}

/// What a pulse of one round-trip sends too much stands in the queue.
#[test]
fn pulses_on_a_long_path_are_small() {
    let gain = |target: f64, rtt: f64| {
        let mut pulse = Pulse::default();
        pulse.bound_by(target, rtt);
        (pulse.gain() * 1000.0).round()
    };
    assert_eq!([gain(0.004, 0.1), gain(0.0105, 0.6), gain(0.0019, 0.6)], [1050.0, 1035.0, 1020.0]);
}

/// Lesson 6: a step is taken back unless it brought something, and the next waits.
#[test]
fn a_pulse_looks_at_its_effect_before_the_next() {
    let gains = |carried: &dyn Fn(f64) -> f64| {
        let mut pulse = Pulse::default();
        let mut rate = 1.0;
        let gain = |round: u32| {
            let now = f64::from(round);
            pulse.on_round(now, rate, true, true, 4, now + 3.0);
            let gain = if pulse.is_up() { pulse.gain() } else { 1.0 };
            rate = carried(rate * gain);
            gain
        };
        (1..=12).map(gain).collect::<Vec<_>>()
    };
    let (up, full, free) = (1.05, gains(&|_| 1.0), gains(&|rate| rate));
    assert_eq!(full, [up, 1.0, 1.0, 1.0, 1.0, 1.0, up, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(free, [up, 1.0, 1.1, 1.0, 1.25, 1.0, 1.5, 1.0, 2.0, 1.0, 2.0, 1.0]);
}

/// Lesson 6: alone on a link a flow neither swings nor meets anybody.
#[test]
fn a_flow_alone_settles_at_its_target() {
    let (mut flow, mut path) = (Flow::cruising(), CLEAN);
    let mut calm = 0;
    for _ in 0..300 {
        flow.round(&mut path);
        assert!(flow.core.competition.is_none());
        calm = if flow.core.state == State::Cruise { calm + 1 } else { 0 };
        let is_near = (0.003_5..0.004_6).contains(&path.queue);
        assert!(calm < 30 || is_near, "{} s of queue after {calm} rounds", path.queue);
    }
}

/// Lesson 7.
#[test]
fn loss_beside_a_standing_queue_teaches_no_floor() {
    let mut flow = Flow::cruising();
    for _ in 0..30 {
        let cohort = flow.core.cohort();
        flow.hear(0.01, CAPACITY);
        flow.report(cohort, 800, 64);
    }
    assert_eq!(flow.core.floor.value(), 0.0);
}

/// Lesson 8: below what arrived of the cohort that lost, not below the best rate ever seen.
#[test]
fn a_down_test_is_slower_than_what_arrived() {
    let mut flow = Flow::cruising();
    flow.hear(0.0, 1.2 * CAPACITY);
    let cohort = flow.core.cohort();
    let pace = flow.core.cohorts.back().expect("the one that is sent now").pace;
    flow.hear(0.0, CAPACITY);
    flow.report(cohort, 800, 160);
    assert!(matches!(flow.core.test, DownTest::Sending(_)), "{:?}", flow.core.test);
    let expected = 0.95 * 0.8 * pace;
    assert!((flow.core.pace() - expected).abs() < 1.0, "{} instead of {expected}", flow.core.pace());
}

/// Towards libudt at 5 % loss one start-up in forty ended with its second ACK.
#[test]
fn one_sample_of_a_queue_does_not_end_the_start_up() {
    let mut flow = Flow::new();
    flow.hear(0.0, 160.0);
    flow.hear(RTT, 320.0);
    assert_eq!(flow.core.state, State::Startup, "one sample");
    flow.hear(RTT, 640.0);
    assert_ne!(flow.core.state, State::Startup, "two in a row are a queue");
}

/// A hint of a fiftieth of the path, from a host that was late with the first flight, was all that a flow got beside CUBIC.
#[test]
fn a_hint_that_leaves_no_queue_was_too_low() {
    for (queue, is_over) in [(0.0, false), (0.002, true)] {
        let mut flow = Flow::new();
        flow.hear(0.0, 160.0);
        flow.core.growth.hint = 160.0;
        flow.core.growth.recent = 160.0;
        (0..3).for_each(|_| flow.hear(queue, 160.0));
        assert_eq!((flow.core.state == State::Cruise, flow.core.growth.hint == 0.0), (is_over, !is_over));
    }
}

/// Lesson 9.
#[test]
fn losses_of_the_start_up_are_not_judged_afterwards() {
    let (mut flow, mut path) = (Flow::new(), CLEAN);
    while flow.core.state == State::Startup {
        flow.round(&mut path);
    }
    let late = flow.core.cohorts.iter().find(|cohort| cohort.purpose == Purpose::Startup);
    let late = late.expect("the start-up has cohorts").id;
    (0..20).for_each(|_| flow.round(&mut path));
    (0..2).for_each(|_| flow.hear(0.0, CAPACITY));
    assert_eq!((flow.core.state, flow.core.test), (State::Cruise, DownTest::None));
    let before = (flow.core.bandwidth(), flow.core.pace());
    flow.report(late, 1600, 600);
    assert_eq!((flow.core.bandwidth(), flow.core.pace(), flow.core.test), (before.0, before.1, DownTest::None));
}

/// Lesson 9, where the hint ends the start-up.
#[test]
fn nor_are_those_of_its_first_cohort() {
    let mut flow = Flow::new();
    (0..20).for_each(|_| flow.hear(0.0, CAPACITY));
    let early = flow.core.cohort();
    flow.core.cruise();
    flow.report(early, 544, 22);
    assert_eq!((flow.core.state, flow.core.test), (State::Cruise, DownTest::None));
}

/// A policer that was not overrun for a while carries more for a moment.
#[test]
fn pulses_stay_small_for_five_seconds_after_a_hold() {
    let mut flow = Flow::cruising();
    flow.core.hold.until = flow.now;
    let until = flow.now + 5.0;
    let mut path = Path { capacity: 100.0 * CAPACITY, ..CLEAN };
    let mut fastest = |flow: &mut Flow, until: f64| {
        let mut fastest: f64 = 0.0;
        while flow.now < until {
            flow.round(&mut path);
            fastest = fastest.max(flow.core.pace() / flow.core.bandwidth());
        }
        fastest
    };
    assert!((fastest(&mut flow, until - 0.2) - 1.1).abs() < 0.01);
    assert!(fastest(&mut flow, until + 5.0) > 1.4);
}

/// A queue that stands shows what we have of the path. One that goes does not, nor one that the start-up left and drained: little was sent.
#[test]
fn what_arrives_while_a_queue_goes_is_no_share() {
    for (queue, was_drained, bandwidth) in [(0.2, false, 0.1), (0.06, false, 1.0), (0.2, true, 1.0)] {
        let (mut flow, mut path) = (Flow::cruising(), CLEAN);
        // Past a look for the least RTT.
        flow.run(30, &mut path);
        (0..4).for_each(|_| flow.hear(0.2, CAPACITY));
        if was_drained {
            flow.core.cruise();
        }
        flow.hear(queue, 0.1 * CAPACITY);
        assert!((flow.core.bandwidth() / CAPACITY - bandwidth).abs() < 0.01, "{}", flow.core.bandwidth());
    }
}

/// Lesson 10.
#[test]
fn a_rate_that_is_held_does_not_creep_down() {
    let (mut flow, mut path) = (Flow::cruising(), CLEAN);
    let cohort = flow.core.cohort();
    flow.hear(0.01, CAPACITY);
    flow.report(cohort, 800, 40);
    let until = flow.core.hold.until;
    assert!(until > flow.now + 1.9, "an overflow holds the rate");
    flow.run(5, &mut path);
    while flow.now < until {
        flow.round(&mut path);
        assert!(flow.core.pace() > 0.98 * CAPACITY, "{}", flow.core.pace());
    }
}

/// Lesson 11: a target above what the buffer holds would only ever lose.
#[test]
fn any_loss_beside_a_short_queue_teaches_the_depth_of_the_buffer() {
    let mut flow = Flow::cruising();
    flow.hear(0.002, CAPACITY);
    let cohort = flow.core.cohort();
    flow.hear(0.002, CAPACITY);
    flow.report(cohort, 800, 1);
    assert!((flow.core.target_queue() - 0.001).abs() < 1e-4, "{}", flow.core.target_queue());
    let (mut flow, mut path) = (Flow::new(), Path { buffer: 0.002, ..CLEAN });
    flow.run(50, &mut path);
    let (goodput, lost) = flow.run(250, &mut path);
    assert!(goodput > 0.98 * CAPACITY && lost < 0.002, "{goodput}, {lost} lost");
}

/// Alone it suffices to stop growing. Beside one that goes on growing the same buffer overflows again, and then a part is given up.
#[test]
fn a_short_buffer_that_overflows_beside_a_held_rate_costs_a_part_of_it() {
    let mut flow = Flow::cruising();
    for (queue, held) in [(0.007, 1.0), (0.005, 0.93)] {
        flow.hear(queue, CAPACITY);
        let cohort = flow.core.cohort();
        flow.hear(queue, CAPACITY);
        flow.report(cohort, 800, 40);
        assert!((flow.core.hold.rate / CAPACITY - held).abs() < 0.01, "{} instead of {held}", flow.core.hold.rate);
        assert!(flow.now < flow.core.hold.until);
        (0..7).for_each(|_| flow.hear(0.0, CAPACITY));
    }
}

/// Lesson 12.
#[test]
fn one_overflow_cuts_the_window_once() {
    let mut flow = Flow::competing();
    let mut round = || {
        let cohort = flow.core.cohort();
        flow.hear(0.06, CAPACITY / 2.0);
        cohort
    };
    let before = [round(), round(), round()];
    let window = |flow: &Flow| flow.core.competition.as_ref().expect("the queue stands").window(0.05);
    let whole = window(&flow);
    let windows = before.map(|cohort| {
        flow.report(cohort, 400, 20);
        window(&flow) / whole
    });
    assert_eq!(windows, [0.7; 3]);
    (0..2).for_each(|_| flow.hear(0.06, CAPACITY / 2.0));
    let after = flow.core.cohort();
    flow.hear(0.06, CAPACITY / 2.0);
    let grown = window(&flow);
    flow.report(after, 400, 20);
    assert_eq!(window(&flow) / grown, 0.7);
}

/// Lesson 13.
#[test]
fn what_arrives_during_a_drain_test_is_no_share() {
    for queue in [0.0, 0.06] {
        let mut flow = Flow::competing();
        while !matches!(flow.core.state, State::ProbeRtt(_)) {
            flow.hear(0.06, CAPACITY / 2.0);
        }
        let before = flow.core.bandwidth();
        while matches!(flow.core.state, State::ProbeRtt(_)) {
            flow.hear(queue, CAPACITY / 4.0);
        }
        assert_eq!((flow.core.bandwidth(), flow.core.competition.is_none()), (before, queue == 0.0));
    }
}

/// Design point 8 and lesson 14: whoever is older or younger drains at the same moments of the wall's clock.
#[test]
fn flows_of_different_ages_drain_together() {
    let tests = |age: f64| {
        let mut contest = Contest::new(1e9 - age);
        contest.entered(age + 1.0);
        let mut at = Vec::new();
        for tick in 100..6000 {
            let since = f64::from(tick) / 100.0;
            if contest.is_slot_due(age + since, 0.05) {
                contest.start_slot(age + since);
                at.push(tick);
            }
        }
        at
    };
    let old = tests(1234.5);
    assert!(old.len() >= 11 && old == tests(0.0) && old == tests(7.77), "{old:?}");
    let suspicions = |age: f64| {
        let mut contest = Contest::new(1e9 - age);
        contest.is_test_due(age, CAPACITY);
        contest.suspect();
        (1..6000).filter(|&tick| contest.is_test_due(age + f64::from(tick) / 100.0, CAPACITY)).collect::<Vec<_>>()
    };
    assert!(suspicions(1234.5).len() >= 59 && suspicions(1234.5) == suspicions(7.77), "{:?}", suspicions(0.0));
    let looks = |age: f64| {
        let mut contest = Contest::new(1e9 - age);
        contest.is_new_slot(age);
        (1..6000).filter(|&tick| contest.is_new_slot(age + f64::from(tick) / 100.0)).collect::<Vec<_>>()
    };
    assert!(looks(1234.5).len() >= 5 && looks(1234.5) == looks(7.77), "{:?}", looks(0.0));
}
