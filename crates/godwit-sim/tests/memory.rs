//! What a transfer costs in memory at each end, over a path of 1 Gbit/s and 200 ms, where a round-trip's worth (BDP) is 25 MB.

use std::time::Duration;

use godwit_sim::controller::Contender;
use godwit_sim::scenario::{Flow, Scenario};
use godwit_sim::world::World;

const RTT: Duration = Duration::from_millis(200);
const RATE_MBITS: f64 = 1000.0;
const SECONDS: f64 = 4.0;
/// Of the path, in bytes.
const BDP: f64 = RATE_MBITS * 1e6 / 8.0 * 0.2;
/// How often the buffers are looked at.
const STEP: Duration = Duration::from_millis(2);

/// The most that the buffers of an end held, in BDP, and the part of the rate that the last second carried.
#[derive(Debug)]
struct Peaks {
    sender: f64,
    receiver: f64,
    carried: f64,
}

fn peaks(loss: f64, seed: u64) -> Peaks {
    let flow = Flow::new("fair".parse::<Contender>().expect("it exists").flow(), RTT);
    let scenario = Scenario::new("test", RATE_MBITS, RTT, 1.0, vec![flow]).lasting(SECONDS).lossy(loss);
    let mut world = World::new(&scenario, seed);
    let (mut sent, mut received, mut counted) = (0, 0, [0, 0]);
    let mut until = Duration::ZERO;
    while until < scenario.duration {
        until += STEP;
        world.run_until(until).unwrap_or_else(|failure| panic!("{failure}"));
        let now = world.now();
        let (Some(sender), Some(receiver)) = world.peers(0) else { panic!("both ends are ours") };
        sent = sent.max(sender.buffered_bytes(now));
        received = received.max(receiver.buffered_bytes(now));
        counted[usize::from(until > scenario.duration - Duration::from_secs(1))] = world.received_packets(0);
    }
    let carried = (counted[1] - counted[0]) as f64 * 12_000.0 / (RATE_MBITS * 1e6);
    Peaks { sender: sent as f64 / BDP, receiver: received as f64 / BDP, carried }
}

/// The sender holds what is on its way and what leaves until its writer comes again, the receiver next to nothing. The bounds are what was
/// measured, here and below, and a tenth (docs/performance.md).
#[test]
fn a_long_fast_path_takes_less_than_two_bdp_at_the_sender_and_nothing_at_the_receiver() {
    let peaks = peaks(0.0, 1);
    assert!(peaks.carried > 0.99, "{peaks:?}");
    assert!(peaks.sender < 1.78 && peaks.receiver < 0.01, "{peaks:?}");
}

/// With 1 % of loss two packets per round-trip are lost twice, and each second or so one three times. The receiver holds what comes
/// after it until it is repaired, and the sender, who hears of everything one round-trip later, for longer.
#[test]
fn loss_holds_back_some_round_trips_for_a_packet_that_is_lost_again() {
    let peaks = peaks(0.01, 1);
    assert!(peaks.carried > 0.98, "{peaks:?}");
    assert!(peaks.sender < 5.86 && peaks.receiver < 4.8, "{peaks:?}");
}
