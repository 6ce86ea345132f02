//! Streams from end to end: content, loss, windows, and how they end.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::BufMut as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::network::{Faults, Network, is_control, noise};
use super::puppet::Puppet;
use crate::error::ConnectionError;
use crate::packet::{Control, Packet};
use crate::{Config, Connection, Event};

fn config() -> Config {
    Config::default()
}

fn transfer(seed: u8, bytes: usize, faults: Faults, client: Config, server: Config, upwards: bool) {
    let data = noise(bytes);
    let mut network = Network::new(seed, faults);
    let (client, server) = network.establish(client, server);
    let (from, to) = if upwards { ((0, client), (1, server)) } else { ((1, server), (0, client)) };
    let received = network.transfer(&data, from, to).expect("a clean end");
    assert_eq!(received.len(), data.len());
    assert!(received == data, "the bytes differ");
}

#[test]
fn both_directions_and_every_size_around_a_packet() {
    for bytes in [1, 1455, 1456, 1457, 2911, 2912, 2913, 64_063, 64_064, 300_000] {
        for upwards in [true, false] {
            transfer(1, bytes, Faults::default(), config(), config(), upwards);
        }
    }
}

#[test]
fn loss_duplication_and_reordering_change_nothing() {
    for (seed, loss) in [(1, 0.001), (2, 0.01), (3, 0.05), (4, 0.2)] {
        let faults = Faults { loss, duplicate: 0.01, late: 0.02, ..Faults::default() };
        transfer(seed, 2 << 20, faults, config(), config(), seed % 2 == 0);
    }
}

#[test]
fn sequence_numbers_wrap() {
    for seq in [0, 1, 0x7FFF_FFF0, 0x7FFF_FFFF] {
        let client = Config::builder().initial_seq(Some(seq)).build().expect("a valid configuration");
        transfer(5, 200_000, Faults { loss: 0.02, ..Faults::default() }, client, config(), true);
    }
}

#[test]
fn the_smaller_mss_holds_for_both() {
    let small = Config::builder().mss_bytes(1400).build().expect("a valid configuration");
    transfer(6, 200_000, Faults::default(), small.clone(), config(), true);
    transfer(6, 200_000, Faults::default(), config(), small, true);
}

#[test]
fn each_handshake_datagram_may_be_lost() {
    for lost in 0..4 {
        let mut number = 0;
        let filter = move |_: usize, datagram: &[u8]| {
            let is_handshake = is_control(datagram, |control| matches!(control, Control::Handshake(_)));
            number += u32::from(is_handshake);
            is_handshake && number == lost + 1
        };
        transfer(7, 10_000, Faults { filter: Box::new(filter), ..Faults::default() }, config(), config(), false);
    }
}

/// Specification section 2.8: a libudt client that gets anything before the response never connects.
#[test]
fn a_server_says_nothing_but_its_response_until_the_client_is_heard() {
    let mut network = Network::new(8, Faults::default());
    network.nodes[1].endpoint.listen(config(), crate::ListenLimits::default()).expect("the first listener");
    let client = network.connect(config());
    network.run_until("the server", |network| !network.nodes[1].accepted.is_empty());
    let server = network.nodes[1].accepted.pop_front().expect("it has just been seen");
    let before = network.datagrams;
    network.with(1, server, |connection, now| connection.write(now, b"first")).map(Result::unwrap).is_ready();
    assert_eq!(network.datagrams, before, "data went out during the hold");
    let mut received = Vec::new();
    network.run_until("the data", |network| network.read(0, client, &mut received).is_ready() && !received.is_empty());
    assert_eq!(received, b"first");
}

#[test]
fn a_lost_shutdown_is_repeated() {
    let mut shutdowns = 0;
    let filter = move |_: usize, datagram: &[u8]| {
        let is_shutdown = is_control(datagram, |control| matches!(control, Control::Shutdown { .. }));
        shutdowns += u32::from(is_shutdown);
        is_shutdown && shutdowns <= 2
    };
    transfer(9, 10_000, Faults { filter: Box::new(filter), ..Faults::default() }, config(), config(), true);
}

/// Section 6, point 7: between our own ends a lost tail is a reset, not an end.
#[test]
fn an_abort_with_a_lost_tail_is_a_reset() {
    let mut network = Network::new(10, Faults::default());
    let (client, server) = network.establish(config(), config());
    let data = noise(1 << 20);
    network.write(0, client, &data[..500_000]);
    network.with(0, client, Connection::abort);
    let mut received = Vec::new();
    let end = loop {
        match network.read(1, server, &mut received) {
            Poll::Ready(Ok(true)) => {}
            Poll::Ready(end) => break end,
            Poll::Pending => network.run_for(Duration::from_millis(1)),
        }
    };
    assert_eq!(end, Err(ConnectionError::Reset));
}

#[test]
fn a_close_is_flushed_before_it_is_done() {
    let mut network = Network::new(11, Faults { loss: 0.05, ..Faults::default() });
    let (client, server) = network.establish(config(), config());
    network.write(0, client, &noise(50_000));
    network.with(0, client, Connection::close);
    network.run_until("the flush", |network| network.nodes[0].events.contains(&(client, Event::Flushed)));
    let mut received = Vec::new();
    while let Poll::Ready(Ok(true)) = network.read(1, server, &mut received) {}
    assert_eq!(received.len(), 50_000);
}

#[test]
fn a_slow_reader_stops_the_sender_and_starts_it_again() {
    let server = Config::builder().receive_buffer_bytes(100_000).build().expect("a valid configuration");
    let mut network = Network::new(12, Faults { loss: 0.01, ..Faults::default() });
    let (client, server) = network.establish(config(), server);
    let data = noise(1_000_000);
    let (mut written, mut received) = (0, Vec::new());
    while received.len() < data.len() {
        while written < data.len() {
            match network.with(0, client, |connection, now| connection.write(now, &data[written..])) {
                Poll::Ready(result) => written += result.expect("open"),
                Poll::Pending => break,
            }
        }
        network.run_for(Duration::from_millis(300));
        let pinned = network.connection(1, server).pinned_bytes();
        assert!(pinned < 100_000 + 3000, "{pinned} bytes in a buffer of 100,000");
        let mut chunks = std::collections::VecDeque::new();
        let _ = network.with(1, server, |connection, now| connection.read(now, 50_000, &mut chunks));
        chunks.into_iter().for_each(|payloads| received.put(payloads));
    }
    assert!(received == data);
}

#[test]
fn idle_connections_live_on_and_dead_ones_are_noticed() {
    let mut network = Network::new(13, Faults::default());
    let (client, server) = network.establish(config(), config());
    network.run_for(Duration::from_secs(1));
    let before = network.datagrams;
    network.run_for(Duration::from_secs(600));
    let per_minute = (network.datagrams - before) / 10;
    assert!(per_minute <= 14, "{per_minute} datagrams a minute between two idle godwits");
    network.faults.loss = 1.0;
    network.run_for(Duration::from_secs(46));
    for (node, handle) in [(0, client), (1, server)] {
        let event = (handle, Event::Closed(ConnectionError::PeerTimeout));
        assert!(network.nodes[node].events.contains(&event));
    }
}

#[test]
fn nobody_there_is_a_timeout_and_a_full_house_a_refusal() {
    let mut network = Network::new(14, Faults::default());
    let client = network.connect(config());
    let start = network.now;
    let timeout = (client, Event::Closed(ConnectionError::HandshakeTimeout));
    network.run_until("the timeout", |network| network.nodes[0].events.contains(&timeout));
    assert_eq!(network.now - start, Duration::from_secs(3));

    let limits = crate::ListenLimits { connections_max: 0, ..crate::ListenLimits::default() };
    network.nodes[1].endpoint.listen(config(), limits).expect("the first listener");
    let client = network.connect(config());
    let refusal = (client, Event::Closed(ConnectionError::Rejected { code: 1002 }));
    network.run_until("the refusal", |network| network.nodes[0].events.contains(&refusal));
}

#[test]
fn a_path_that_turns_out_smaller_gets_smaller_packets() {
    let mut network = Network::new(15, Faults::default());
    let (client, server) = network.establish(config(), config());
    network.with(0, client, |connection, _| connection.datagram_too_large(1252));
    let data = noise(100_000);
    let received = network.transfer(&data, (0, client), (1, server)).expect("a clean end");
    assert!(received == data);
}

/// Specification section 3.2: receivers estimate the capacity of the link from packets that leave back to back.
#[test]
fn packet_pairs_ignore_the_pace() {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let recorder = Rc::clone(&sent);
    let filter = move |from: usize, datagram: &[u8]| {
        if let (0, Ok(Packet::Data(data))) = (from, Packet::decode(datagram)) {
            recorder.borrow_mut().push(data.header.seq.value());
        }
        false
    };
    let client = Config::builder().initial_seq(Some(0)).max_rate_bits_per_s(Some(1_200_000)).build().expect("valid");
    let mut network = Network::new(16, Faults { filter: Box::new(filter), ..Faults::default() });
    let (client, _) = network.establish(client, config());
    network.write(0, client, &noise(90_000));
    for _ in 0..60 {
        let before = sent.borrow().len();
        network.run_for(Duration::from_millis(10));
        let together = sent.borrow()[before..].to_vec();
        assert!(together.len() <= 1 || (together.len() == 2 && together[0] % 16 == 0), "{together:?}");
        assert!(together.last().is_none_or(|last| last % 16 != 0), "a pair was torn apart: {together:?}");
    }
    assert!(sent.borrow().len() > 40);
}

/// Packets of a batch that follow each other are taken in as one, which must not make a difference: with gaps, packets that come again,
/// short ones, and a buffer that is full at times.
#[test]
fn packets_that_come_together_are_what_they_are_alone() {
    let config = Config::builder().receive_buffer_bytes(64 << 10).build().unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let [mut together, mut singly] = [(); 2].map(|()| Puppet::accepted(config.clone()));
    // Each fiftieth packet is short. Of so many bytes this is the number of whole packets:
    let payload = noise(800);
    let is_short = |packet: u32| packet % 50 == 49;
    let packets_in = |bytes: usize| (bytes / (49 * 700 + 300) * 50 + bytes % (49 * 700 + 300) / 700) as u32;
    let (mut at, mut read_bytes) = (0, 0);
    for _ in 0..2_000 {
        if rng.random_bool(0.2) {
            at = packets_in(read_bytes) + rng.random_range(0..3) * rng.random_range(0..40);
        }
        let mut batch = Vec::new();
        for _ in 0..rng.random_range(1..=44) {
            batch.push(singly.data(at, &payload[at as usize % 100..][..if is_short(at) { 300 } else { 700 }]));
            at += 1;
            if is_short(at - 1) {
                break;
            }
            at += u32::from(rng.random_bool(0.02));
        }
        together.receive_batch(&batch.concat(), 16 + 700);
        batch.iter().for_each(|packet| drop(singly.receive_datagram(packet)));
        let (now, reads) = (together.now, rng.random_bool(0.5));
        let [together, singly] = [&mut together, &mut singly].map(|puppet| {
            let mut receiver = puppet.connection.stats(now).receiver;
            // Acknowledgements are made for batches.
            (receiver.acks_sent_packets, receiver.light_acks_sent_packets, receiver.naks_sent_packets) = (0, 0, 0);
            let pinned_bytes = puppet.connection.pinned_bytes();
            (receiver, pinned_bytes, if reads { puppet.read() } else { Vec::new() })
        });
        assert_eq!(together, singly);
        read_bytes += together.2.len();
    }
    let refused = singly.connection.stats(singly.now).receiver.out_of_window_packets;
    assert!(packets_in(read_bytes) > 5_000 && refused > 100, "{read_bytes} bytes, {refused} packets refused");
}
