//! How many round-trips a short transfer takes from the first packet on: each one too many is felt on a long path.

use std::task::Poll;
use std::time::Duration;

use super::network::{Faults, Network, noise};
use crate::{Config, ConnectionHandle, ControllerKind, ListenLimits};

const RTT: Duration = Duration::from_millis(100);

/// When a client knew that it was connected, had the first bytes of the answer, and all of them.
#[derive(Debug)]
struct Times {
    connected: Duration,
    first: Duration,
    all: Duration,
}

/// A client asks as soon as it is connected, and a server answers at once with so many bytes.
fn ask(controller: ControllerKind, bytes: usize) -> Times {
    let mut network = Network::new(1, Faults { delay: RTT / 2, ..Faults::default() });
    let server = Config::builder().controller(controller).build().expect("valid");
    network.nodes[1].endpoint.listen(server, ListenLimits::default()).expect("the first listener");
    let begun = network.now;
    let client = network.connect(Config::default());
    network.run_until("the handshake", |network| !network.nodes[0].connections[&client].is_connecting());
    let since = |network: &Network| network.now - begun;
    let connected = since(&network);
    network.write(0, client, b"GET / HTTP/1.1\r\n\r\n");
    let accepted = network.nodes[1].accepted.pop_front().expect("the server accepts before the client knows");
    network.run_until("the request", |network| read(network, 1, accepted) > 0);
    let (content, mut written, mut received, mut first) = (noise(bytes), 0, 0, None);
    while received < bytes {
        while written < bytes
            && let Poll::Ready(taken) =
                network.with(1, accepted, |connection, now| connection.write(now, &content[written..]))
        {
            written += taken.expect("the connection is open");
        }
        assert!(network.step(network.now + Duration::from_secs(60)), "hangs after {received} bytes");
        received += read(&mut network, 0, client);
        if received > 0 {
            first = first.or_else(|| Some(since(&network)));
        }
    }
    Times { connected, first: first.expect("something arrived"), all: since(&network) }
}

fn read(network: &mut Network, node: usize, handle: ConnectionHandle) -> usize {
    let mut received = Vec::new();
    let _ = network.read(node, handle, &mut received);
    received.len()
}

/// The handshake takes two round-trips (the second brings the cookie back), the request and its first answer one: nobody
/// waits for a timer, an introduction or an acknowledgement.
#[test]
fn the_answer_begins_after_three_round_trips() {
    for controller in [ControllerKind::Fair, ControllerKind::Native, ControllerKind::Cubic] {
        let times = ask(controller, 1_000_000);
        assert_eq!((times.connected, times.first), (2 * RTT, 3 * RTT), "{controller:?}");
    }
}

/// What fits the first flight comes with its first packet.
#[test]
fn a_first_flight_takes_three_round_trips() {
    let times = ask(ControllerKind::Fair, 40_000);
    assert!(times.all <= 3 * RTT + Duration::from_millis(1), "{times:?}");
}

/// Questions and answers of one packet wait for no timer, nor do their acknowledgements, however long the connection was idle before.
#[test]
fn a_small_write_is_there_after_half_a_round_trip_and_acknowledged_after_one() {
    for controller in [ControllerKind::Fair, ControllerKind::Low, ControllerKind::Native, ControllerKind::Cubic] {
        let mut network = Network::new(2, Faults { delay: RTT / 2, ..Faults::default() });
        let config = || Config::builder().controller(controller).build().expect("valid");
        let (client, server) = network.establish(config(), config());
        let idle = Duration::from_millis(700);
        // 1456 bytes fill a packet exactly.
        let writes = [(200, idle), (1, Duration::ZERO), (300, Duration::ZERO), (1456, idle)];
        for ((node, from, to), (bytes, pause)) in
            [(0, client, server), (1, server, client)].into_iter().flat_map(|way| writes.map(|write| (way, write)))
        {
            network.run_for(pause);
            let begun = network.now;
            network.write(node, from, &noise(bytes));
            let mut arrived = 0;
            network.run_until("all of it", |network| {
                arrived += read(network, 1 - node, to);
                arrived == bytes
            });
            assert_eq!(network.now - begun, RTT / 2, "{controller:?}: {bytes} bytes after {pause:?}");
            network.run_until("its acknowledgement", |network| {
                let now = network.now;
                network.connection(node, from).stats(now).send_buffer_used_bytes == 0
            });
            assert_eq!(network.now - begun, RTT, "{controller:?}: {bytes} bytes after {pause:?}");
        }
    }
}
