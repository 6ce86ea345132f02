//! Two peers that connect to each other, without a listener (specification section 2.9).

use std::time::Duration;

use super::network::{Faults, Network, is_control, noise};
use super::puppet::{self, Puppet, handshake_in, peer_handshake};
use crate::packet::{Control, Handshake, Packet, RequestType, SocketType};
use crate::seq::Seq;
use crate::{Config, ConfigBuilder, ConnectionError, ConnectionHandle, Event};

fn builder() -> ConfigBuilder {
    Config::builder().rendezvous(true)
}

fn config() -> Config {
    builder().build().expect("a valid configuration")
}

/// Both sides connect, the second one a little later, until both are there.
fn meet(network: &mut Network, first: Config, second: Config) -> (ConnectionHandle, ConnectionHandle) {
    let a = network.connect_from(0, first);
    network.run_for(Duration::from_millis(70));
    let b = network.connect_from(1, second);
    network.run_until("both", |network| {
        let is_there = |node: usize, handle| network.nodes[node].events.contains(&(handle, Event::Connected));
        is_there(0, a) && is_there(1, b)
    });
    (a, b)
}

fn assert_carries(network: &mut Network, a: ConnectionHandle, b: ConnectionHandle) {
    let data = noise(200_000);
    assert!(network.transfer(&data, (0, a), (1, b)).expect("a clean end") == data);
}

fn is_handshake(datagram: &[u8]) -> bool {
    is_control(datagram, |control| matches!(control, Control::Handshake(_)))
}

#[test]
fn each_handshake_datagram_may_be_lost() {
    for lost in 0..8 {
        let mut number = 0;
        let filter = move |_: usize, datagram: &[u8]| {
            let is_next = is_handshake(datagram);
            number += u32::from(is_next);
            is_next && number == lost + 1
        };
        let mut network = Network::new(31, Faults { filter: Box::new(filter), ..Faults::default() });
        let start = network.now;
        let (a, b) = meet(&mut network, config(), config());
        assert!(network.now - start < Duration::from_secs(2), "{lost}: {:?}", network.now - start);
        assert_carries(&mut network, a, b);
    }
}

#[test]
fn half_of_all_datagrams_may_be_lost() {
    for seed in 32..42 {
        let mut network = Network::new(seed, Faults { loss: 0.5, ..Faults::default() });
        meet(&mut network, config(), config());
    }
}

#[test]
fn the_smaller_mss_holds_for_both() {
    for (first, second) in [(1500, 1400), (1400, 1500)] {
        let with = |mss_bytes| builder().mss_bytes(mss_bytes).build().expect("a valid configuration");
        let filter = |_: usize, datagram: &[u8]| {
            assert!(datagram.len() <= 1372, "a datagram of {} bytes", datagram.len());
            false
        };
        let mut network = Network::new(43, Faults { filter: Box::new(filter), ..Faults::default() });
        let (a, b) = meet(&mut network, with(first), with(second));
        assert_carries(&mut network, a, b);
        let now = network.now;
        assert_eq!(network.connection(1, b).stats(now).mss_bytes, 1400);
    }
}

/// libudt takes the peer's MSS as it comes, so the smaller one has to be announced before it concludes.
#[test]
fn the_smaller_mss_is_announced_in_the_conclusion() {
    let mut puppet = Puppet::connecting(config());
    puppet.drain();
    let request = Handshake { request: RequestType::Rendezvous, mss_bytes: 1400, ..peer_handshake() };
    let sent = puppet.receive(&Control::Handshake(request));
    let conclusion = handshake_in(&sent[0]);
    assert_eq!((conclusion.request, conclusion.mss_bytes), (RequestType::Conclusion, 1400));
    assert_eq!(crate::packet::destination_id(&sent[0]), Some(puppet::PEER_ID));
}

#[test]
fn sequence_numbers_at_the_edges_of_their_range() {
    let edges = [0, 1, 0x7FFF_FFF0, 0x7FFF_FFFF];
    for (first, second) in edges.into_iter().zip(edges.into_iter().rev()) {
        let with = |seq| builder().initial_seq(Some(seq)).build().expect("a valid configuration");
        let mut network = Network::new(44, Faults { loss: 0.02, ..Faults::default() });
        let (a, b) = meet(&mut network, with(first), with(second));
        let data = noise(100_000);
        assert!(network.transfer(&data, (1, b), (0, a)).expect("a clean end") == data);
    }
}

/// As between two libudts: B, which has only sent its conclusion, learns from A's keep-alive that A is connected.
#[test]
fn a_keep_alive_completes_the_side_that_heard_no_conclusion() {
    let mut network = Network::new(45, Faults::default());
    let mut handshakes_of_a = 0;
    network.faults.filter = Box::new(move |from, datagram| {
        handshakes_of_a += u32::from(from == 0 && is_handshake(datagram));
        // After the request with which B gets to know it, A is heard only through other packets.
        from == 0 && is_handshake(datagram) && handshakes_of_a > 2
    });
    let start = network.now;
    let (a, b) = meet(&mut network, config(), config());
    assert!(network.now - start < Duration::from_secs(1), "{:?}", network.now - start);
    network.faults.filter = Box::new(|_, _| false);
    assert_carries(&mut network, a, b);
}

#[test]
fn data_completes_it_too_and_nothing_does_before_a_handshake() {
    let mut puppet = Puppet::connecting(config());
    puppet.drain();
    puppet.receive(&Control::KeepAlive);
    assert!(puppet.events.is_empty(), "{:?}", puppet.events);
    let request = Handshake { request: RequestType::Rendezvous, ..peer_handshake() };
    puppet.receive(&Control::Handshake(request));
    puppet.isn = Seq::new(1000);
    puppet.receive_datagram(&puppet.data(0, b"hello"));
    assert!(puppet.events.contains(&Event::Connected));
    assert_eq!(puppet.read(), b"hello");
}

/// Specification section 2.8: what reaches libudt while it completes a connection is lost. Only the keep-alive may be.
#[test]
fn the_first_data_waits_until_libudt_is_ready_for_it() {
    let mut puppet = Puppet::connecting(config());
    puppet.drain();
    puppet.receive(&Control::Handshake(Handshake { request: RequestType::Rendezvous, ..peer_handshake() }));
    let sent = puppet.receive(&Control::Handshake(Handshake { request: RequestType::Conclusion, ..peer_handshake() }));
    assert!(sent.iter().any(|datagram| is_control(datagram, |control| matches!(control, Control::KeepAlive))));
    assert!(puppet::data_packets(&puppet.write(b"hello")).is_empty());
    let later = puppet.pass(Duration::from_millis(100));
    let first = later.iter().find(|(_, datagram)| !puppet::data_packets([datagram]).is_empty()).expect("the data");
    assert_eq!(first.0, Duration::from_millis(20));
}

/// The minimal answer of a connected libudt: version and type 0, request -2.
#[test]
fn the_answer_of_a_connected_socket_completes_it() {
    let mut puppet = Puppet::connecting(config());
    puppet.drain();
    puppet.receive(&Control::Handshake(Handshake { request: RequestType::Rendezvous, ..peer_handshake() }));
    let answer =
        Handshake { version: 0, socket_type: SocketType(0), request: RequestType::Agreement, ..peer_handshake() };
    puppet.receive(&Control::Handshake(answer));
    assert!(puppet.events.contains(&Event::Connected));
    // A repeated conclusion of the peer is answered the same way, anything else not at all.
    let again = Handshake { request: RequestType::Conclusion, ..peer_handshake() };
    let sent = puppet.receive(&Control::Handshake(again));
    let ours = handshake_in(sent.iter().find(|datagram| is_handshake(datagram)).expect("an answer"));
    assert_eq!((ours.version, ours.socket_type, ours.request), (0, SocketType(0), RequestType::Agreement));
    let sent = puppet.receive(&Control::Handshake(answer));
    assert!(!sent.iter().any(|datagram| is_handshake(datagram)));
}

#[test]
fn requests_of_a_client_and_values_that_cannot_work_are_ignored() {
    let mut puppet = Puppet::connecting(config());
    puppet.drain();
    for wrong in [
        Handshake { request: RequestType::Induction, ..peer_handshake() },
        Handshake { request: RequestType::Rendezvous, mss_bytes: 44, ..peer_handshake() },
        Handshake { request: RequestType::Rendezvous, window_packets: 0, ..peer_handshake() },
        Handshake { request: RequestType::Rendezvous, socket_id: 0, ..peer_handshake() },
        Handshake { request: RequestType::Rendezvous, socket_type: SocketType::DGRAM, ..peer_handshake() },
    ] {
        assert!(puppet.receive(&Control::Handshake(wrong)).is_empty(), "{wrong:?}");
    }
    assert!(puppet.events.is_empty());
}

#[test]
fn nobody_comes_for_30_s() {
    let mut network = Network::new(46, Faults::default());
    let a = network.connect_from(0, config());
    let start = network.now;
    let timeout = (a, Event::Closed(ConnectionError::HandshakeTimeout));
    network.run_until("the timeout", |network| network.nodes[0].events.contains(&timeout));
    assert_eq!(network.now - start, Duration::from_secs(30));
    assert!((118..=122).contains(&network.datagrams), "{} requests", network.datagrams);
}

/// The other side is restarted while this one still waits: the new one counts.
#[test]
fn a_peer_that_starts_anew_is_met() {
    let mut network = Network::new(47, Faults::default());
    network.faults.filter = Box::new(|from, _| from == 0);
    let a = network.connect_from(0, config());
    let forgotten = network.connect_from(1, config());
    network.run_for(Duration::from_millis(100));
    network.nodes[1].connections.remove(&forgotten);
    let now = network.now;
    network.nodes[1].endpoint.remove(now, forgotten, 0);
    network.faults.filter = Box::new(|_, _| false);
    let b = network.connect_from(1, config());
    network.run_until("both", |network| {
        network.nodes[0].events.contains(&(a, Event::Connected))
            && network.nodes[1].events.contains(&(b, Event::Connected))
    });
    assert_carries(&mut network, a, b);
}

#[test]
fn datagrams_of_a_rendezvous_are_small_and_few() {
    let mut network = Network::new(48, Faults::default());
    network.faults.filter = Box::new(|_, datagram| {
        assert!(matches!(Packet::decode(datagram), Ok(Packet::Control(_))) && datagram.len() <= 64);
        false
    });
    meet(&mut network, config(), config());
    assert!(network.datagrams < 20, "{}", network.datagrams);
}
