//! Towards a receiver that reports each loss once and says nothing of what came behind a gap, as libudt 4.11.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::network::{Faults, Network, is_control, noise};
use super::puppet::{PEER_WINDOW_PACKETS, Puppet, data_packets, receive_nak};
use super::repair::{data_seq, is_nak, never_repeats_naks};
use crate::congestion::ControllerKind;
use crate::packet::Control;
use crate::{Config, ConnectionHandle};

const RTT: Duration = Duration::from_millis(20);

fn config() -> Config {
    Config::builder().controller(ControllerKind::Fair).build().expect("a valid configuration")
}

/// Two ends that take each other for libudt, and the second of which reports as libudt does.
fn establish(seed: u8, rtt: Duration) -> (Network, ConnectionHandle, ConnectionHandle) {
    let is_hello = |_: usize, datagram: &[u8]| is_control(datagram, |it| matches!(it, Control::User { .. }));
    let mut network = Network::new(seed, Faults { filter: Box::new(is_hello), delay: rtt / 2, ..Faults::default() });
    let (client, server) = network.establish(config(), config());
    network.run_for(Duration::from_secs(3));
    network.faults.tamper = never_repeats_naks();
    (network, client, server)
}

/// Drops the first copy of one packet in forty; returns how often each was sent.
fn lose_each_fortieth_once(network: &mut Network) -> Rc<RefCell<BTreeMap<u32, usize>>> {
    let counts = Rc::new(RefCell::new(BTreeMap::new()));
    let seen = Rc::clone(&counts);
    network.faults.filter = Box::new(move |_, datagram| {
        data_seq(datagram).is_some_and(|seq| {
            let mut seen = seen.borrow_mut();
            let count = seen.entry(seq).or_insert(0);
            *count += 1;
            *count == 1 && seq % 40 == 7
        })
    });
    counts
}

#[test]
fn a_peer_that_reports_once_gets_each_retransmission_twice() {
    let (mut network, client, server) = establish(50, RTT);
    let counts = lose_each_fortieth_once(&mut network);
    let data = noise(4_000_000);
    assert!(network.transfer(&data, (0, client), (1, server)).expect("a clean end") == data);
    let counts = counts.borrow();
    let of = |lost: bool, times: usize| {
        counts.iter().filter(|&(seq, &count)| (seq % 40 == 7) == lost && count == times).count()
    };
    let (twice, once) = (of(true, 3), of(true, 2));
    assert!(twice > 40 && once < 16, "{twice} retransmissions with a copy, {once} without");
    assert_eq!(of(false, 1) + twice + once, counts.len(), "nothing else is sent again");
}

#[test]
fn our_own_receiver_gets_copies_at_the_end_of_the_data_only() {
    let mut network = Network::new(55, Faults::default());
    let (client, server) = network.establish(config(), config());
    let counts = lose_each_fortieth_once(&mut network);
    let data = noise(4_000_000);
    assert!(network.transfer(&data, (0, client), (1, server)).expect("a clean end") == data);
    let counts = counts.borrow();
    let sent = counts.iter().filter(|&(seq, _)| seq % 40 == 7).map(|(_, &count)| count).collect::<Vec<usize>>();
    assert_eq!((sent.first(), sent.last()), (Some(&2), Some(&3)), "{sent:?}");
}

/// No loss to speak of, so no copies: the position that stands still tells of the retransmission that was lost.
#[test]
fn a_lost_retransmission_is_noticed_within_one_and_a_half_round_trips() {
    let rtt = Duration::from_millis(100);
    let (mut network, client, server) = establish(51, rtt);
    let data = noise(3_000_000);
    let counts = Rc::new(RefCell::new(BTreeMap::new()));
    let seen = Rc::clone(&counts);
    let victim = Rc::new(RefCell::new(None));
    let chosen = Rc::clone(&victim);
    network.faults.filter = Box::new(move |from, datagram| {
        let Some(seq) = data_seq(datagram).filter(|_| from == 0) else { return false };
        let mut seen = seen.borrow_mut();
        if seen.len() == 900 {
            chosen.borrow_mut().get_or_insert(seq);
        }
        let count = seen.entry(seq).or_insert(0);
        *count += 1;
        *chosen.borrow() == Some(seq) && *count <= 3
    });
    let mut at = Vec::new();
    let (mut written, mut received) = (0, Vec::new());
    while received.len() < data.len() {
        while written < data.len()
            && let Poll::Ready(taken) =
                network.with(0, client, |connection, now| connection.write(now, &data[written..]))
        {
            written += taken.expect("it is open");
        }
        while let Poll::Ready(more) = network.read(1, server, &mut received) {
            assert!(more.expect("it is open"));
        }
        let times = victim.borrow().and_then(|seq| counts.borrow().get(&seq).copied()).unwrap_or(0);
        if times > at.len() {
            at.resize(times, network.now);
        }
        assert!(network.step(network.now + Duration::from_secs(60)), "it hangs");
    }
    assert!(received == data);
    assert_eq!(at.len(), 4, "lost three times");
    let gaps: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[1..].iter().all(|&gap| gap >= rtt && gap <= rtt * 3 / 2), "{gaps:?}");
}

/// What no report said is taken for delivered; the position that stands still takes that back.
#[test]
fn lost_reports_stop_nothing() {
    for (seed, losses) in [(52, 0.02), (53, 0.1)] {
        let (mut network, client, server) = establish(seed, RTT);
        let mut naks = 0;
        network.faults.loss = losses;
        network.faults.filter = Box::new(move |_, datagram| {
            naks += u32::from(is_nak(datagram));
            is_nak(datagram) && naks % 2 == 0
        });
        let data = noise(1_500_000);
        let start = network.now;
        assert!(network.transfer(&data, (0, client), (1, server)).expect("a clean end") == data);
        let took = network.now - start;
        assert!(took < Duration::from_secs(10), "{losses}: {took:?}");
    }
}

/// All that is in flight is lost, which is no less than the window then allows: retransmissions wait for the pace, and not for the window.
#[test]
fn a_lost_window_is_sent_again_whatever_the_window_is_then() {
    // The others' windows stay far larger than what a pace that they chose can lose.
    for controller in [ControllerKind::Native, ControllerKind::Cubic] {
        let mut puppet = Puppet::connected(Config::builder().controller(controller).build().expect("valid"));
        let (mut acknowledged, mut sent) = (0, 0);
        for number in 1.. {
            acknowledged = sent;
            let mut packets = puppet.receive(&puppet.ack(number, acknowledged, PEER_WINDOW_PACKETS));
            packets.extend(puppet.write(&noise(4 << 20)));
            packets.extend(puppet.pass_for(RTT));
            sent = highest_sent(&puppet, &packets).max(sent);
            if sent - acknowledged > 200 {
                break;
            }
            assert!(number < 100, "{controller:?}: {sent} packets, and never 200 in a round-trip");
        }
        // Silence, after which the window is as small as it gets.
        puppet.pass(Duration::from_secs(2));
        let window_packets = puppet.connection.stats(puppet.now).congestion_window_packets;
        assert!(sent - acknowledged >= window_packets, "{controller:?}: {acknowledged} of {sent}, {window_packets}");
        let (first, last) = (puppet.isn.add(acknowledged), puppet.isn.add(sent - 1));
        let mut again = receive_nak(&mut puppet, &[first.value() | 1 << 31, last.value()]);
        again.extend(puppet.pass_for(Duration::from_secs(1)));
        let again: BTreeSet<_> = data_packets(&again).into_iter().map(|(seq, _)| seq.value()).collect();
        assert!(again.len() > 50, "{controller:?}: {}", again.len());
    }
}

/// How many packets have left, new ones among these.
fn highest_sent(puppet: &Puppet, packets: &[Vec<u8>]) -> u32 {
    data_packets(packets).iter().map(|&(seq, _)| puppet.isn.offset_to(seq) as u32 + 1).max().unwrap_or(0)
}

/// New to new, to a libudt-like end, and with introductions that are lost: once, twice, always, and those of one side only.
#[test]
fn a_lossy_transfer_ends_well_whichever_introductions_are_lost() {
    let lost: [fn(usize, u32) -> bool; 6] = [
        |_, _| false,
        |_, count| count <= 1,
        |_, count| count <= 2,
        |_, _| true,
        |from, _| from == 0,
        |from, _| from == 1,
    ];
    for (case, is_lost) in lost.into_iter().enumerate() {
        let mut hellos = 0;
        let filter = move |from: usize, datagram: &[u8]| {
            let is_hello = is_control(datagram, |it| matches!(it, Control::User { .. }));
            hellos += u32::from(is_hello);
            is_hello && is_lost(from, hellos)
        };
        let faults = Faults { loss: 0.03, filter: Box::new(filter), ..Faults::default() };
        let mut network = Network::new(70, faults);
        let (client, server) = network.establish(config(), config());
        let data = noise(1_500_000);
        let start = network.now;
        assert!(network.transfer(&data, (0, client), (1, server)).expect("a clean end") == data, "case {case}");
        let took = network.now - start;
        assert!(took < Duration::from_secs(5), "case {case}: {took:?}");
    }
}
