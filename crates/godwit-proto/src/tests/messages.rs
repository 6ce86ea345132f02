//! Messages from end to end: order, time to live, drop requests, and sizes.

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::network::{Faults, Network, is_control, noise};
use super::puppet::{PEER_ID, Puppet, controls};
use crate::packet::{Control, MessagePosition, Packet};
use crate::seq::MsgNumber;
use crate::{Config, Connection, ConnectionHandle, Event, MessageOptions, SocketType, WriteError};

const PLAIN: MessageOptions = MessageOptions { time_to_live: None, in_order: false };
const ORDERED: MessageOptions = MessageOptions { time_to_live: None, in_order: true };

fn config() -> Config {
    Config::builder().socket_type(SocketType::Datagram).build().expect("a valid configuration")
}

fn mortal(milliseconds: u64) -> MessageOptions {
    MessageOptions { time_to_live: Some(Duration::from_millis(milliseconds)), in_order: true }
}

fn network(seed: u8, faults: Faults) -> (Network, ConnectionHandle, ConnectionHandle) {
    let mut network = Network::new(seed, faults);
    let (client, server) = network.establish(config(), config());
    (network, client, server)
}

fn send(network: &mut Network, node: usize, handle: ConnectionHandle, data: &[u8], options: MessageOptions) {
    let sent = network.with(node, handle, |connection, now| connection.send_message(now, data, options));
    assert!(matches!(sent, Poll::Ready(Ok(()))), "{sent:?}");
}

fn receive(network: &mut Network, node: usize, handle: ConnectionHandle) -> Option<Bytes> {
    match network.with(node, handle, Connection::receive_message) {
        Poll::Ready(Ok(message)) => message,
        Poll::Ready(Err(error)) => panic!("{error}"),
        Poll::Pending => None,
    }
}

/// Lets time pass until a message is there.
fn wait(network: &mut Network, node: usize, handle: ConnectionHandle) -> Bytes {
    let mut message = None;
    network.run_until("a message", |network| {
        message = receive(network, node, handle);
        message.is_some()
    });
    message.expect("it has just been seen")
}

fn is_data(datagram: &[u8]) -> bool {
    matches!(Packet::decode(datagram), Ok(Packet::Data(_)))
}

fn is_drop_request(datagram: &[u8]) -> bool {
    is_control(datagram, |control| matches!(control, Control::MessageDrop { .. }))
}

/// Drops the first `count` datagrams of `from` that are of this kind.
fn lose_first(count: usize, from: usize, kind: fn(&[u8]) -> bool) -> super::network::Filter {
    let mut left = count;
    Box::new(move |node, datagram| {
        let is_lost = node == from && left > 0 && kind(datagram);
        left -= usize::from(is_lost);
        is_lost
    })
}

#[test]
fn messages_up_to_a_mebibyte_arrive_whole_under_loss() {
    for (seed, loss) in [(1, 0.0), (2, 0.01), (3, 0.05)] {
        let faults = Faults { loss, late: 0.01, duplicate: 0.01, ..Faults::default() };
        let (mut network, client, server) = network(seed, faults);
        let mut rng = StdRng::seed_from_u64(seed.into());
        let mut sizes = vec![1, 1455, 1456, 1457, 2912, 1 << 20, 64_064, 7, 1 << 20];
        sizes.extend((0..20).map(|_| rng.random_range(1..100_000)));
        for (index, &size) in sizes.iter().enumerate() {
            let (from, to) = if index % 2 == 0 { ((0, client), (1, server)) } else { ((1, server), (0, client)) };
            send(&mut network, from.0, from.1, &noise(size), ORDERED);
            let message = wait(&mut network, to.0, to.1);
            assert!(message == noise(size), "message of {size} bytes");
        }
    }
}

#[test]
fn messages_in_order_wait_for_those_before_and_others_overtake() {
    for (options, expected) in [(ORDERED, [1, 2, 3]), (PLAIN, [2, 3, 1])] {
        let (mut network, client, server) = network(4, Faults::default());
        network.faults.filter = lose_first(1, 0, is_data);
        for number in 1..=3 {
            send(&mut network, 0, client, &[number; 10], options);
        }
        let received = expected.map(|_| wait(&mut network, 1, server)[0]);
        assert_eq!(received, expected);
    }
}

/// libudt looks at the time to live before a retransmission only, and names one packet too many (pitfall 23).
#[test]
fn pitfall_23_a_drop_request_names_the_packets_of_the_message_and_no_other() {
    for bytes in [1, 1456, 1457, 100_000] {
        let (mut network, client, server) = network(5, Faults::default());
        send(&mut network, 0, client, b"before", ORDERED);
        assert_eq!(wait(&mut network, 1, server), "before");
        let mut ranges = Vec::new();
        network.faults.filter = Box::new(|from, datagram| from == 0 && is_data(datagram));
        send(&mut network, 0, client, &noise(bytes), mortal(50));
        network.run_for(Duration::from_millis(60));
        network.faults.tamper = Box::new(move |_, datagram| {
            if let Ok(Packet::Control(packet)) = Packet::decode(datagram)
                && let Control::MessageDrop { first, last, message } = packet.control
            {
                ranges.push((first.offset_to(last) + 1, message.value()));
                assert_eq!(ranges[0], (bytes.div_ceil(1456) as i32, 2));
            }
        });
        network.faults.filter = Box::new(|_, _| false);
        send(&mut network, 0, client, b"after", ORDERED);
        assert_eq!(wait(&mut network, 1, server), "after", "a message of {bytes} bytes was in the way");
        let now = network.now;
        assert_eq!(network.connection(0, client).stats(now).sender.dropped_messages, 1);
        assert_eq!(network.connection(1, server).stats(now).receiver.dropped_messages, 1);
    }
}

#[test]
fn a_message_that_expires_before_its_first_packet_is_given_up_at_once() {
    let slow = Config::builder().socket_type(SocketType::Datagram).max_rate_bits_per_s(Some(1_000_000));
    let mut network = Network::new(6, Faults::default());
    let (client, server) = network.establish(slow.build().expect("a valid configuration"), config());
    // 60 kB at 1 Mbit/s: half a second before the second one has its turn.
    send(&mut network, 0, client, &noise(60_000), ORDERED);
    send(&mut network, 0, client, &noise(1000), mortal(100));
    send(&mut network, 0, client, b"after", ORDERED);
    assert_eq!(wait(&mut network, 1, server), noise(60_000));
    let start = network.now;
    assert_eq!(wait(&mut network, 1, server), "after");
    assert!(network.now - start < Duration::from_millis(100), "{:?}", network.now - start);
    let now = network.now;
    assert_eq!(network.connection(0, client).stats(now).sender.dropped_messages, 1);
}

/// In both directions, and with nothing after the message that would show the gap.
#[test]
fn a_lost_drop_request_is_repeated() {
    for lost in [0, 1, 3] {
        for node in [0, 1] {
            let (mut network, client, server) = network(7, Faults::default());
            let (from, to) = if node == 0 { (client, server) } else { (server, client) };
            send(&mut network, node, from, b"before", ORDERED);
            assert_eq!(wait(&mut network, 1 - node, to), "before");
            network.run_for(Duration::from_millis(100));
            let mut left = lost;
            network.faults.filter = Box::new(move |sender, datagram| {
                let is_lost = sender == node && left > 0 && is_drop_request(datagram);
                left -= usize::from(is_lost);
                is_lost || (sender == node && is_data(datagram))
            });
            send(&mut network, node, from, &noise(3000), mortal(1));
            network.run_for(Duration::from_secs(8));
            let now = network.now;
            assert_eq!(network.connection(node, from).stats(now).in_flight_packets, 0, "{lost} lost, from {node}");
            network.faults.filter = Box::new(|_, _| false);
            send(&mut network, node, from, b"after", ORDERED);
            assert_eq!(wait(&mut network, 1 - node, to), "after");
            network.with(node, from, Connection::close);
            network.run_until("the flush", |network| network.nodes[node].events.contains(&(from, Event::Flushed)));
        }
    }
}

#[test]
fn messages_with_short_lives_arrive_whole_or_not_at_all() {
    for seed in 8..12 {
        let (mut network, client, server) = network(seed, Faults { loss: 0.1, late: 0.05, ..Faults::default() });
        let mut rng = StdRng::seed_from_u64(seed.into());
        let mut received = Vec::new();
        for number in 0..200_u32 {
            let size = rng.random_range(4..20_000);
            let options = if number % 10 == 9 { ORDERED } else { mortal(rng.random_range(1..60)) };
            let mut message = noise(size);
            message[..4].copy_from_slice(&number.to_be_bytes());
            send(&mut network, 0, client, &message, options);
            network.run_for(Duration::from_millis(rng.random_range(0..20)));
            received.extend(receive(&mut network, 1, server));
        }
        network.with(0, client, Connection::close);
        network.run_until("the flush", |network| network.nodes[0].events.contains(&(client, Event::Flushed)));
        received.extend(std::iter::from_fn(|| receive(&mut network, 1, server)));
        let numbers: Vec<_> = received.iter().map(|message| number_of(message)).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert!(
            (9..200).step_by(10).all(|number| numbers.contains(&number)),
            "an immortal one is missing: {numbers:?}"
        );
        for message in &received {
            assert!(message[4..] == noise(message.len())[4..]);
        }
        assert!(numbers.len() < 200, "nothing ever expired");
    }
}

fn number_of(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[..4].try_into().expect("four bytes"))
}

#[test]
fn a_message_larger_than_the_send_buffer_or_the_window_is_refused() {
    let small = Config::builder().socket_type(SocketType::Datagram).send_buffer_bytes(64 << 10);
    let mut network = Network::new(12, Faults::default());
    let (client, server) = network.establish(small.build().expect("a valid configuration"), config());
    let sent = network.with(0, client, |connection, now| connection.send_message(now, &noise(70_000), PLAIN));
    assert!(matches!(sent, Poll::Ready(Err(WriteError::MessageTooLarge { bytes: 70_000, .. }))), "{sent:?}");
    let sent = network.with(1, server, |connection, now| connection.send_message(now, &vec![0; 96 << 20], PLAIN));
    assert!(matches!(sent, Poll::Ready(Err(WriteError::MessageTooLarge { .. }))), "{sent:?}");
    send(&mut network, 0, client, &noise(60_000), PLAIN);
    assert_eq!(wait(&mut network, 1, server), noise(60_000));
}

/// libudt would deliver a part of it.
#[test]
fn a_message_larger_than_the_receive_buffer_is_lost_and_the_next_one_is_not() {
    let small = Config::builder().socket_type(SocketType::Datagram).receive_buffer_bytes(48 << 10);
    let small = small.build().expect("a valid configuration");
    let mut puppet = Puppet::accepted(small);
    let part = noise(1456);
    let number = MsgNumber::FIRST;
    // A peer that does not keep to the window: 100 packets into a buffer of 31.
    for round in 0..4 {
        for offset in 0..100 {
            let position = MessagePosition::of(offset, 100);
            puppet.receive_datagram(&puppet.message_packet(offset as u32, &part, position, number));
            puppet.pass(Duration::from_millis(1));
        }
        assert!(puppet.connection.pinned_bytes() <= 48 << 10, "round {round}");
    }
    puppet.receive_datagram(&puppet.message_packet(100, b"next", MessagePosition::Solo, number.next()));
    let message = puppet.connection.receive_message(puppet.now);
    assert!(matches!(&message, Poll::Ready(Ok(Some(bytes))) if bytes == "next"), "{message:?}");
    assert_eq!(puppet.connection.pinned_bytes(), 0);
}

/// What was lost before the range is still missing after it.
#[test]
fn a_drop_request_does_not_hide_the_gap_before_it() {
    let mut puppet = Puppet::accepted(config());
    let isn = puppet.isn;
    let message = MsgNumber::new(2);
    let mut sent = puppet.receive(&Control::MessageDrop { message, first: isn.add(5), last: isn.add(7) });
    sent.extend(puppet.pass_for(Duration::from_millis(20)));
    let naks = controls(&sent);
    let missing: Vec<_> = naks
        .iter()
        .filter_map(|control| match control {
            Control::Nak(report) => report.ranges().next(),
            _ => None,
        })
        .map(|range| (isn.offset_to(range.first), isn.offset_to(range.last)))
        .collect();
    assert_eq!(missing[0], (0, 4));
    for offset in 0..5 {
        puppet.receive_datagram(&puppet.message_packet(
            offset,
            b"x",
            MessagePosition::Solo,
            MsgNumber::new(offset + 3),
        ));
    }
    let sent = puppet.pass_for(Duration::from_millis(20));
    let last = controls(&sent).into_iter().rev().find_map(|control| match control {
        Control::Ack(ack) => Some(isn.offset_to(ack.ack_seq)),
        _ => None,
    });
    assert_eq!((last.unwrap_or(8), PEER_ID), (8, puppet.connection.peer_id()));
}

/// A reader of libudt that is told of the shutdown while it wakes up for the last message never gets it.
#[test]
fn libudt_gets_time_to_read_the_last_message_before_the_shutdown() {
    let mut puppet = Puppet::connected(config());
    let sent = puppet.connection.send_message(puppet.now, b"the last message", PLAIN);
    assert!(matches!(sent, Poll::Ready(Ok(()))), "{sent:?}");
    puppet.drain();
    puppet.connection.close(puppet.now);
    let is_shutdown = |control: &Control<'_>| matches!(control, Control::Shutdown { .. });
    let answers = puppet.receive(&puppet.ack(1, 1, 8192));
    assert!(!controls(&answers).iter().any(is_shutdown));
    let later = puppet.pass(Duration::from_secs(1));
    let first = later.iter().find(|(_, datagram)| controls([datagram]).iter().any(is_shutdown)).expect("a shutdown");
    assert_eq!(first.0, Duration::from_millis(50));
    assert!(puppet.events.contains(&Event::Flushed) && puppet.connection.is_drained());
}
