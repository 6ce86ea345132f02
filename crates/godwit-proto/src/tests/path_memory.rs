//! A connection begins with what the last one to the same host found out.

use std::time::Duration;

use super::network::{Faults, Network, noise};
use crate::{Config, Connection, ControllerKind, ListenLimits};

/// Node 0 connects once more and sends so much; what it knew of the path at its beginning.
fn send(network: &mut Network, controller: ControllerKind, bytes: usize) -> Option<f64> {
    let config =
        Config::builder().controller(controller).max_rate_bits_per_s(Some(100_000_000)).build().expect("valid");
    let client = network.connect(config);
    network.run_until("the handshake", |network| !network.nodes[0].connections[&client].is_connecting());
    let accepted = network.nodes[1].accepted.pop_front().expect("the server accepts before the client knows");
    let known = network.connection(0, client).remembered_bytes_per_s();
    let data = noise(bytes);
    assert!(network.transfer(&data, (0, client), (1, accepted)).expect("a clean end") == data);
    network.with(1, accepted, Connection::close);
    network.run_for(Duration::from_secs(2));
    known
}

#[test]
fn the_next_connection_to_a_host_knows_what_the_last_one_found() {
    let mut network = Network::new(1, Faults::default());
    network.nodes[1].endpoint.listen(Config::default(), ListenLimits::default()).expect("the first listener");
    assert_eq!(send(&mut network, ControllerKind::Native, 2_000_000), None);
    assert_eq!(send(&mut network, ControllerKind::Fair, 10_000), None, "native measures no path");
    assert_eq!(send(&mut network, ControllerKind::Fair, 2_000_000), None, "a few packets teach nothing");
    let known = send(&mut network, ControllerKind::Fair, 10_000).expect("two megabytes do");
    assert!((1e6..14e6).contains(&known), "{known} bytes/s of 12.5e6");
    network.run_for(Duration::from_secs(600));
    assert_eq!(send(&mut network, ControllerKind::Fair, 10_000), None, "after ten minutes it may be another path");
}
