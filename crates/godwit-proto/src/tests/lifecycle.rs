//! How a connection begins and ends: the hold after an accept, introductions, keep-alives, shutdowns and their loss.

use std::time::Duration;

use super::network::{Faults, Network, is_control, noise};
use super::puppet::{self, Puppet, controls, data_packets, handshake_in, peer_handshake};
use crate::packet::{Control, HEADER_BYTES, Handshake, RequestType};
use crate::{Config, Connection, ConnectionError, ConnectionHandle, ControllerKind, Event, Handshaken, Path, Route};

/// What one of our own ends says of itself (docs/wire-extensions.md).
const HELLO: Control<'static> = Control::User { extended_type: 0x6764, info: 1, body: &[0; 8] };
const HELLO_ANSWER: Control<'static> =
    Control::User { extended_type: 0x6764, info: 1, body: &[0, 0, 0, 0, 0, 0, 0, 1] };

/// Under libudt's own control, whose windows these tests count on.
fn config() -> Config {
    Config::builder().controller(ControllerKind::Native).build().expect("a valid configuration")
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Milliseconds at which something of this kind was sent.
fn times(sent: &[(Duration, Vec<u8>)], kind: impl Fn(&Control<'_>) -> bool) -> Vec<u128> {
    sent.iter().filter(|(_, datagram)| is_control(datagram, &kind)).map(|(at, _)| at.as_millis()).collect()
}

fn is_handshake(control: &Control<'_>) -> bool {
    matches!(control, Control::Handshake(_))
}

fn is_hello(control: &Control<'_>) -> bool {
    matches!(control, Control::User { extended_type: 0x6764, .. })
}

fn is_shutdown(control: &Control<'_>) -> bool {
    matches!(control, Control::Shutdown { .. })
}

/// Specification section 2.8, the first race: whatever reaches a libudt client before the response breaks its connect.
#[test]
fn after_an_accept_only_the_response_is_sent_three_times_until_the_client_is_heard() {
    let mut puppet = Puppet::half_open(config());
    let first = puppet.drain();
    assert!(first.len() == 1 && handshake_in(&first[0]).request == RequestType::Conclusion);
    assert!(puppet.write(&noise(3000)).is_empty(), "data during the hold");
    let sent = puppet.pass(ms(59));
    assert_eq!((times(&sent, is_handshake), sent.len()), (vec![30], 1));
    // Then it has waited long enough: the response a last time, and the data.
    let sent = puppet.pass(ms(2));
    assert_eq!(times(&sent, is_handshake), [1]);
    assert!(is_control(&sent[0].1, is_handshake), "the response goes first");
    assert_eq!(data_packets(sent.iter().map(|(_, datagram)| datagram)).len(), 3);
}

#[test]
fn a_repeated_conclusion_is_answered_again_and_the_hold_starts_anew() {
    let mut puppet = Puppet::half_open(config());
    let response = handshake_in(&puppet.drain()[0]);
    puppet.pass(ms(29));
    let request = Handshake { request: RequestType::Conclusion, cookie: response.cookie, ..peer_handshake() };
    let datagram = puppet::encoded(&Control::Handshake(request), 0);
    let path = Path { remote: puppet.peer, local: None };
    let mut reply = Vec::new();
    let outcome = puppet.endpoint.handle_handshake(puppet.now, &datagram, path, 1500, 0, &mut reply);
    assert!(matches!(outcome, Handshaken::Existing(handle) if handle.id() == puppet.connection.id()));
    // The driver hands such a datagram to the connection.
    let sent = puppet.receive_conclusion(&datagram);
    assert_eq!(sent.iter().map(|datagram| handshake_in(datagram)).collect::<Vec<_>>(), [response]);
    assert!(puppet.write(b"x").is_empty());
    assert_eq!(times(&puppet.pass(ms(59)), is_handshake), [30]);
    // Once the client is heard the hold is over, and there is nothing left to answer.
    assert_eq!(data_packets(&puppet.receive(&Control::KeepAlive)).len(), 1);
    assert!(puppet.receive_conclusion(&datagram).is_empty());
}

#[test]
fn a_cookie_of_the_period_before_still_lets_in_and_an_older_one_does_not() {
    for (age_s, is_taken) in [(1, true), (59, true), (61, true), (119, true), (121, false)] {
        let now = crate::tests::epoch();
        let mut endpoint = crate::Endpoint::new(crate::EndpointConfig::default(), [9; 32]);
        endpoint.listen(config(), crate::ListenLimits::default()).expect("the first listener");
        let path = Path { remote: puppet::peer_address(), local: None };
        let mut reply = Vec::new();
        let induction = puppet::encoded(&Control::Handshake(peer_handshake()), 0);
        endpoint.handle_handshake(now, &induction, path, 1500, 0, &mut reply);
        let conclusion = Handshake { request: RequestType::Conclusion, ..handshake_in(&reply) };
        let conclusion = puppet::encoded(&Control::Handshake(conclusion), 0);
        let later = now + Duration::from_secs(age_s);
        let outcome = endpoint.handle_handshake(later, &conclusion, path, 1500, 0, &mut reply);
        assert_eq!(matches!(outcome, Handshaken::Accepted(..)), is_taken, "after {age_s} s");
        assert_eq!(endpoint.stats().bad_cookies, u64::from(!is_taken));
    }
}

/// A libudt never answers: four introductions, and it counts as a libudt.
#[test]
fn an_introduction_that_is_not_answered_is_given_up() {
    let mut puppet = Puppet::connecting(config());
    let request = handshake_in(&puppet.drain()[0]);
    puppet.receive(&Control::Handshake(Handshake { cookie: 7, ..request }));
    let response = Handshake { isn: request.isn, request: RequestType::Conclusion, ..peer_handshake() };
    let first = puppet.receive(&Control::Handshake(response));
    assert_eq!(controls(&first).iter().filter(|control| is_hello(control)).count(), 1);
    let sent = puppet.pass(Duration::from_secs(20));
    assert_eq!(times(&sent, is_hello), [0, 400, 1200]);
    assert!(!puppet.connection.stats(puppet.now).is_peer_godwit);
    let keep_alives = times(&sent, |control| matches!(control, Control::KeepAlive));
    assert!(keep_alives.len() >= 18, "one per second towards libudt: {keep_alives:?}");
}

#[test]
fn an_introduction_is_answered_each_time_and_an_answer_is_not() {
    let mut puppet = Puppet::accepted(config());
    for _ in 0..3 {
        assert_eq!(controls(&puppet.receive(&HELLO)), [HELLO_ANSWER]);
    }
    assert!(controls(&puppet.receive(&HELLO_ANSWER)).is_empty());
    assert!(puppet.connection.stats(puppet.now).is_peer_godwit);
    let sent = puppet.pass(Duration::from_secs(31));
    assert_eq!(times(&sent, |control| matches!(control, Control::KeepAlive)), [10_000, 20_000, 30_000]);
}

#[test]
fn an_idle_connection_wakes_up_only_for_its_keep_alives() {
    let mut puppet = Puppet::accepted(config());
    puppet.receive(&HELLO);
    puppet.pass(ms(2000));
    let mut wakeups = 0;
    for _ in 0..10 {
        let end = puppet.now + ms(10_000);
        while let Some(next) = puppet.connection.poll_timeout().filter(|&next| next <= end) {
            puppet.now = next;
            puppet.connection.handle_timeout(next);
            puppet.drain();
            wakeups += 1;
        }
        puppet.now = end;
        puppet.receive(&Control::KeepAlive);
    }
    assert_eq!(wakeups, 10, "in 100 s, with a peer that is there");
}

#[test]
fn keep_alives_of_many_connections_leave_together_and_none_late() {
    let mut network = Network::new(53, Faults::default());
    network.establish(config(), config());
    for _ in 0..99 {
        network.connect(config());
        network.run_for(ms(37));
    }
    network.run_for(ms(2000));
    for _ in 0..100 {
        network.run_for(ms(777));
        for node in &network.nodes {
            let dues: Vec<_> = node.connections.values().filter_map(Connection::poll_timeout).collect();
            let last = *dues.iter().max().expect("connections");
            assert!(dues.len() == 100 && last <= network.now + ms(10_000));
            assert!(dues.iter().all(|&due| (last - due).as_nanos() % 100_000_000 == 0), "each on a tick");
        }
    }
}

/// Later versions add words, and say so in the version; what is shorter, or another application's, is none.
#[test]
fn introductions_of_later_versions_count_and_foreign_ones_do_not() {
    let longer = Control::User { extended_type: 0x6764, info: 2, body: &[0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9] };
    let short = Control::User { extended_type: 0x6764, info: 1, body: &[0; 7] };
    let foreign = Control::User { extended_type: 0x6765, info: 1, body: &[0; 8] };
    for (hello, counts) in [(longer, true), (short, false), (foreign, false)] {
        let mut puppet = Puppet::accepted(config());
        puppet.receive(&hello);
        assert_eq!(puppet.connection.stats(puppet.now).is_peer_godwit, counts, "{hello:?}");
    }
}

#[test]
fn when_all_introductions_are_lost_the_connection_works_all_the_same() {
    for lost_from in [0, 1] {
        let mut network = Network::new(51, Faults::default());
        network.faults.filter = Box::new(move |from, datagram| from == lost_from && is_control(datagram, is_hello));
        let (client, server) = network.establish(config(), config());
        network.run_for(Duration::from_secs(5));
        let now = network.now;
        assert!(!network.connection(0, client).stats(now).is_peer_godwit);
        let data = noise(300_000);
        assert!(network.transfer(&data, (0, client), (1, server)).expect("a clean end") == data);
    }
}

#[test]
fn a_shutdown_is_sent_three_times_and_names_the_end() {
    let mut puppet = Puppet::connected(config());
    puppet.write(b"tail");
    puppet.receive(&puppet.ack(1, 1, 8192));
    puppet.connection.close(puppet.now);
    let end = Control::Shutdown { final_seq: Some(puppet.isn.add(1)) };
    assert_eq!(controls(&puppet.drain()), [end]);
    let sent = puppet.pass(Duration::from_secs(10));
    assert_eq!((times(&sent, is_shutdown), sent.len()), (vec![10, 30], 2), "soon, an RTT later, and then nothing");
    assert!(puppet.connection.is_drained());
}

/// libudt makes readable what it has acknowledged in full; a shutdown before that would cut the tail off.
#[test]
fn a_light_ack_of_everything_does_not_end_a_close() {
    let mut puppet = Puppet::connected(config());
    puppet.write(b"tail");
    puppet.connection.close(puppet.now);
    puppet.receive(&Control::LightAck { ack_seq: puppet.isn.add(1) });
    assert_eq!(puppet.connection.stats(puppet.now).in_flight_packets, 0);
    assert!(times(&puppet.pass(ms(500)), is_shutdown).is_empty());
    let sent = puppet.receive(&puppet.ack(1, 1, 8192));
    assert!(controls(&sent).iter().any(is_shutdown));
}

/// From libudt there is no final number: a shutdown with a gap below what was seen is a reset, otherwise an end.
#[test]
fn a_shutdown_of_libudt_after_a_gap_is_a_reset() {
    for (offsets, end) in [(vec![0, 1], ConnectionError::ClosedByPeer), (vec![0, 2], ConnectionError::Reset)] {
        let mut puppet = Puppet::accepted(config());
        puppet.receive_data(offsets);
        puppet.receive(&Control::Shutdown { final_seq: None });
        assert!(puppet.events.contains(&Event::Closed(end)));
        assert!(!puppet.read().is_empty(), "what arrived stays readable");
    }
}

/// Between our own ends the number says that a tail is missing though no gap was seen.
#[test]
fn a_shutdown_with_a_final_number_tells_a_lost_tail() {
    for (final_offset, end) in [(2, ConnectionError::ClosedByPeer), (3, ConnectionError::Reset)] {
        let mut puppet = Puppet::accepted(config());
        puppet.receive_data([0, 1]);
        puppet.receive(&Control::Shutdown { final_seq: Some(puppet.isn.add(final_offset)) });
        assert!(puppet.events.contains(&Event::Closed(end)));
    }
}

/// libudt would notice after 46 s.
#[test]
fn packets_for_a_dead_id_are_answered_with_a_shutdown() {
    let (mut network, client, server) = after_lost_shutdowns(Duration::from_secs(1));
    assert!(network.connection(0, client).is_drained());
    let start = network.now;
    let written = network.with(1, server, |connection, now| connection.write(now, b"are you there?"));
    assert!(written.is_ready());
    let closed =
        |network: &mut Network| network.nodes[1].events.iter().any(|event| matches!(event, (_, Event::Closed(_))));
    network.run_until("the answer", closed);
    assert!(network.now - start < ms(50), "{:?}", network.now - start);
}

/// One of our own ends that only reads says nothing but a keep-alive each 10 s.
#[test]
fn a_reader_that_missed_all_shutdowns_learns_of_the_end_by_its_keep_alive() {
    let (mut network, ..) = after_lost_shutdowns(Duration::from_secs(8));
    let start = network.now;
    let end = Event::Closed(ConnectionError::ClosedByPeer);
    network.run_until("the answer", |network| network.nodes[1].events.iter().any(|event| event.1 == end));
    assert!(network.now - start < Duration::from_secs(10), "{:?}", network.now - start);
}

/// A client has closed, and for so long none of its shutdowns has arrived.
fn after_lost_shutdowns(lost_for: Duration) -> (Network, ConnectionHandle, ConnectionHandle) {
    let mut network = Network::new(52, Faults::default());
    let (client, server) = network.establish(config(), config());
    network.run_for(Duration::from_secs(1));
    network.faults.filter = Box::new(|from, datagram| from == 0 && is_control(datagram, is_shutdown));
    network.with(0, client, Connection::close);
    network.run_for(lost_for);
    network.faults.filter = Box::new(|_, _| false);
    (network, client, server)
}

#[test]
fn a_dead_id_answers_only_its_peer_for_45_s_and_8_times() {
    let mut puppet = Puppet::accepted(config());
    let handle = puppet.handle();
    puppet.endpoint.remove(puppet.now, handle, puppet::PEER_ID);
    let packet = puppet::encoded(&Control::KeepAlive, handle.id());
    let mut reply = Vec::new();
    let stranger = "192.0.2.98:9000".parse().expect("an address");
    assert_eq!(puppet.endpoint.route(puppet.now, &packet, stranger), Route::Unclaimed);
    for answer in 0..10 {
        assert_eq!(puppet.endpoint.route(puppet.now, &packet, puppet.peer), Route::Closed(handle));
        assert_eq!(puppet.endpoint.closed_answer(handle, &mut reply), answer < 8);
    }
    let later = puppet.now + Duration::from_secs(45);
    assert_eq!(puppet.endpoint.route(later, &packet, puppet.peer), Route::Unclaimed);
}

/// One buffer of the kernel can hold packets for several connections, and a second protocol's.
#[test]
fn datagrams_that_come_together_are_routed_in_runs() {
    let mut puppet = Puppet::accepted(config());
    let (id, stride) = (puppet.connection.id(), puppet::encoded(&Control::KeepAlive, 1).len());
    let [ours, nobodys, request] = [id, id ^ 1, 0].map(|id| puppet::encoded(&Control::KeepAlive, id));
    let short = &ours[..HEADER_BYTES - 1];
    let together = [&ours, &ours, &nobodys, &ours, &request, &request, &nobodys, &nobodys].map(|one| &one[..]).concat();
    let together = [&together, short].concat();
    let mut at = 0;
    let mut runs = Vec::new();
    while at < together.len() {
        let (route, bytes) = puppet.endpoint.route_run(puppet.now, &together[at..], stride, puppet.peer);
        runs.push((route, bytes));
        at += bytes;
    }
    let (connection, asks, unclaimed) = (Route::Connection(puppet.handle()), Route::Handshake, Route::Unclaimed);
    let expected = [(connection, 2), (unclaimed, 1), (connection, 1), (asks, 1), (asks, 1)];
    let expected = expected.map(|(route, datagrams)| (route, datagrams * stride));
    assert_eq!(
        runs.split_off(5),
        [(unclaimed, 2 * stride + HEADER_BYTES - 1)],
        "what is shorter than a header is nobody's"
    );
    assert_eq!(runs, expected);
    assert_eq!(puppet.endpoint.route_run(puppet.now, &[], 0, puppet.peer), (unclaimed, 0));
}

/// A batch can hold packets behind the one that ends the connection.
#[test]
fn what_follows_a_shutdown_in_its_batch_is_ignored() {
    let mut puppet = Puppet::accepted(config());
    let shutdown = puppet::encoded(&Control::Shutdown { final_seq: None }, puppet.connection.id());
    let late = puppet.data(0, b"late");
    assert_eq!(shutdown.len(), late.len());
    puppet.receive_batch(&[shutdown, late].concat(), 20);
    assert!(puppet.events.contains(&Event::Closed(ConnectionError::ClosedByPeer)));
    assert_eq!(puppet.read(), b"");
}

#[test]
fn a_peer_that_never_acknowledges_ends_a_close_after_the_linger_time() {
    let short = Config::builder().linger(ms(700)).build().expect("a valid configuration");
    let mut puppet = Puppet::connected(short);
    puppet.write(b"never acknowledged");
    puppet.connection.close(puppet.now);
    let sent = puppet.pass(Duration::from_secs(5));
    assert_eq!(times(&sent, is_shutdown)[0], 700);
    assert!(puppet.events.contains(&Event::Closed(ConnectionError::LingerTimeout)));
}
