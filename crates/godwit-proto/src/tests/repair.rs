//! The rules of specification section 11 on loss repair and acknowledgement, as requirements.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::network::{Faults, Network, Tamper, is_control, noise};
use super::puppet::{Puppet, acks, data_packets};
use crate::packet::{Control, LossRange, Packet, encode_nak};
use crate::{Config, ConnectionHandle, ControllerKind};

const RTT: Duration = Duration::from_millis(20);
/// What a new connection's send buffer takes at once.
const BYTES: usize = 900_000;

/// Under libudt's own control, whose windows these tests count on.
fn config() -> Config {
    Config::builder().controller(ControllerKind::Native).build().expect("a valid configuration")
}

pub(super) fn data_seq(datagram: &[u8]) -> Option<u32> {
    match Packet::decode(datagram) {
        Ok(Packet::Data(data)) => Some(data.header.seq.value()),
        _ => None,
    }
}

pub(super) fn is_nak(datagram: &[u8]) -> bool {
    is_control(datagram, |control| matches!(control, Control::Nak(_)))
}

/// Makes node 1 a receiver like libudt 4.11, which reports each loss once.
pub(super) fn never_repeats_naks() -> Tamper {
    let mut reported = BTreeSet::new();
    Box::new(move |from, datagram| {
        let Ok(Packet::Control(packet)) = Packet::decode(datagram) else { return };
        let Control::Nak(report) = packet.control else { return };
        if from != 1 {
            return;
        }
        let numbers = report.ranges().flat_map(|range| (0..range.packets()).map(move |offset| range.first.add(offset)));
        let mut new: Vec<LossRange> = Vec::new();
        for seq in numbers.filter(|seq| reported.insert(seq.value())) {
            match new.last_mut() {
                Some(range) if range.last.next() == seq => range.last = seq,
                _ => new.push(LossRange::single(seq)),
            }
        }
        let destination = packet.destination;
        datagram.clear();
        encode_nak(new, 364, 0, destination, datagram);
    })
}

/// A connection whose controller has got going: libudt's needs some dozens of ACKs until it believes the delivery rate,
/// and crawls if a loss ends its slow start before.
fn warm(seed: u8, rounds: u32) -> (Network, ConnectionHandle, ConnectionHandle) {
    let mut network = Network::new(seed, Faults::default());
    let (client, server) = network.establish(config(), config());
    for _ in 0..rounds {
        write(&mut network, client, BYTES);
        drain(&mut network, server, BYTES);
        network.run_for(Duration::from_millis(100));
    }
    (network, client, server)
}

fn write(network: &mut Network, client: ConnectionHandle, bytes: usize) {
    network.write(0, client, &noise(bytes));
}

/// Reads until so many bytes are there, and says how long that took.
fn drain(network: &mut Network, server: ConnectionHandle, bytes: usize) -> Duration {
    let (start, mut received) = (network.now, Vec::new());
    network.run_until("the bytes", |network| {
        while let std::task::Poll::Ready(more) = network.read(1, server, &mut received) {
            assert!(more.expect("the connection is open"));
        }
        received.len() >= bytes
    });
    assert!(received == noise(bytes));
    network.now - start
}

#[test]
fn losses_of_5_ms_share_one_nak() {
    let mut puppet = Puppet::accepted(config());
    let mut naks = Vec::new();
    let count = |at: Instant, sent: &[Vec<u8>], naks: &mut Vec<Instant>| {
        naks.extend(sent.iter().filter(|datagram| is_nak(datagram)).map(|_| at));
    };
    // One packet per 250 µs for 100 ms, every fourth one lost: 100 gaps.
    for offset in (0..400).filter(|offset| offset % 4 != 3) {
        let sent = puppet.receive_data([offset]);
        count(puppet.now, &sent, &mut naks);
        let start = puppet.now;
        for (at, datagram) in puppet.pass(Duration::from_micros(250)) {
            count(start + at, &[datagram], &mut naks);
        }
    }
    assert!((15..=28).contains(&naks.len()), "{} NAK packets for 100 gaps", naks.len());
    assert!(naks.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(5)));
    assert_eq!(puppet.connection.stats(puppet.now).receiver.lost_packets, 99);
}

#[test]
fn a_loss_is_reported_again_with_growing_pauses_until_it_is_repaired() {
    let mut puppet = Puppet::accepted(config());
    // An RTT of 20 ms: the report interval is RTT + 4 · RTTVar + 10 ms = 70 ms.
    let sent = puppet.receive_datagram(&puppet.data(0, b"x"));
    let number = acks(&sent)[0].number;
    puppet.pass(RTT);
    puppet.receive(&Control::Ack2 { number });
    puppet.receive_data([2]);
    let sent = puppet.pass(Duration::from_secs(1));
    let at: Vec<_> = sent.iter().filter(|(_, datagram)| is_nak(datagram)).map(|(at, _)| at.as_millis()).collect();
    assert_eq!(at, [70, 210, 420, 700, 980]);
    puppet.receive_data([1]);
    assert!(!puppet.pass(Duration::from_secs(2)).iter().any(|(_, datagram)| is_nak(datagram)));
    assert_eq!(puppet.connection.stats(puppet.now).receiver.nak_repeats_packets, 5);
}

#[test]
fn on_a_lan_the_pause_is_20_ms() {
    let mut puppet = Puppet::accepted(config());
    let sent = puppet.receive_datagram(&puppet.data(0, b"x"));
    let number = acks(&sent)[0].number;
    puppet.pass(Duration::from_micros(100));
    puppet.receive(&Control::Ack2 { number });
    puppet.receive_data([2]);
    let sent = puppet.pass(Duration::from_millis(250));
    let at: Vec<_> = sent.iter().filter(|(_, datagram)| is_nak(datagram)).map(|(at, _)| at.as_millis()).collect();
    assert_eq!(at, [20, 60, 120, 200]);
}

/// No timer guesses while a report is under way: as many retransmissions as losses, in either case.
#[test]
fn what_is_lost_n_times_is_sent_again_n_times() {
    for (position, times) in [(1, 1), (40, 1), (40, 2), (300, 1), (300, 3), (618, 1)] {
        for tamper in [never_repeats_naks(), Box::new(|_: usize, _: &mut Vec<u8>| {}) as Tamper] {
            let (mut network, client, server) = warm(20, 4);
            network.faults.tamper = tamper;
            let (mut seen, mut victim, mut left) = (0, None, times);
            network.faults.filter = Box::new(move |from, datagram| {
                let Some(seq) = data_seq(datagram).filter(|_| from == 0) else { return false };
                seen += 1;
                victim = if seen == position { Some(seq) } else { victim };
                let is_lost = victim == Some(seq) && left > 0;
                left -= u64::from(is_lost);
                is_lost
            });
            write(&mut network, client, BYTES);
            drain(&mut network, server, BYTES);
            network.run_for(Duration::from_secs(1));
            let now = network.now;
            let stats = network.connection(0, client).stats(now).sender;
            assert_eq!(stats.retransmitted_packets, times, "packet {position}, lost {times} times, {stats:?}");
        }
    }
}

/// The packet in question, and its retransmissions, are lost `times` times; also the first NAKs.
fn lose_one_packet(times: usize, naks: usize, tamper: Tamper) -> Duration {
    let (mut network, client, server) = warm(21, 4);
    let (mut victim, mut left, mut naks_left, mut seen) = (None, times, naks, 0);
    network.faults.tamper = tamper;
    network.faults.filter = Box::new(move |from, datagram| {
        if from == 1 {
            let is_lost = naks_left > 0 && is_nak(datagram);
            naks_left -= usize::from(is_lost);
            return is_lost;
        }
        let Some(seq) = data_seq(datagram) else { return false };
        seen += 1;
        if seen == 40 {
            victim = Some(seq);
        }
        let is_lost = victim == Some(seq) && left > 0;
        left -= usize::from(is_lost);
        is_lost
    });
    write(&mut network, client, BYTES);
    drain(&mut network, server, BYTES)
}

#[test]
fn a_lost_nak_costs_a_repeat_and_a_lost_retransmission_a_round() {
    let undisturbed = lose_one_packet(0, 0, Box::new(|_, _| {}));
    for (times, naks) in [(1, 0), (1, 1), (1, 3), (2, 0), (3, 0), (6, 0)] {
        let took = lose_one_packet(times, naks, Box::new(|_, _| {}));
        let bound = undisturbed + (RTT * 4 + Duration::from_millis(30)) * (times + 2 * naks) as u32;
        assert!(took <= bound, "{times} losses, {naks} lost NAKs: {took:?}, undisturbed {undisturbed:?}");
    }
}

/// Towards libudt only the sender can notice that a retransmission was lost (rule 2 for C++ receivers).
#[test]
fn lost_retransmissions_are_sent_again_without_a_second_nak() {
    let undisturbed = lose_one_packet(0, 0, never_repeats_naks());
    for times in 1..6 {
        let took = lose_one_packet(times, 0, never_repeats_naks());
        // The report brings the first back; each further one takes a probe, 9/8 RTT and 10 ms, whose pauses double from the third on.
        let pauses = [0, 1, 2, 4, 8][times - 1];
        let bound = undisturbed + RTT + (RTT * 9 / 8 + Duration::from_millis(10)) * pauses + Duration::from_millis(5);
        assert!(took <= bound, "{times} losses: {took:?}, undisturbed {undisturbed:?}");
    }
}

/// A burst fills the buffer of a C++ receiver, the retransmissions do it again, and nobody reports them: they must not be found
/// missing one by one, a probe each.
#[test]
fn a_burst_of_lost_retransmissions_is_repaired_together() {
    let (mut network, client, server) = {
        let is_hello = |_: usize, datagram: &[u8]| is_control(datagram, |it| matches!(it, Control::User { .. }));
        let mut network = Network::new(40, Faults { filter: Box::new(is_hello), ..Faults::default() });
        let (client, server) = network.establish(config(), config());
        (0..40).for_each(|_| {
            write(&mut network, client, BYTES);
            drain(&mut network, server, BYTES);
            network.run_for(Duration::from_millis(100));
        });
        (network, client, server)
    };
    network.faults.tamper = never_repeats_naks();
    let mut copies = BTreeMap::new();
    network.faults.filter = Box::new(move |_, datagram| {
        // Of each of these the first two copies.
        data_seq(datagram).filter(|seq| seq % 8 < 4).is_some_and(|seq| {
            let count = copies.entry(seq).or_insert(0);
            *count += 1;
            *count <= 2
        })
    });
    write(&mut network, client, BYTES);
    let took = drain(&mut network, server, BYTES);
    assert!(took < Duration::from_secs(3), "{took:?} for 300 packets that were lost twice");
}

/// Section 5.5: between two libudts this is where the transfer collapses.
#[test]
fn random_loss_towards_a_receiver_without_nak_repeats_does_not_stop_the_transfer() {
    for (seed, loss) in [(22, 0.01), (23, 0.05), (24, 0.2)] {
        let faults = Faults { loss, tamper: never_repeats_naks(), ..Faults::default() };
        let mut network = Network::new(seed, faults);
        let (client, server) = network.establish(config(), config());
        let data = noise(2 * BYTES);
        let start = network.now;
        assert!(network.transfer(&data, (0, client), (1, server)).expect("a clean end") == data);
        let (now, took) = (network.now, network.now - start);
        let stats = network.connection(0, client).stats(now).sender;
        let necessary = (data.len() / 1456) as f64 * loss / (1.0 - loss);
        assert!(stats.retransmitted_packets as f64 <= 2.0 * necessary + 60.0, "{loss}: {stats:?}");
        assert!(took < Duration::from_secs(60), "{loss}: {took:?}");
    }
}

/// Everything in flight is lost at once: a probe shows the receiver that it is, and its report does the rest.
#[test]
fn a_lost_window_is_repaired_in_a_few_round_trips() {
    for tamper in [never_repeats_naks(), Box::new(|_: usize, _: &mut Vec<u8>| {}) as Tamper] {
        let (mut network, client, server) = warm(25, 20);
        network.faults.tamper = tamper;
        network.faults.filter = Box::new(|from, datagram| from == 0 && data_seq(datagram).is_some());
        write(&mut network, client, BYTES);
        network.run_for(Duration::from_millis(30));
        let now = network.now;
        let in_flight = network.connection(0, client).stats(now).in_flight_packets;
        assert!(in_flight > 50, "{in_flight} packets");
        network.faults.filter = Box::new(|_, _| false);
        let lost_before = network.connection(0, client).stats(now).sender.retransmitted_packets;
        let took = drain(&mut network, server, BYTES);
        let now = network.now;
        let again = network.connection(0, client).stats(now).sender.retransmitted_packets - lost_before;
        assert!(took < Duration::from_secs(2), "{took:?} for {in_flight} packets, {again} sent again");
        assert!(again <= u64::from(in_flight) * 3 / 2 + 10, "{again} for {in_flight}");
    }
}

#[test]
fn a_black_out_of_3_s_is_over_soon_after_its_end() {
    let (mut network, client, server) = warm(26, 20);
    network.faults.loss = 1.0;
    write(&mut network, client, BYTES);
    network.run_for(Duration::from_secs(3));
    network.faults.loss = 0.0;
    let before = network.datagrams;
    let took = drain(&mut network, server, BYTES);
    assert!(took < Duration::from_secs(4), "{took:?}, {} datagrams", network.datagrams - before);
    // Probes during the black-out: a handful, not a flood.
    let now = network.now;
    let probes = network.connection(0, client).stats(now).sender.probes;
    assert!((3..20).contains(&probes), "{probes}");
}

/// What was lost goes out before what is new, and no more often than it was lost.
#[test]
fn retransmissions_come_first_and_once() {
    let mut puppet = Puppet::connected(config());
    puppet.write(&noise(100_000));
    puppet.pass(Duration::from_millis(1));
    let isn = puppet.isn;
    let lost = [isn.add(4).value(), isn.add(9).value()];
    super::puppet::receive_nak(&mut puppet, &lost);
    super::puppet::receive_nak(&mut puppet, &lost);
    puppet.receive(&puppet.ack(1, 4, 8192));
    let sent = puppet.pass_for(Duration::from_millis(130));
    let numbers: Vec<_> = data_packets(&sent).iter().map(|(seq, _)| isn.offset_to(*seq)).collect();
    assert!(numbers.starts_with(&[9]) || numbers.starts_with(&[4, 9]), "{numbers:?}");
}
