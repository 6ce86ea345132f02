//! The pitfalls of specification section 10, by number. Those that are missing here have their test beside the code that
//! they are about: the table in docs/deviations.md has all of them.

use std::net::SocketAddr;
use std::time::Duration;

use super::network::{Faults, Network, is_control, noise};
use super::puppet::{self, Puppet, acks, controls, data_packets, handshake_in, peer_handshake};
use crate::packet::{AckRates, Control, FullAck, Handshake, RequestType};
use crate::seq::AckNumber;
use crate::{
    Config, ConnectionError, ControllerKind, Event, Handshaken, ListenLimits, MIN_WINDOW_PACKETS, Path, Route,
};

/// Under libudt's own control, whose windows these tests count on.
fn config() -> Config {
    Config::builder().controller(ControllerKind::Native).build().expect("a valid configuration")
}

fn word(datagram: &[u8], index: usize) -> u32 {
    u32::from_be_bytes(datagram[4 * index..4 * index + 4].try_into().expect("four bytes"))
}

#[test]
fn pitfall_1_a_full_packet_carries_mss_less_44_bytes_over_ipv4_and_ipv6() {
    for address in ["192.0.2.9:9000", "[2001:db8::9]:9000"] {
        let address: SocketAddr = address.parse().expect("an address");
        let mut puppet = Puppet::connected_to(config(), address);
        let sent = puppet.write(&noise(20_000));
        assert_eq!(sent.iter().map(Vec::len).max(), Some(1500 - 28));
        assert_eq!(data_packets(&sent)[0].1, 1456);
    }
}

#[test]
fn pitfall_2_acks_name_the_next_packet_and_ranges_include_their_end() {
    let mut puppet = Puppet::accepted(config());
    let isn = puppet.isn;
    let sent = puppet.receive_data([0, 1, 2, 6, 8]);
    let naks: Vec<_> = sent.iter().filter(|datagram| word(datagram, 0) >> 16 == 0x8003).collect();
    assert_eq!((word(naks[0], 4), word(naks[0], 5)), (isn.add(3).value() | 1 << 31, isn.add(5).value()));
    let later = puppet.pass_for(Duration::from_millis(11));
    assert_eq!(acks(&later).last().map(|ack| ack.ack_seq), Some(isn.add(3)));
    let nak = later.iter().find(|datagram| word(datagram, 0) >> 16 == 0x8003).expect("the second gap");
    assert_eq!((nak.len(), word(nak, 4)), (20, isn.add(7).value()));

    // And the other way: what is NAKed goes out again, the end of the range included, and an ACK releases what is before it.
    let mut puppet = Puppet::connected(config());
    let isn = puppet.isn;
    puppet.write(&noise(16 * 1456 - 1));
    puppet.pass(Duration::from_millis(30));
    let sent = puppet::receive_nak(&mut puppet, &[isn.add(3).value() | 1 << 31, isn.add(5).value()]);
    // At 16 packets per second: that is where libudt's control ends its slow start before it knows better.
    let later = puppet.pass_for(Duration::from_millis(200));
    let mut again: Vec<_> = data_packets(sent.iter().chain(&later)).into_iter().map(|(seq, _)| seq).collect();
    again.retain(|&seq| seq != isn && seq != isn.add(15));
    assert_eq!(again, [isn.add(3), isn.add(4), isn.add(5)], "besides the probes, the first and the newest");
    puppet.receive(&puppet.ack(1, 5, 8192));
    assert_eq!(puppet.connection.stats(puppet.now).in_flight_packets, 11);
}

#[test]
fn pitfall_3_both_forms_of_full_acks_are_answered_and_light_ones_are_not() {
    let mut puppet = Puppet::connected(config());
    puppet.write(&noise(10_000));
    puppet.pass(Duration::from_millis(1));
    let full = |number, packets, rates| {
        let ack_seq = puppet.isn.add(packets);
        let number = AckNumber::new(number);
        Control::Ack(FullAck { number, ack_seq, rtt_us: 1, rtt_var_us: 1, available_packets: 99, rates, tail: &[] })
    };
    let rates = AckRates { arrival_speed_packets_per_s: 1, link_capacity_packets_per_s: 1 };
    let (short, long) = (full(1, 1, None), full(2, 2, Some(rates)));
    for (number, ack) in [(1, short), (2, long)] {
        let sent = puppet.receive(&ack);
        assert!(controls(&sent).contains(&Control::Ack2 { number: AckNumber::new(number) }), "{ack:?}");
    }
    let sent = puppet.receive(&Control::LightAck { ack_seq: puppet.isn.add(3) });
    assert!(!controls(&sent).iter().any(|control| matches!(control, Control::Ack2 { .. })));
    assert_eq!(puppet.connection.stats(puppet.now).flow_window_packets, 98);
}

/// That both lengths mean the same is frozen by `tests/forward_compatibility.rs`.
#[test]
fn pitfall_4_empty_control_packets_are_sent_with_a_pad_word_and_taken_without() {
    let mut puppet = Puppet::accepted(config());
    let sent = puppet.pass(Duration::from_millis(1100));
    let keep_alive = sent.iter().find(|(_, datagram)| word(datagram, 0) == 0x8001_0000).expect("a keep-alive");
    assert_eq!((keep_alive.1.len(), word(&keep_alive.1, 4)), (20, 0));

    let mut puppet = Puppet::half_open(config());
    let id = puppet.connection.id();
    let bare: Vec<u8> = [0x8001_0000, 0, 0, id].iter().flat_map(|word| word.to_be_bytes()).collect();
    puppet.receive_datagram(&bare);
    assert!(!data_packets(&puppet.write(b"x")).is_empty(), "16 bytes were not taken for a sign of life");
}

#[test]
fn pitfall_5_control_packets_carry_no_time() {
    let faults = Faults { loss: 0.05, filter: Box::new(every_control_stamp_is_zero), ..Faults::default() };
    let mut network = Network::new(50, faults);
    let (client, server) = network.establish(config(), config());
    network.transfer(&noise(300_000), (0, client), (1, server)).expect("a clean end");
}

fn every_control_stamp_is_zero(_: usize, datagram: &[u8]) -> bool {
    assert!(datagram[0] & 0x80 == 0 || word(datagram, 2) == 0, "{datagram:x?}");
    false
}

/// Its other half, that a refusal ends the attempt, is tested beside the handshake.
#[test]
fn pitfall_7_a_refused_client_that_carries_on_gets_nothing() {
    let mut network = Network::new(7, Faults::default());
    network.nodes[1].endpoint.listen(config(), ListenLimits::default()).expect("the first listener");
    let (now, from) = (network.now, network.nodes[0].address);
    let path = Path { remote: from, local: None };
    let endpoint = &mut network.nodes[1].endpoint;
    let mut reply = Vec::new();
    let wrong_type = Handshake { socket_type: crate::packet::SocketType::DGRAM, ..peer_handshake() };
    let induction = puppet::encoded(&Control::Handshake(wrong_type), 0);
    endpoint.handle_handshake(now, &induction, path, 1500, 0, &mut reply);
    let conclusion = Handshake { request: RequestType::Conclusion, ..handshake_in(&reply) };
    let conclusion = puppet::encoded(&Control::Handshake(conclusion), 0);
    assert!(matches!(endpoint.handle_handshake(now, &conclusion, path, 1500, 0, &mut reply), Handshaken::Reply));
    assert_eq!(handshake_in(&reply).request, RequestType::REFUSED);
    // libudt takes the socket id of the refusal, its own, for that of its peer.
    let keep_alive = puppet::encoded(&Control::KeepAlive, puppet::PEER_ID);
    assert_eq!(endpoint.route(now, &keep_alive, from), Route::Unclaimed);
    assert_eq!(endpoint.connections(), 0);
}

/// Keyed cookies are tested in `cookie.rs`, the fallback to induction in `connection/handshake.rs`; here over the wire.
#[test]
fn pitfall_8_a_cookie_that_a_libudt_listener_has_forgotten_is_asked_for_again() {
    let mut puppet = Puppet::connecting(config());
    let request = handshake_in(&puppet.drain()[0]);
    puppet.receive(&Control::Handshake(Handshake { cookie: 1, ..request }));
    let sent = puppet.pass(Duration::from_millis(1000));
    let requests: Vec<_> = sent.iter().map(|(_, datagram)| handshake_in(datagram)).collect();
    let anew = requests.iter().find(|request| request.request == RequestType::Induction).expect("a new induction");
    assert_eq!((anew.cookie, anew.isn), (0, request.isn));
    puppet.receive(&Control::Handshake(Handshake { cookie: 2, ..request }));
    let response = Handshake { isn: request.isn, request: RequestType::Conclusion, ..peer_handshake() };
    puppet.receive(&Control::Handshake(response));
    assert!(puppet.events.contains(&Event::Connected));
}

/// libudt compares the ISN and two bits of the id.
#[test]
fn pitfall_8_clients_with_equal_isn_and_similar_ids_are_told_apart() {
    let mut puppet = Puppet::half_open(config());
    let path = Path { remote: puppet.peer, local: None };
    let mut reply = Vec::new();
    for socket_id in [puppet::PEER_ID + 4, puppet::PEER_ID + 8] {
        let request = Handshake { socket_id, isn: puppet.isn, ..peer_handshake() };
        let induction = puppet::encoded(&Control::Handshake(request), 0);
        puppet.endpoint.handle_handshake(puppet.now, &induction, path, 1500, 0, &mut reply);
        let conclusion = Handshake { request: RequestType::Conclusion, ..handshake_in(&reply) };
        let conclusion = puppet::encoded(&Control::Handshake(conclusion), 0);
        let outcome = puppet.endpoint.handle_handshake(puppet.now, &conclusion, path, 1500, 0, &mut reply);
        assert!(matches!(outcome, Handshaken::Accepted(..)), "{outcome:?}");
    }
}

#[test]
fn pitfall_9_no_window_below_32_is_announced_and_none_of_0_is_taken() {
    let smallest = Config::builder().flow_window_packets(32).receive_buffer_bytes(48 << 10).mss_bytes(65_535);
    let mut puppet = Puppet::connecting(smallest.build().expect("a valid configuration"));
    let request = handshake_in(&puppet.drain()[0]);
    assert_eq!(request.window_packets, MIN_WINDOW_PACKETS);
    puppet.receive(&Control::Handshake(Handshake { cookie: 1, ..request }));
    let response =
        Handshake { isn: request.isn, request: RequestType::Conclusion, window_packets: 0, ..peer_handshake() };
    puppet.receive(&Control::Handshake(response));
    assert!(puppet.events.contains(&Event::Closed(ConnectionError::InvalidHandshake)));
}

#[test]
fn pitfall_10_no_ack_advertises_more_than_the_handshake_announced() {
    let server = Config::builder().flow_window_packets(64).build().expect("a valid configuration");
    let filter = |from: usize, datagram: &[u8]| {
        let is_wide = |control: &Control<'_>| matches!(control, Control::Ack(ack) if ack.available_packets > 64);
        assert!(from == 0 || !is_control(datagram, is_wide), "a wider window");
        false
    };
    let mut network = Network::new(10, Faults { loss: 0.01, filter: Box::new(filter), ..Faults::default() });
    let (client, server) = network.establish(config(), server);
    network.transfer(&noise(500_000), (0, client), (1, server)).expect("a clean end");
}

#[test]
fn pitfall_11_absurd_windows_and_sizes_cost_no_memory() {
    for (window_packets, mss_bytes, is_taken) in
        [(1 << 30, 1500, true), (u32::MAX, 1500, false), (8192, 44, false), (8192, u32::MAX, true), (8192, 75, false)]
    {
        let mut puppet = Puppet::connecting(config());
        let request = handshake_in(&puppet.drain()[0]);
        puppet.receive(&Control::Handshake(Handshake { cookie: 1, ..request }));
        let isn = request.isn;
        let values = Handshake { window_packets, mss_bytes, ..peer_handshake() };
        puppet.receive(&Control::Handshake(Handshake { isn, request: RequestType::Conclusion, ..values }));
        assert_eq!(puppet.events.contains(&Event::Connected), is_taken, "{window_packets} {mss_bytes}");
        let stats = puppet.connection.stats(puppet.now);
        assert!(stats.mss_bytes <= 1500 && stats.send_buffer_used_bytes == 0 && stats.receive_buffer_used_bytes == 0);
    }
}

#[test]
fn pitfall_12_isns_are_random_and_both_directions_start_at_the_clients() {
    let isns: Vec<_> = (0..4).map(|_| handshake_in(&Puppet::connecting(config()).drain()[0]).isn).collect();
    assert!(isns.iter().all(|&isn| isn == isns[0]), "the same seed, the same number");
    let mut endpoint = crate::Endpoint::new(crate::EndpointConfig::default(), [3; 32]);
    let path = Path { remote: puppet::peer_address(), local: None };
    let mut drawn = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let (_, mut connection) = endpoint.connect(crate::tests::epoch(), path, config()).expect("room");
        let mut scratch = Vec::new();
        connection.poll_transmit(crate::tests::epoch(), 1, &mut scratch).expect("a request");
        drawn.insert(handshake_in(&scratch).isn.value());
    }
    assert_eq!(drawn.len(), 50);

    let mut puppet = Puppet::accepted(config());
    let isn = puppet.isn;
    assert_eq!(data_packets(&puppet.write(b"from the server"))[0].0, isn);
    puppet.receive_data([0]);
    assert_eq!(puppet.read().len(), 1456);
}

/// The wrap itself: `tests/streams.rs` and `connection/loss_list.rs`.
#[test]
fn pitfall_13_a_loss_that_spans_the_wrap_is_repaired() {
    for isn in [0x7FFF_FF00, 0x7FFF_FFFE, 0x7FFF_FFFF, 0] {
        let config = Config::builder().initial_seq(Some(isn)).build().expect("a valid configuration");
        let mut puppet = Puppet::accepted(config);
        puppet.receive_data([0]);
        puppet.receive_data([300]);
        puppet.receive_data(1..300);
        assert_eq!(puppet.read().len(), 301 * 1456);
    }
}

#[test]
fn pitfall_14_the_first_packets_after_a_connect_may_vanish() {
    let mut network = Network::new(14, Faults::default());
    let (client, server) = network.establish(config(), config());
    let vanish_until = network.now + Duration::from_millis(40);
    let written = network.with(1, server, |connection, now| connection.write(now, b"first"));
    assert!(written.is_ready());
    network.faults.filter = Box::new(|from, _| from == 1);
    network.run_for(vanish_until - network.now);
    network.faults.filter = Box::new(|_, _| false);
    let start = network.now;
    let mut received = Vec::new();
    network.run_until("the data", |network| network.read(0, client, &mut received).is_ready() && !received.is_empty());
    assert!(network.now - start < Duration::from_secs(1), "{:?}", network.now - start);
}

#[test]
fn pitfall_14_an_ack_that_vanished_is_repeated_until_it_is_confirmed() {
    let mut puppet = Puppet::accepted(config());
    let first = puppet.receive_datagram(&puppet.data(0, b"short"));
    assert_eq!(acks(&first).len(), 1);
    let sent = puppet.pass_for(Duration::from_secs(2));
    let repeats = acks(&sent);
    assert!(repeats.len() >= 2 && repeats.iter().all(|ack| ack.ack_seq == puppet.isn.add(1)), "{repeats:?}");
    let number = repeats[repeats.len() - 1].number;
    puppet.receive(&Control::Ack2 { number });
    assert!(acks(&puppet.pass_for(Duration::from_secs(5))).is_empty());
}
