//! When acknowledgements are sent, and what those of the peer do.

use std::time::Duration;

use super::network::noise;
use super::puppet::{Puppet, acks, controls, data_packets};
use crate::packet::Control;
use crate::{Config, ControllerKind};

/// Under libudt's own control, whose windows these tests count on.
fn config() -> Config {
    Config::builder().controller(ControllerKind::Native).build().expect("a valid configuration")
}

#[test]
fn an_irregular_packet_is_acknowledged_at_once_and_a_full_one_within_11_ms() {
    let mut puppet = Puppet::accepted(config());
    puppet.receive_data([0]);
    let sent = puppet.receive_datagram(&puppet.data(1, b"short"));
    assert_eq!(acks(&sent).last().map(|ack| ack.ack_seq), Some(puppet.isn.add(2)));
    puppet.receive_data([2]);
    let sent = puppet.pass_for(Duration::from_millis(11));
    assert_eq!(acks(&sent).last().map(|ack| ack.ack_seq), Some(puppet.isn.add(3)));
}

#[test]
fn each_half_window_is_acknowledged_at_once_so_a_used_up_one_is_too() {
    let small = Config::builder().flow_window_packets(100).build().expect("a valid configuration");
    let mut puppet = Puppet::accepted(small);
    let sent = puppet.receive_data([0]);
    let number = acks(&sent)[0].number;
    puppet.receive(&Control::Ack2 { number });
    assert!(acks(&sent)[0].available_packets < 100, "the one that was not read counts");
    puppet.read();
    // All within the 10 ms of the ACK timer.
    let half = puppet.receive_data(1..51);
    assert_eq!(acks(&half).last().map(|ack| ack.ack_seq), Some(puppet.isn.add(50)));
    let light = controls(&half).iter().filter(|control| matches!(control, Control::LightAck { .. })).count();
    assert_eq!(light, 0, "a full ACK came first");
    let mut puppet = Puppet::accepted(Config::default());
    let sent = puppet.receive_data(0..200);
    assert_eq!(acks(&sent).len(), 1, "no half window, and not 10 ms");
    let light = controls(&sent).iter().filter(|control| matches!(control, Control::LightAck { .. })).count();
    assert_eq!(light, 3, "one for each 64 packets");
}

/// libudt waits for an ACK that advances, or for EXP (deviation 23).
#[test]
fn a_wider_window_alone_wakes_the_sender() {
    let mut puppet = Puppet::connected(config());
    puppet.write(&noise(100_000));
    puppet.pass(Duration::from_millis(1));
    let mut sent = puppet.receive(&puppet.ack(1, 16, 1));
    sent.extend(puppet.pass_for(Duration::from_millis(15)));
    assert_eq!(data_packets(&sent).len(), 1);
    let sent = puppet.receive(&puppet.ack(2, 16, 100));
    assert!(!data_packets(&sent).is_empty());
}

/// Deviation 24.
#[test]
fn acks_of_one_batch_get_one_ack2() {
    let mut puppet = Puppet::connected(config());
    puppet.write(&noise(10_000));
    let id = puppet.connection.id();
    let batch: Vec<u8> = (1..=3).flat_map(|number| super::puppet::encoded(&puppet.ack(number, 1, 99), id)).collect();
    let sent = puppet.receive_batch(&batch, 40);
    let answers: Vec<_> =
        controls(&sent).into_iter().filter(|control| matches!(control, Control::Ack2 { .. })).collect();
    assert_eq!(answers, [Control::Ack2 { number: crate::seq::AckNumber::new(3) }]);
}

/// One for each 64 packets as in libudt, and after 256 without a full ACK one for each 256 (deviation 52).
#[test]
fn light_acks_become_rarer_where_many_packets_come() {
    let mut puppet = Puppet::accepted(config());
    let sent = puppet.receive_data([0]);
    let number = acks(&sent)[0].number;
    puppet.pass(Duration::from_millis(100));
    puppet.receive(&Control::Ack2 { number });
    // The window grows with a rate of 20,000 packets per second over 100 ms.
    let mut acknowledged = 0;
    for round in 0..10 {
        let mut sent = puppet.receive_data(1 + 200 * round..201 + 200 * round);
        sent.extend(puppet.pass_for(Duration::from_millis(10)));
        acknowledged = acks(&sent).last().map_or(acknowledged, |ack| puppet.isn.offset_to(ack.ack_seq));
        puppet.read();
    }
    let sent = puppet.receive_data(2001..4001);
    let position = |control: &Control<'_>| match control {
        Control::LightAck { ack_seq } => Some(puppet.isn.offset_to(*ack_seq)),
        _ => None,
    };
    let expected: Vec<_> =
        [64, 128, 192, 256, 512, 768, 1024, 1280, 1536, 1792].map(|packets| packets + acknowledged).to_vec();
    assert_eq!(controls(&sent).iter().filter_map(position).collect::<Vec<_>>(), expected);
}

/// Lesson 5 of the controller's design: a pace that each acknowledgement hurries a little is no pace.
#[test]
fn acknowledgements_do_not_hurry_the_next_packet() {
    let sent = |is_acknowledged: bool| {
        let fixed = ControllerKind::Fixed { bits_per_s: 100_000_000 };
        let config = Config::builder().controller(fixed).send_buffer_bytes(16 << 20).build().expect("valid");
        let mut puppet = Puppet::connected(config);
        let mut packets = 0;
        for number in 1..=2000 {
            let mut out = puppet.write(&noise(10_000));
            out.extend(puppet.pass_for(Duration::from_micros(100)));
            packets += data_packets(&out).len();
            if is_acknowledged {
                packets += data_packets(&puppet.receive(&puppet.ack(number, packets as u32, 8192))).len();
            }
        }
        packets
    };
    let expected = 100e6 * 0.2 / 12_000.0;
    for packets in [sent(false), sent(true)] {
        assert!((packets as f64 / expected - 1.0).abs() < 0.02, "{packets} instead of {expected}");
    }
}
