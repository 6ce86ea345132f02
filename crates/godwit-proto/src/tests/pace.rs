//! When packets leave.

use std::time::Duration;

use super::network::noise;
use super::puppet::{Puppet, data_packets};
use crate::Config;

/// Specification section 3.2: a libudt receiver takes the time between the packets 16 k and 16 k + 1 for the capacity of the
/// link. Paced like any others they would tell it that the link can do what we do already, and our rate would never
/// grow: at 1 % loss we fell to a tenth of what libudt does.
#[test]
fn packet_pairs_leave_together_at_any_pace() {
    for rate_bits_per_s in [1_000_000, 100_000_000] {
        let config = Config::builder().initial_seq(Some(0x7FFF_FFF8)).max_rate_bits_per_s(Some(rate_bits_per_s));
        let mut puppet = Puppet::connected(config.build().expect("in range"));
        let mut sent: Vec<_> =
            puppet.write(&noise(100 * 1456)).into_iter().map(|packet| (Duration::ZERO, packet)).collect();
        for acknowledged in [16, 32, 48] {
            let sent_after = puppet.pass(Duration::from_secs(1));
            sent.extend(sent_after);
            puppet.receive(&puppet.ack(acknowledged / 16, acknowledged, 8192));
        }
        let sent_at = |value| {
            let is_it =
                |(_, packet): &&(Duration, Vec<u8>)| data_packets([packet]).iter().any(|(seq, _)| seq.value() == value);
            sent.iter().find(is_it).map(|(at, _)| *at)
        };
        assert!(sent_at(1).is_some());
        assert_eq!(sent_at(0), sent_at(1), "at {rate_bits_per_s} bit/s");
        assert!(sent_at(17).is_none() || sent_at(16) == sent_at(17), "at {rate_bits_per_s} bit/s");
    }
}
