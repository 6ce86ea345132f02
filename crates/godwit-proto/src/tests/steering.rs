//! Controllers and bounds that change while the connection lives.

use std::task::Poll;
use std::time::Duration;

use super::network::{Faults, Network, noise};
use crate::{Config, ConnectionHandle, ControllerKind, RateBoundsError, Stats};

const MBIT: u64 = 1_000_000;

fn sending(controller: ControllerKind) -> crate::ConfigBuilder {
    Config::builder().controller(controller).mss_bytes(1500)
}

fn connected(seed: u8, config: Config) -> (Network, ConnectionHandle, ConnectionHandle) {
    let mut network = Network::new(seed, Faults::default());
    let (client, server) = network.establish(config, Config::default());
    (network, client, server)
}

fn stats(network: &mut Network, client: ConnectionHandle) -> Stats {
    network.with(0, client, |connection, now| connection.stats(now))
}

/// What leaves within a second while there is always something to send, retransmissions included, in Mbit/s on the wire.
fn rate_mbits(network: &mut Network, client: ConnectionHandle, server: ConnectionHandle) -> f64 {
    let before = stats(network, client).sender.sent_packets;
    for _ in 0..100 {
        while network.with(0, client, |connection, now| connection.write(now, &[7; 65_536])).is_ready() {}
        network.run_for(Duration::from_millis(10));
        while network.read(1, server, &mut Vec::new()).is_ready() {}
    }
    let packets = stats(network, client).sender.sent_packets - before;
    packets as f64 * 1500.0 * 8.0 / 1e6
}

fn rates_mbits(seconds: u32, network: &mut Network, client: ConnectionHandle, server: ConnectionHandle) -> Vec<f64> {
    (0..seconds).map(|_| rate_mbits(network, client, server)).collect()
}

fn assert_near(rate: f64, expected: f64) {
    assert!((rate / expected - 1.0).abs() < 0.1, "{rate} instead of {expected} Mbit/s");
}

#[test]
fn bounds_hold_from_the_next_packet_on() {
    let fixed = ControllerKind::Fixed { bits_per_s: 4 * MBIT };
    let (mut network, client, server) = connected(1, sending(fixed).build().unwrap());
    assert_near(rate_mbits(&mut network, client, server), 4.0);
    network.with(0, client, |connection, now| connection.set_max_rate(now, Some(MBIT))).unwrap();
    assert_near(rate_mbits(&mut network, client, server), 1.0);
    let error = network.with(0, client, |connection, now| connection.set_min_rate(now, Some(2 * MBIT)));
    assert_eq!(error, Err(RateBoundsError { min_bits_per_s: 2 * MBIT, max_bits_per_s: MBIT }));
    assert_near(rate_mbits(&mut network, client, server), 1.0);
    network.with(0, client, |connection, now| connection.set_max_rate(now, None)).unwrap();
    network.with(0, client, |connection, now| connection.set_min_rate(now, Some(8 * MBIT))).unwrap();
    assert_near(rate_mbits(&mut network, client, server), 8.0);
    let error = network.with(0, client, |connection, now| connection.set_max_rate(now, Some(MBIT)));
    assert_eq!(error, Err(RateBoundsError { min_bits_per_s: 8 * MBIT, max_bits_per_s: MBIT }));
}

#[test]
fn a_tiny_bound_that_is_lifted_does_not_keep_the_next_packet_waiting() {
    let fixed = ControllerKind::Fixed { bits_per_s: 4 * MBIT };
    let (mut network, client, server) = connected(2, sending(fixed).build().unwrap());
    // One packet takes two minutes.
    network.with(0, client, |connection, now| connection.set_max_rate(now, Some(100))).unwrap();
    rate_mbits(&mut network, client, server);
    network.with(0, client, |connection, now| connection.set_max_rate(now, None)).unwrap();
    assert_near(rate_mbits(&mut network, client, server), 4.0);
}

#[test]
fn policies_of_one_controller_keep_what_it_knows() {
    let bounded = sending(ControllerKind::Fair).max_rate_bits_per_s(Some(40 * MBIT)).build().unwrap();
    let (mut network, client, server) = connected(3, bounded);
    rate_mbits(&mut network, client, server);
    rate_mbits(&mut network, client, server);
    for kind in [ControllerKind::Low, ControllerKind::High, ControllerKind::Fair] {
        let before = stats(&mut network, client);
        network.with(0, client, |connection, now| connection.set_controller(now, kind));
        let after = stats(&mut network, client);
        assert_eq!((before.sending_interval, after.controller), (after.sending_interval, kind));
        assert_near(rate_mbits(&mut network, client, server), 40.0);
    }
    let fixed = ControllerKind::Fixed { bits_per_s: 10 * MBIT };
    network.with(0, client, |connection, now| connection.set_controller(now, fixed));
    assert_near(rate_mbits(&mut network, client, server), 10.0);
}

#[test]
fn another_controller_begins_with_the_rate_of_the_last() {
    let bounded = sending(ControllerKind::Fair).max_rate_bits_per_s(Some(20 * MBIT)).build().unwrap();
    let (mut network, client, server) = connected(4, bounded);
    rate_mbits(&mut network, client, server);
    let kinds = [
        ControllerKind::Native,
        ControllerKind::Fair,
        ControllerKind::Cubic,
        ControllerKind::Native,
        ControllerKind::Cubic,
        ControllerKind::Low,
    ];
    for kind in kinds {
        network.with(0, client, |connection, now| connection.set_controller(now, kind));
        let rate = rate_mbits(&mut network, client, server);
        assert!((15.0..21.0).contains(&rate), "{kind:?}: {rate} Mbit/s");
    }
}

#[test]
fn nothing_is_lost_while_controllers_change_on_a_lossy_path() {
    let kinds = [
        ControllerKind::Native,
        ControllerKind::Fair,
        ControllerKind::Fixed { bits_per_s: 50 * MBIT },
        ControllerKind::High,
        ControllerKind::Cubic,
        ControllerKind::Native,
        ControllerKind::Low,
    ];
    let data = noise(3 << 20);
    let faults = Faults { loss: 0.03, duplicate: 0.01, late: 0.01, ..Faults::default() };
    let mut network = Network::new(5, faults);
    let bounded = sending(ControllerKind::Fair).max_rate_bits_per_s(Some(50 * MBIT)).build().unwrap();
    let (client, server) = network.establish(bounded, Config::default());
    let (mut written, mut received) = (0, Vec::new());
    for round in 0.. {
        while let Poll::Ready(taken) =
            network.with(0, client, |connection, now| connection.write(now, &data[written..]))
            && written < data.len()
        {
            written += taken.expect("the connection is open");
        }
        let kind = kinds[round % kinds.len()];
        network.with(0, client, |connection, now| connection.set_controller(now, kind));
        network.run_for(Duration::from_millis(37));
        while network.read(1, server, &mut received).is_ready() {}
        if received.len() == data.len() {
            break;
        }
        assert!(round < 2000, "hangs after {} bytes", received.len());
    }
    assert!(received == data);
}

#[test]
fn a_minimum_gives_way_to_loss_and_comes_back() {
    let fixed = ControllerKind::Fixed { bits_per_s: MBIT };
    let (mut network, client, server) =
        connected(6, sending(fixed).min_rate_bits_per_s(Some(8 * MBIT)).build().unwrap());
    assert_near(rate_mbits(&mut network, client, server), 8.0);
    network.faults.loss = 0.4;
    rate_mbits(&mut network, client, server);
    let rate = rates_mbits(4, &mut network, client, server).into_iter().fold(0.0, f64::max);
    assert!(rate < 4.0, "{rate} Mbit/s");
    network.faults.loss = 0.0;
    rates_mbits(5, &mut network, client, server);
    assert_near(rate_mbits(&mut network, client, server), 8.0);
}

/// Whatever the policy, also at a fixed rate.
#[test]
fn a_path_that_loses_most_is_sent_less_and_less() {
    let fixed = ControllerKind::Fixed { bits_per_s: 8 * MBIT };
    let (mut network, client, server) = connected(7, sending(fixed).build().unwrap());
    assert_near(rate_mbits(&mut network, client, server), 8.0);
    network.faults.loss = 0.7;
    rates_mbits(9, &mut network, client, server);
    // Four packets in each round-trip of 20 ms are always allowed: 2.4 Mbit/s.
    assert_near(rate_mbits(&mut network, client, server), 2.4);
    network.faults.loss = 0.0;
    rates_mbits(40, &mut network, client, server);
    assert_near(rate_mbits(&mut network, client, server), 8.0);
}
