//! The part of the matrix that is quick enough for every change: bounded in simulated events, not in time.

use std::time::Duration;

use godwit_relay::{CoDelConfig, Discipline, LinkConfig, Reorder};
use godwit_sim::controller::Contender;
use godwit_sim::host::HostNoise;
use godwit_sim::measured;
use godwit_sim::random;
use godwit_sim::rival::RivalKind;
use godwit_sim::scenario::{Change, Flow, FlowKind, LinkName, Scenario};
use godwit_sim::workload::Workload;
use godwit_sim::world::World;

/// What all tests of this file together may take in events; each says its share in its scenario's size.
const EVENTS_MAX: u64 = 400_000;

const CUBIC: FlowKind = FlowKind::Rival(RivalKind::Cubic);
const BBR: FlowKind = FlowKind::Rival(RivalKind::Bbr);

/// libudt's controller: the others are the matrix' business.
fn own() -> FlowKind {
    "native".parse::<Contender>().expect("it exists").flow()
}

/// The default.
fn fair() -> FlowKind {
    "fair".parse::<Contender>().expect("it exists").flow()
}

fn one(kind: FlowKind, rate_mbits: f64, rtt_ms: u64) -> Scenario {
    let rtt = Duration::from_millis(rtt_ms);
    Scenario::new("test", rate_mbits, rtt, 1.0, vec![Flow::new(kind, rtt)]).lasting(5.0).warm_after(2.0)
}

/// Runs it to the end of what was written, and says what was measured.
fn run(scenario: &Scenario) -> measured::Measured {
    let measured = measured::run(scenario, 1, false).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(measured.steps < EVENTS_MAX, "{} events", measured.steps);
    measured
}

fn arrives_whole(scenario: &Scenario, seed: u64) {
    let mut world = World::new(scenario, seed);
    world
        .run_until(scenario.duration)
        .and_then(|()| world.check_memory())
        .unwrap_or_else(|failure| panic!("{failure}"));
    world.stop_faults();
    world.finish(Duration::from_secs(600)).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(world.work().0 < EVENTS_MAX, "{} events", world.work().0);
}

#[test]
fn a_clean_path_is_filled() {
    // libudt's controller leaves slow start early and then takes seconds.
    let measured = run(&one(own(), 20.0, 20).lasting(20.0).warm_after(10.0));
    assert!(measured.utilisation() > 0.7, "{}", measured.utilisation());
}

#[test]
fn equal_seeds_give_equal_runs_and_others_do_not() {
    let scenario = one(own(), 20.0, 20).lossy(0.01);
    let fingerprint = |seed| {
        let measured = measured::run(&scenario, seed, false).expect("it runs");
        (measured.steps, measured.packets, measured.share(0).to_bits(), measured.queue_mean_ms().to_bits())
    };
    assert_eq!(fingerprint(7), fingerprint(7));
    assert_ne!(fingerprint(7), fingerprint(8));
}

#[test]
fn the_models_of_tcp_do_what_is_known_of_them() {
    let clean = run(&one(CUBIC, 20.0, 50));
    assert!(clean.utilisation() > 0.98 && clean.queue_mean_ms() > 15.0, "CUBIC fills the queue");
    let lossy = run(&one(CUBIC, 20.0, 50).lossy(0.02));
    assert!(lossy.utilisation() < 0.3, "CUBIC takes random loss for congestion: {}", lossy.utilisation());
    let clean = run(&one(BBR, 20.0, 50));
    assert!(clean.utilisation() > 0.95 && clean.queue_mean_ms() < 15.0, "BBR keeps the queue short");
    let lossy = run(&one(BBR, 20.0, 50).lossy(0.01));
    assert!(lossy.utilisation() > 0.7, "BBR bears one percent: {}", lossy.utilisation());
    let rtt = Duration::from_millis(20);
    let pair = Scenario::new("pair", 20.0, rtt, 1.0, vec![Flow::new(CUBIC, rtt), Flow::new(CUBIC, rtt)]);
    let pair = run(&pair.lasting(20.0).warm_after(5.0));
    assert!(pair.jain() > 0.9, "CUBIC shares with itself: {}", pair.jain());
}

#[test]
fn faults_of_all_kinds_change_no_byte() {
    let mut scenario = one(own(), 10.0, 30).lasting(3.0);
    scenario.flows[0].after = LinkConfig {
        loss: 0.03,
        duplicate: 0.02,
        corrupt: 0.01,
        reorder: Reorder { probability: 0.05, spread: Duration::from_millis(8), ..Reorder::default() },
        jitter: Duration::from_millis(2),
        ..LinkConfig::default()
    };
    scenario.flows[0].back.loss = 0.1;
    for seed in 0..5 {
        arrives_whole(&scenario, seed);
    }
}

#[test]
fn late_wake_ups_coarse_clocks_and_batches_change_no_byte() {
    let mut scenario = one(own(), 20.0, 20).lossy(0.01).lasting(3.0);
    scenario.flows[0].sender_noise =
        HostNoise { clock_step: Duration::from_millis(4), ..HostNoise::busy(Duration::from_millis(1)) };
    scenario.flows[0].receiver_noise =
        HostNoise { batch_hold: Duration::from_millis(2), ..HostNoise::busy(Duration::from_millis(1)) };
    arrives_whole(&scenario, 3);
}

#[test]
fn a_black_out_ends_and_so_does_the_transfer() {
    let mut scenario = one(own(), 10.0, 30).lasting(10.0);
    let at = |seconds, is_down| {
        let to = LinkConfig { is_down, ..scenario.flows[0].after_link() };
        Change { at: Duration::from_secs(seconds), link: LinkName::After(0), to }
    };
    scenario.changes = vec![at(2, true), at(5, false)];
    arrives_whole(&scenario, 1);
    let carried = run(&scenario).carried_between(6.0, 10.0);
    assert!(carried > 0.02, "{carried}");
}

#[test]
fn a_libudt_receiver_gets_everything() {
    let libudt = "native".parse::<Contender>().ok().and_then(Contender::to_libudt).expect("it exists");
    let mut scenario = one(libudt, 10.0, 30).lasting(4.0);
    let clean = run(&scenario);
    assert!(clean.utilisation() > 0.5, "{}", clean.utilisation());
    scenario.flows[0].after.loss = 0.05;
    arrives_whole(&scenario, 2);
}

/// Of 10 % loss, and of the copy that follows each retransmission, the rest is goodput: 1 / (1 + 2 p).
#[test]
fn a_libudt_receiver_that_loses_a_tenth_keeps_the_pipe_full() {
    let libudt = "fair".parse::<Contender>().ok().and_then(Contender::to_libudt).expect("it exists");
    for (loss, least) in [(0.01, 0.93), (0.05, 0.85), (0.1, 0.74)] {
        let measured = run(&one(libudt, 20.0, 50).lossy(loss).lasting(10.0).warm_after(3.0));
        assert!(measured.utilisation() > least, "{loss}: {}", measured.utilisation());
    }
}

/// Design points 1 and 6 of the controller, and lesson 4: only what is lost is lost.
#[test]
fn random_loss_costs_little_more_than_itself() {
    for loss in [0.01, 0.05, 0.1] {
        let measured = run(&one(fair(), 20.0, 50).lossy(loss).lasting(20.0).warm_after(3.0));
        assert!(measured.utilisation() > 0.93 * (1.0 - loss), "{loss}: {}", measured.utilisation());
    }
}

/// One that introduces itself is taken for a stranger until that arrives, and a stranger's first ACKs are a bad hint.
#[test]
fn a_lost_introduction_costs_no_round_trip() {
    let carried = |hellos_to_lose| {
        let mut world = World::new(&one(fair(), 300.0, 250), 1);
        world.lose_hellos(hellos_to_lose);
        world.run_until(Duration::from_secs(2)).unwrap_or_else(|failure| panic!("{failure}"));
        world.received_packets(0)
    };
    let (undisturbed, disturbed) = (carried(0), carried(1));
    assert!(disturbed * 100 >= undisturbed * 98, "{disturbed} packets in 2 s, and {undisturbed} without loss");
}

/// Design point 8: without its competitive mode a flow that keeps queues short is left with what CUBIC does not fill.
#[test]
fn a_cubic_flow_leaves_the_default_controller_a_share() {
    let rtt = Duration::from_millis(40);
    let flows = vec![Flow::new(fair(), rtt), Flow::new(CUBIC, rtt)];
    let measured = run(&Scenario::new("duel", 20.0, rtt, 1.0, flows).lasting(30.0).warm_after(10.0));
    assert!((0.25..0.75).contains(&measured.share(0)), "{}", measured.share(0));
}

#[test]
fn codel_and_a_changing_rate_are_survived() {
    let mut scenario = one(own(), 20.0, 30);
    scenario.bottleneck.discipline = Discipline::CoDel(CoDelConfig::default());
    let slower = LinkConfig { rate_bits_per_s: Some(5_000_000), ..scenario.bottleneck };
    scenario.changes = vec![Change { at: Duration::from_secs(2), link: LinkName::Bottleneck, to: slower }];
    let measured = run(&scenario);
    let carried = measured.carried_between(2.0, 5.0);
    assert!(carried > 0.3 && carried < 1.3, "{carried}");
}

#[test]
fn rivals_get_their_share() {
    let rtt = Duration::from_millis(20);
    let flows = vec![Flow::new(own(), rtt), Flow::new(CUBIC, rtt)];
    let measured = run(&Scenario::new("duel", 20.0, rtt, 1.0, flows).lasting(15.0).warm_after(5.0));
    assert!(measured.utilisation() > 0.9, "{}", measured.utilisation());
    assert!(measured.share(1) > 0.1, "{}", measured.share(1));
}

/// The first scenarios of the random sequence; more with `godwit-sim random`.
#[test]
fn random_scenarios_hold() {
    for seed in 0..40 {
        hold(seed);
    }
}

/// The seeds that once found something.
#[test]
fn regressions_hold() {
    let seeds = include_str!("../regressions/random.txt").lines().filter(|line| !line.starts_with('#'));
    for line in seeds {
        let seed = line.split_whitespace().next().and_then(|seed| seed.parse().ok());
        hold(seed.expect("a line begins with a seed"));
    }
}

fn hold(seed: u64) {
    let run = random::run_seed(seed, false);
    if let Err(failure) = run.outcome {
        panic!("{failure}\nreplay: cargo run --release -p godwit-sim -- random --seed {seed} --count 1 --trace");
    }
}

/// Alone it fills the path and the buffer; beside the model of TCP's it gets a share that CUBIC flows get of each other.
#[test]
fn our_cubic_is_a_cubic() {
    let cubic = "cubic".parse::<Contender>().expect("it exists").flow();
    let alone = run(&one(cubic, 20.0, 20).lasting(10.0));
    assert!(alone.utilisation() > 0.95, "{}", alone.utilisation());
    let rtt = Duration::from_millis(20);
    let flows = vec![Flow::new(cubic, rtt), Flow::new(CUBIC, rtt)];
    let beside = run(&Scenario::new("test", 20.0, rtt, 1.0, flows).lasting(20.0).warm_after(5.0));
    assert!((0.25..0.75).contains(&beside.share(0)), "{}", beside.share(0));
}

/// Two round-trips for the handshake, half a one for the first flight, and two and a half for the rest: the arrivals of the
/// first flight tell how fast the path is, and the second has half of that. It takes 489 ms.
#[test]
fn a_megabyte_arrives_within_five_round_trips() {
    let mut scenario = one(fair(), 100.0, 100);
    scenario.flows[0].workload = Workload::Bytes(1_000_000);
    let mut world = World::new(&scenario, 1);
    world.run_until(Duration::from_millis(500)).unwrap_or_else(|failure| panic!("{failure}"));
    let (_, receiver) = world.peers(0);
    assert_eq!(receiver.map(|receiver| receiver.progress().1), Some(1_000_000));
}
