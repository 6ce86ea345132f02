//! Paths that change the order: after the first times nothing is sent again that was only overtaken.

use std::time::Duration;

use super::network::{Faults, Network, is_control, noise};
use super::repair::never_repeats_naks;
use crate::congestion::ControllerKind;
use crate::packet::Control;
use crate::{Config, Stats};

/// Sends 8 MB of which 1 % of the packets are 3 ms late.
fn send(is_receiver_libudt: bool) -> Stats {
    let config = Config::builder().controller(ControllerKind::Fair).build().expect("a valid configuration");
    let mut network = Network::new(60, Faults { late: 0.01, delay: Duration::from_millis(20), ..Faults::default() });
    if is_receiver_libudt {
        let is_hello = |_: usize, datagram: &[u8]| is_control(datagram, |it| matches!(it, Control::User { .. }));
        network.faults.filter = Box::new(is_hello);
        network.faults.tamper = never_repeats_naks();
    }
    let (client, server) = network.establish(config.clone(), config);
    let data = noise(8_000_000);
    assert!(network.transfer(&data, (0, client), (1, server)).expect("a clean end") == data);
    let now = network.now;
    network.connection(0, client).stats(now)
}

#[test]
fn what_was_only_overtaken_is_hardly_sent_again() {
    let stats = send(false).sender;
    assert!(stats.sent_packets > 5400 && stats.retransmitted_packets <= 8, "to our own: {stats:?}");
    let stats = send(true).sender;
    assert!(stats.sent_packets > 5400 && stats.retransmitted_packets <= 8, "to libudt: {stats:?}");
}
