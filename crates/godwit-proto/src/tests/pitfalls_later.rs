//! The pitfalls of specification section 10 from 15 on; see `pitfalls.rs`.

use std::time::Duration;

use super::network::{Faults, Network, is_control, noise};
use super::puppet::{Puppet, acks, controls, data_packets, receive_nak};
use crate::packet::{Control, Packet};
use crate::{Config, ConnectionError, ControllerKind, Event, ListenLimits, Route, SocketType};

/// Under libudt's own control, whose windows these tests count on.
fn config() -> Config {
    Config::builder().controller(ControllerKind::Native).build().expect("a valid configuration")
}

/// A receive buffer of 48 KiB holds 31 packets of MSS 1500.
fn small_buffer() -> Config {
    Config::builder().receive_buffer_bytes(48 << 10).flow_window_packets(32).build().expect("a valid configuration")
}

/// A libudt sender that waits for window wakes only for an ACK that advances (specification section 6.4).
#[test]
fn pitfall_15_the_ack_that_opens_a_full_window_advances() {
    let mut puppet = Puppet::accepted(small_buffer());
    let mut sent = Vec::new();
    for offset in 0..31 {
        sent.extend(puppet.receive_data([offset]));
        sent.extend(puppet.pass_for(Duration::from_millis(1)));
    }
    let last = *acks(&sent).last().expect("acknowledgements");
    let stuck_at = puppet.isn.offset_to(last.ack_seq);
    assert!(last.available_packets <= 2 && stuck_at < 31, "{last:?}: all is acknowledged, nothing is left to advance");
    puppet.receive(&Control::Ack2 { number: last.number });
    let waiting = puppet.pass_for(Duration::from_secs(1));
    let repeats = acks(&waiting);
    assert!(repeats.len() >= 4, "its EXP timer of 300 ms must not run out: {} repeats", repeats.len());
    assert!(repeats.iter().all(|ack| ack.ack_seq == last.ack_seq && ack.available_packets <= 2), "{repeats:?}");
    assert!(!puppet.read().is_empty());
    let sent = puppet.drain();
    let opening = acks(&sent);
    assert_eq!(opening.len(), 1);
    assert_eq!((puppet.isn.offset_to(opening[0].ack_seq), opening[0].available_packets), (31, 31));
}

#[test]
fn pitfall_15_a_full_receiver_lets_a_whole_stream_through() {
    let mut network = Network::new(15, Faults::default());
    let (client, server) = network.establish(config(), small_buffer());
    let data = noise(500_000);
    let received = network.transfer(&data, (0, client), (1, server)).expect("a clean end");
    assert!(received == data);
}

/// Packets that overtake others are NAKed at once: they go out again, which is harmless, and counted.
#[test]
fn pitfall_17_reordering_costs_retransmissions_and_nothing_else() {
    let faults = Faults { late: 0.02, late_by: Duration::from_millis(2), ..Faults::default() };
    let mut network = Network::new(17, faults);
    let (client, server) = network.establish(config(), config());
    let data = noise(3 << 20);
    assert!(network.transfer(&data, (0, client), (1, server)).expect("a clean end") == data);
    let now = network.now;
    let (sender, receiver) =
        (network.connection(0, client).stats(now).sender, network.connection(1, server).stats(now).receiver);
    assert!(sender.retransmitted_packets > 0 && receiver.duplicate_packets > 0);
    assert!(sender.spurious_retransmissions_packets > 0, "{sender:?}");
    assert!(sender.spurious_retransmissions_packets <= receiver.duplicate_packets, "{sender:?} {receiver:?}");
}

#[test]
fn pitfall_18_packets_beyond_the_window_are_dropped_without_a_nak() {
    let mut puppet = Puppet::accepted(small_buffer());
    let before = puppet.connection.stats(puppet.now).receiver;
    let sent = puppet.receive_data([32, 40, 1000, 1 << 29]);
    assert!(controls(&sent).is_empty(), "{sent:x?}");
    let after = puppet.connection.stats(puppet.now).receiver;
    assert_eq!(after.out_of_window_packets - before.out_of_window_packets, 4);
    assert!(controls(&puppet.pass_for(Duration::from_millis(500))).is_empty());
    // They come again later, after what was before them.
    puppet.receive_data(0..31);
    assert_eq!(puppet.read().len(), 31 * 1456);
    puppet.receive_data(31..41);
    assert_eq!(puppet.read().len(), 10 * 1456);
}

/// libudt acknowledges a full-size tail after 100 ms, and a shorter packet at once.
#[test]
fn pitfall_19_the_last_packet_of_a_burst_to_libudt_is_never_full() {
    for packets in [1, 2, 16, 44, 45] {
        let mut puppet = Puppet::connected(config());
        let mut sent = puppet.write(&noise(packets * 1456));
        let mut acknowledged = 0;
        while puppet.connection.stats(puppet.now).send_buffer_used_bytes > 0 {
            sent.extend(puppet.pass_for(Duration::from_millis(1)));
            let highest = data_packets(&sent).iter().map(|(seq, _)| puppet.isn.offset_to(*seq) + 1).max();
            acknowledged += 1;
            sent.extend(puppet.receive(&puppet.ack(acknowledged, highest.unwrap_or(0) as u32, 8192)));
        }
        let (_, tail) =
            data_packets(&sent).into_iter().max_by_key(|(seq, _)| puppet.isn.offset_to(*seq)).expect("data");
        assert!(tail < 1456, "{packets} packets end in one of {tail} bytes");
    }
}

/// The same where the window ends the burst: a libudt receiver that acknowledges nothing but short packets must not stop us.
#[test]
fn pitfall_19_a_full_window_holds_a_packet_that_libudt_acknowledges_at_once() {
    let mut puppet = Puppet::connected(config());
    let (mut sent, mut acknowledged) = (puppet.write(&noise(900_000)), 0);
    for number in 1..100 {
        sent.extend(puppet.pass_for(Duration::from_millis(1)));
        let stats = puppet.connection.stats(puppet.now);
        if stats.send_buffer_used_bytes == 0 {
            return;
        }
        let window = stats.congestion_window_packets;
        let packets = data_packets(&sent);
        let irregular =
            packets.iter().filter(|(_, bytes)| *bytes < 1456).map(|(seq, _)| puppet.isn.offset_to(*seq) + 1);
        let newest = irregular.max().expect("a short packet");
        assert!(
            newest > acknowledged,
            "round {number}: {window} packets in flight, and none that would be acknowledged"
        );
        acknowledged = newest;
        puppet.pass(Duration::from_millis(10));
        sent.extend(puppet.receive(&puppet.ack(number, acknowledged as u32, 8192)));
    }
    panic!("100 rounds were not enough");
}

#[test]
fn pitfall_20_empty_packets_are_never_sent_and_mean_nothing() {
    let mut puppet = Puppet::accepted(config());
    puppet.receive_datagram(&puppet.data(0, b""));
    assert_eq!(puppet.read(), b"");
    assert!(!puppet.events.iter().any(|event| matches!(event, Event::Closed(_))));
    puppet.receive_datagram(&puppet.data(0, b"the same packet, with a payload"));
    assert_eq!(puppet.read(), b"the same packet, with a payload");
    assert!(data_packets(&puppet.write(b"")).is_empty());
    let messages = Config::builder().socket_type(SocketType::Datagram).build().expect("a valid configuration");
    let mut network = Network::new(20, Faults::default());
    let (client, _) = network.establish(messages.clone(), messages);
    let sent = network.with(0, client, |connection, now| connection.send_message(now, b"", Default::default()));
    assert!(matches!(sent, std::task::Poll::Ready(Err(crate::WriteError::EmptyMessage))));
}

/// A libudt sender stops at such an entry until the next ACK, NAK or EXP.
#[test]
fn pitfall_24_naks_of_acknowledged_packets_stop_nothing() {
    let mut puppet = Puppet::connected(config());
    let isn = puppet.isn;
    puppet.write(&noise(60_000));
    puppet.pass(Duration::from_millis(1));
    puppet.receive(&puppet.ack(1, 8, 8192));
    receive_nak(&mut puppet, &[isn.value(), isn.add(2).value() | 1 << 31, isn.add(9).value()]);
    puppet.receive(&puppet.ack(2, 9, 8192));
    let sent = puppet.pass_for(Duration::from_millis(200));
    let again: Vec<_> = data_packets(&sent).into_iter().map(|(seq, _)| isn.offset_to(seq)).collect();
    assert_eq!(again[0], 9);
    assert!(again.iter().any(|&offset| offset > 20), "new packets follow: {again:?}");
    assert!(again.iter().all(|&offset| offset >= 8), "acknowledged packets went out again: {again:?}");
}

#[test]
fn pitfall_25_a_stream_and_messages_do_not_meet() {
    let messages = Config::builder().socket_type(SocketType::Datagram).build().expect("a valid configuration");
    for (client, server) in [(messages.clone(), config()), (config(), messages)] {
        let mut network = Network::new(25, Faults::default());
        network.nodes[1].endpoint.listen(server, ListenLimits::default()).expect("the first listener");
        let client = network.connect(client);
        let refusal = (client, Event::Closed(ConnectionError::Rejected { code: 1002 }));
        network.run_until("the refusal", |network| network.nodes[0].events.contains(&refusal));
        assert_eq!(network.nodes[1].endpoint.connections(), 0);
    }
}

#[test]
fn pitfall_26_packets_from_another_address_are_not_for_the_connection() {
    let mut puppet = Puppet::accepted(config());
    let packet = puppet.data(0, b"x");
    let (mut other_port, mut other_host) = (puppet.peer, puppet.peer);
    other_port.set_port(9001);
    other_host.set_ip([192, 0, 2, 98].into());
    for from in [other_port, other_host] {
        assert_eq!(puppet.endpoint.route(puppet.now, &packet, from), Route::Unclaimed);
    }
    assert!(matches!(puppet.endpoint.route(puppet.now, &packet, puppet.peer), Route::Connection(_)));
}

/// The first sample replaces the initial guess (`connection/rtt.rs`); here what follows from it on a LAN.
#[test]
fn pitfall_30_a_tail_loss_on_a_lan_is_repaired_within_milliseconds() {
    let mut network = Network::new(30, Faults { delay: Duration::from_micros(100), ..Faults::default() });
    let (client, server) = network.establish(config(), config());
    let mut received = Vec::new();
    let mut ask = |network: &mut Network, expected: usize| {
        let start = network.now;
        let written = network.with(0, client, |connection, now| connection.write(now, &noise(1000)));
        assert!(written.is_ready());
        network.run_until("the data", |network| {
            let _ = network.read(1, server, &mut received);
            received.len() == expected
        });
        network.now - start
    };
    for round in 1..=3 {
        assert!(ask(&mut network, round * 1000) < Duration::from_millis(1));
        network.run_for(Duration::from_millis(20));
    }
    let mut lost = false;
    network.faults.filter = Box::new(move |from, datagram| {
        let is_first = from == 0 && !lost && matches!(Packet::decode(datagram), Ok(Packet::Data(_)));
        lost |= is_first;
        is_first
    });
    let repaired_after = ask(&mut network, 4000);
    assert!(repaired_after < Duration::from_millis(60), "{repaired_after:?}");
    network.faults.filter = Box::new(|_, datagram| {
        assert!(!is_control(datagram, |control| matches!(control, Control::Nak(_))), "nothing was missing");
        false
    });
    network.run_for(Duration::from_secs(1));
}
