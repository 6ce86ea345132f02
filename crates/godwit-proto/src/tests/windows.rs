//! How far a peer may be ahead of the reader: what acknowledgements advertise as packets come, and as they are read. And how far a
//! writer may be ahead of what has left.

use std::time::Duration;

use super::network::noise;
use super::puppet::{Puppet, acks};
use crate::packet::Control;
use crate::{Config, ControllerKind, Event, SocketType};

/// 1 MiB of packets that are charged 1456 + 96 bytes each, and what the handshake announced: 96 MiB of them. Those that wait are charged
/// a little more.
const INITIAL_PACKETS: u32 = 675;
const ANNOUNCED_PACKETS: u32 = 64_860;
const ACK_INTERVAL: Duration = Duration::from_millis(11);

/// Packets arrive one by one, so far apart; the window of the last ACK until the timer for ACKs has run out.
fn window_after(puppet: &mut Puppet, offsets: impl IntoIterator<Item = u32>, interval: Duration) -> u32 {
    let mut sent = Vec::new();
    for offset in offsets {
        sent.extend(puppet.pass_for(interval));
        sent.extend(puppet.receive_data([offset]));
    }
    sent.extend(puppet.pass_for(ACK_INTERVAL));
    acks(&sent).last().expect("an ACK").available_packets
}

/// A peer whose first packet was acknowledged and read, and that confirmed the ACK after this time.
fn measured(rtt: Duration) -> Puppet {
    let mut puppet = Puppet::accepted(Config::default());
    let sent = puppet.receive_data([0]);
    let ack = acks(&sent)[0];
    assert_eq!(ack.available_packets, INITIAL_PACKETS - 2, "the packet that was not read counts");
    puppet.read();
    puppet.pass(rtt);
    puppet.receive(&Control::Ack2 { number: ack.number });
    puppet
}

#[test]
fn the_window_grows_with_what_arrives_in_a_round_trip() {
    let mut puppet = measured(Duration::from_millis(100));
    let slow = window_after(&mut puppet, 1..21, Duration::from_millis(1));
    assert!(slow <= INITIAL_PACKETS - 20, "1000 packets per second need no more than {slow}");
    puppet.read();
    // Three times 10,000 packets per second over 120 ms, less what waits.
    let fast = window_after(&mut puppet, 21..221, Duration::from_micros(100));
    assert!((3400..=3700).contains(&(fast + 200)), "{fast}");
}

#[test]
fn the_window_grows_with_what_lies_behind_a_gap() {
    let mut puppet = measured(Duration::from_millis(100));
    // Packets 1 and 2 are missing, and 600 are behind them: three times as much, though they come slowly.
    let behind = (3..603).chain([1]);
    let window = window_after(&mut puppet, behind, Duration::from_millis(1));
    assert!((1800..=2200).contains(&window), "{window}");
}

#[test]
fn a_window_that_waits_for_the_reader_does_not_grow() {
    let mut puppet = measured(Duration::from_millis(100));
    // More than half of it has come before the next ACK is due.
    let unread = window_after(&mut puppet, 1..401, Duration::from_micros(1));
    assert!(unread <= INITIAL_PACKETS - 400, "{unread}");
}

/// Of few packets a sender may take the dispersion for the rate of the path, of many no more.
#[test]
fn before_the_path_is_measured_a_short_beginning_counts_as_it_was_dispersed_and_a_longer_one_as_it_came() {
    for (packets, expected) in [(60, ANNOUNCED_PACKETS - 1..=ANNOUNCED_PACKETS), (100, 18_000..=19_500)] {
        let mut puppet = Puppet::accepted(Config::default());
        let window = window_after(&mut puppet, 0..packets, Duration::from_micros(10));
        assert!(expected.contains(&(window + packets)), "{window} after {packets}");
    }
}

#[test]
fn a_reader_that_opens_a_small_window_tells_at_once_and_of_a_larger_one_later() {
    for (unread, acks_at_once) in [(600, 1), (400, 0)] {
        let mut puppet = measured(Duration::from_millis(1));
        window_after(&mut puppet, 1..unread + 1, Duration::from_micros(1));
        puppet.read();
        let sent = puppet.drain();
        assert_eq!(acks(&sent).len(), acks_at_once, "{unread} packets were read");
    }
}

/// One of them may need it.
#[test]
fn messages_have_the_whole_window_from_the_beginning() {
    let mut puppet = Puppet::accepted(Config::builder().socket_type(SocketType::Datagram).build().expect("valid"));
    let window = window_after(&mut puppet, 0..10, Duration::from_millis(1));
    assert!((ANNOUNCED_PACKETS - 12..=ANNOUNCED_PACKETS).contains(&window), "{window}");
}

/// Without any answer: what is in flight does not count against what a writer may be ahead.
#[test]
fn a_writer_that_waits_is_called_as_packets_leave_each_time_that_a_quarter_of_a_megabyte_fits() {
    let gigabit = ControllerKind::Fixed { bits_per_s: 1_000_000_000 };
    let mut puppet = Puppet::connected(Config::builder().controller(gigabit).build().expect("valid"));
    let data = noise(8 << 20);
    puppet.write(&data);
    let used = |puppet: &Puppet| puppet.connection.stats(puppet.now).send_buffer_used_bytes;
    let mut taken = Vec::new();
    for _ in 0..100 {
        puppet.events.clear();
        puppet.pass(Duration::from_millis(1));
        if puppet.events.contains(&Event::Writable) {
            let before = used(&puppet);
            puppet.write(&data);
            taken.push(used(&puppet) - before);
        }
    }
    assert!(taken.len() > 10 && taken.iter().all(|&bytes| bytes >= 1 << 18), "{taken:?}");
}
