//! Each row of the table in specification section 10.2, against a live connection and its endpoint: what makes libudt
//! crash, hang or give up is counted here, and the transfer goes on.

use std::time::Duration;

use super::network::noise;
use super::puppet::{self, Puppet, acks, controls, data_packets, handshake_in, peer_handshake, receive_nak};
use crate::packet::{Control, Handshake, RequestType};
use crate::seq::{AckNumber, MsgNumber};
use crate::{Config, ConnectionError, Event, Handshaken, Path, Route};

fn config() -> Config {
    Config::default()
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A control packet with any CIF.
fn raw(kind: u32, info: u32, destination: u32, cif: &[u8]) -> Vec<u8> {
    let mut datagram = bytes(&[1 << 31 | kind << 16, info, 0, destination]);
    datagram.extend_from_slice(cif);
    datagram
}

/// A connection with 16 packets in flight and 3 received.
fn busy() -> Puppet {
    let mut puppet = Puppet::connected(config());
    puppet.write(&noise(16 * 1456 - 1));
    puppet.pass(Duration::from_millis(1));
    assert_eq!(puppet.connection.stats(puppet.now).in_flight_packets, 16);
    puppet.receive_data(0..3);
    puppet
}

/// The connection still works, both ways.
fn assert_alive(puppet: &mut Puppet) {
    assert!(!puppet.events.iter().any(|event| matches!(event, Event::Closed(_))), "{:?}", puppet.events);
    puppet.receive(&puppet.ack(77, 16, 8192));
    assert_eq!(puppet.connection.stats(puppet.now).in_flight_packets, 0);
    puppet.receive_datagram(&puppet.data(3, b"end"));
    assert!(puppet.read().ends_with(b"end"));
    let mut sent = puppet.write(b"more");
    sent.extend(puppet.pass_for(Duration::from_secs(1)));
    assert!(data_packets(&sent).contains(&(puppet.isn.add(16), 4)), "{:?}", data_packets(&sent));
}

fn malformed(puppet: &Puppet) -> u64 {
    puppet.connection.stats(puppet.now).malformed_packets
}

fn invalid_entries(puppet: &Puppet) -> u64 {
    puppet.connection.stats(puppet.now).sender.invalid_entries
}

#[test]
fn datagrams_shorter_than_a_header_are_nobodys() {
    let mut puppet = busy();
    let whole = puppet::encoded(&Control::KeepAlive, puppet.connection.id());
    for length in 0..16 {
        assert_eq!(puppet.endpoint.route(puppet.now, &whole[..length], puppet.peer), Route::Unclaimed);
        puppet.receive_datagram(&whole[..length]);
    }
    assert_eq!(malformed(&puppet), 15, "an empty batch holds no datagram at all");
    assert_alive(&mut puppet);
}

/// libudt takes anything for one (deviation 2).
#[test]
fn garbage_is_no_sign_of_life() {
    let mut puppet = Puppet::accepted(config());
    let whole =
        puppet::encoded(&Control::MessageDrop { message: MsgNumber::FIRST, first: puppet.isn, last: puppet.isn }, 1);
    for _ in 0..46 {
        puppet.receive_datagram(&whole[..20]);
        puppet.pass(Duration::from_secs(1));
    }
    assert!(puppet.events.contains(&Event::Closed(ConnectionError::PeerTimeout)), "{:?}", puppet.events);
}

#[test]
fn requests_of_another_length_are_ignored() {
    let mut puppet = Puppet::accepted(config());
    let whole = puppet::encoded(&Control::Handshake(peer_handshake()), 0);
    let path = Path { remote: puppet.peer, local: None };
    let mut reply = Vec::new();
    for length in (16..whole.len()).chain([whole.len() + 1, whole.len() + 4]) {
        let mut request = whole.clone();
        request.resize(length, 0);
        assert_eq!(puppet.endpoint.route(puppet.now, &request, puppet.peer), Route::Handshake);
        let outcome = puppet.endpoint.handle_handshake(puppet.now, &request, path, 1500, 0, &mut reply);
        assert!(matches!(outcome, Handshaken::Ignored) && reply.is_empty());
    }
    assert_eq!(puppet.endpoint.stats().malformed_requests, 50);
}

/// libudt reflects them, as whatever they are (deviation 3).
#[test]
fn other_types_addressed_to_id_0_are_ignored() {
    let mut puppet = Puppet::accepted(config());
    let request = puppet::encoded(&Control::Handshake(peer_handshake()), 0);
    let path = Path { remote: puppet.peer, local: None };
    let mut reply = Vec::new();
    for kind in [1, 2, 3, 4, 5, 6, 7, 8, 9, 0x7FFF] {
        let datagram = raw(kind, 0, 0, &request[16..]);
        let outcome = puppet.endpoint.handle_handshake(puppet.now, &datagram, path, 1500, 0, &mut reply);
        assert!(matches!(outcome, Handshaken::Ignored) && reply.is_empty());
    }
    let data = [&[0; 16], &request[16..]].concat();
    assert_eq!(puppet.endpoint.route(puppet.now, &data, puppet.peer), Route::Unclaimed);
}

#[test]
fn unknown_and_harmless_types_only_say_that_the_peer_is_there() {
    let mut puppet = busy();
    let id = puppet.connection.id();
    for kind in [4, 8, 9, 10, 0x1234, 0x7FFE, 0x7FFF] {
        for cif in [&[][..], &[0; 4], &[0xFF; 5], &[0xFF; 64]] {
            let sent = puppet.receive_datagram(&raw(kind, 4000, id, cif));
            assert!(
                controls(&sent).is_empty() && data_packets(&sent).is_empty(),
                "type {kind:x} was answered: {sent:x?}"
            );
        }
    }
    assert_eq!(malformed(&puppet), 0);
    assert_alive(&mut puppet);
}

#[test]
fn acks_that_are_neither_light_nor_full_are_malformed() {
    let mut puppet = busy();
    let (id, end) = (puppet.connection.id(), puppet.isn.add(16).value());
    let cif = bytes(&[end, 1, 1, 100]);
    for length in (0..4).chain(5..16) {
        let sent = puppet.receive_datagram(&raw(2, 1, id, &cif[..length]));
        assert!(sent.is_empty(), "{length}");
    }
    assert_eq!((malformed(&puppet), puppet.connection.stats(puppet.now).in_flight_packets), (15, 16));
    assert_alive(&mut puppet);
}

/// Deviation 1: libudt breaks the connection, after an ACK2.
#[test]
fn acks_beyond_what_was_sent_are_counted_and_not_answered() {
    let mut puppet = busy();
    for (count, beyond) in [17, 18, 1000, 1 << 20, (1 << 30) - 1].into_iter().enumerate() {
        let sent = puppet.receive(&puppet.ack(5, beyond, 8192));
        assert!(controls(&sent).is_empty(), "{sent:x?}");
        assert_eq!(invalid_entries(&puppet), count as u64 + 1);
    }
    // Half the circle away it counts as old: answered, and without effect.
    puppet.receive(&puppet.ack(6, 1 << 30, 8192));
    assert_eq!(puppet.connection.stats(puppet.now).in_flight_packets, 16);
    assert_alive(&mut puppet);
}

/// libudt takes them, and stalls (deviation 1).
#[test]
fn light_acks_beyond_what_was_sent_are_counted_and_ignored() {
    let mut puppet = busy();
    puppet.receive(&Control::LightAck { ack_seq: puppet.isn.add(17) });
    assert_eq!((invalid_entries(&puppet), puppet.connection.stats(puppet.now).in_flight_packets), (1, 16));
    // Within what was sent it is believed, and releases the buffer; a full ACK that it overtook does no harm.
    puppet.receive(&Control::LightAck { ack_seq: puppet.isn.add(16) });
    let stats = puppet.connection.stats(puppet.now);
    assert_eq!((stats.in_flight_packets, stats.send_buffer_used_bytes), (0, 0));
    puppet.receive(&puppet.ack(1, 5, 8192));
    assert_alive(&mut puppet);
}

/// The window of a full ACK may be smaller than the one before, and a light ACK may then pass its end.
#[test]
fn a_window_that_shrinks_below_what_is_in_flight_is_survived() {
    let mut puppet = busy();
    puppet.receive(&puppet.ack(1, 1, 2));
    puppet.receive(&Control::LightAck { ack_seq: puppet.isn.add(16) });
    assert_eq!(puppet.connection.stats(puppet.now).flow_window_packets, 0);
    // A window of 0 could never be seen to open: one packet is always allowed.
    puppet.receive(&puppet.ack(2, 16, 0));
    assert_eq!(puppet.connection.stats(puppet.now).flow_window_packets, 1);
    assert_alive(&mut puppet);
}

/// Deviation 1: libudt breaks the connection.
#[test]
fn nak_entries_that_are_backwards_or_beyond_what_was_sent_are_counted_and_skipped() {
    let mut puppet = busy();
    let isn = puppet.isn;
    let at = |offset: u32| isn.add(offset).value();
    let range = |first: u32, last: u32| [at(first) | 1 << 31, at(last)];
    let entries = [range(5, 4), range(3, 16), range(16, 20), range(0, 1 << 29)].concat();
    let entries = [&entries[..], &[at(16), at(1 << 20)]].concat();
    receive_nak(&mut puppet, &entries);
    assert_eq!((invalid_entries(&puppet), puppet.connection.stats(puppet.now).sender.lost_packets), (6, 0));
    // What is right beside them counts.
    receive_nak(&mut puppet, &[entries, vec![at(7)]].concat());
    assert_eq!((invalid_entries(&puppet), puppet.connection.stats(puppet.now).sender.lost_packets), (12, 1));
    assert_alive(&mut puppet);
}

#[test]
fn a_nak_that_ends_in_a_range_start_is_read_to_its_end_and_no_further() {
    let mut puppet = busy();
    let isn = puppet.isn;
    let at = |offset: u32| isn.add(offset).value();
    receive_nak(&mut puppet, &[at(3), at(5) | 1 << 31]);
    assert_eq!((invalid_entries(&puppet), puppet.connection.stats(puppet.now).sender.lost_packets), (1, 1));
    assert_alive(&mut puppet);
}

/// libudt counts it as congestion, too.
#[test]
fn a_nak_without_entries_is_malformed() {
    let mut puppet = busy();
    let before = puppet.connection.stats(puppet.now);
    for length in 0..4 {
        puppet.receive_datagram(&raw(3, 0, puppet.connection.id(), &[0; 4][..length]));
    }
    let after = puppet.connection.stats(puppet.now);
    assert_eq!(after.malformed_packets, 4);
    assert_eq!((after.sender.naks_received_packets, after.sending_interval), (0, before.sending_interval));
    assert_alive(&mut puppet);
}

/// libudt walks the range number by number, for seconds or for ever.
#[test]
fn drop_requests_with_wide_ranges_cost_nothing() {
    let mut puppet = busy();
    let isn = puppet.isn;
    let message = MsgNumber::FIRST;
    let (far, end) = (isn.add(1 << 29), crate::seq::Seq::new(0x7FFF_FFFF));
    for (first, last) in [(isn, far), (isn.add(3), end), (far, isn), (isn.add(9), isn.add(5)), (isn.sub(9), isn.sub(1))]
    {
        puppet.receive(&Control::MessageDrop { message, first, last });
    }
    puppet.receive_datagram(&raw(7, 1, puppet.connection.id(), &[0; 7]));
    let stats = puppet.connection.stats(puppet.now);
    assert_eq!((stats.receiver.invalid_entries, stats.malformed_packets), (5, 1));
    assert_alive(&mut puppet);
}

/// A stream has no messages to give up: libudt would leave a hole in it (deviation 4).
#[test]
fn a_drop_request_leaves_a_stream_as_it_is() {
    let mut puppet = busy();
    let isn = puppet.isn;
    puppet.receive(&Control::MessageDrop { message: MsgNumber::FIRST, first: isn, last: isn.add(8) });
    puppet.receive_data([6]);
    let sent = puppet.pass_for(Duration::from_secs(1));
    assert!(controls(&sent).iter().any(|control| matches!(control, Control::Nak(_))), "the gap is not missed");
    puppet.receive_data(3..6);
    assert_eq!(puppet.read().len(), 7 * 1456);
}

#[test]
fn short_handshakes_do_not_disturb_a_client_that_connects() {
    let mut puppet = Puppet::connecting(config());
    let request = handshake_in(&puppet.drain()[0]);
    let response = puppet::encoded(&Control::Handshake(Handshake { cookie: 7, ..request }), puppet.connection.id());
    for length in 16..64 {
        assert!(puppet.receive_datagram(&response[..length]).is_empty());
    }
    assert_eq!(malformed(&puppet), 48);
    let sent = puppet.receive_datagram(&response);
    assert_eq!(handshake_in(&sent[0]).request, RequestType::Conclusion);
}

#[test]
fn responses_with_values_that_crash_libudt_fail_the_attempt() {
    for values in [
        Handshake { mss_bytes: 0, ..peer_handshake() },
        Handshake { mss_bytes: 75, ..peer_handshake() },
        Handshake { window_packets: 0, ..peer_handshake() },
        Handshake { window_packets: u32::MAX, ..peer_handshake() },
        Handshake { socket_id: 0, ..peer_handshake() },
        Handshake { socket_id: 1 << 31, ..peer_handshake() },
    ] {
        let mut puppet = Puppet::connecting(config());
        let request = handshake_in(&puppet.drain()[0]);
        puppet.receive(&Control::Handshake(Handshake { cookie: 7, ..request }));
        let response = Handshake { isn: request.isn, request: RequestType::Conclusion, ..values };
        puppet.receive(&Control::Handshake(response));
        assert!(puppet.events.contains(&Event::Closed(ConnectionError::InvalidHandshake)), "{values:?}");
    }
}

#[test]
fn data_far_ahead_or_behind_is_dropped() {
    let mut puppet = busy();
    let window = 65_536;
    for offset in [3 + window, 3 + window + 1, 1 << 29, (1 << 31) - 1, (1 << 31) - 1000] {
        assert!(acks(&puppet.receive_data([offset])).is_empty());
    }
    let stats = puppet.connection.stats(puppet.now).receiver;
    assert_eq!((stats.out_of_window_packets, stats.duplicate_packets, stats.lost_packets), (3, 2, 0));
    assert_alive(&mut puppet);
}

#[test]
fn duplicate_data_is_dropped() {
    let mut puppet = busy();
    puppet.receive_data([0, 1, 2, 2, 1, 0]);
    assert_eq!(puppet.connection.stats(puppet.now).receiver.duplicate_packets, 6);
    assert_eq!(puppet.read().len(), 3 * 1456);
    puppet.receive(&Control::Ack2 { number: AckNumber::FIRST });
    assert_alive(&mut puppet);
}
