//! What the controller begins with.

use super::super::{ReceiverReport, RttSample};
use super::*;
use crate::virtual_time;

/// The pace in packets per second after the first flight has arrived, on a path of 100 ms whose receiver measured 80,000
/// packets per second.
fn pace_after_first_flight(start: Start) -> f64 {
    let origin = virtual_time::origin();
    let setup = Setup {
        now: origin,
        unix_time: Duration::ZERO,
        packet_bytes: 1500,
        max_window_packets: 100_000,
        seed: 1,
        start,
    };
    let mut tide = Tide::new(&setup, PolicyKind::Fair);
    let rtt = Duration::from_millis(100);
    let speeds = ReceiverReport {
        arrival_speed_packets_per_s: Some(1000),
        link_capacity_packets_per_s: Some(80_000),
        ..ReceiverReport::default()
    };
    tide.on_feedback(&Feedback {
        now: origin + rtt,
        acked_to: 32,
        newly_delivered: 32,
        delivered_total: 32,
        interval: rtt,
        sample_delivered: 32,
        sample_app_limited: false,
        rtt: Some(RttSample { rtt, exact: true }),
        srtt: rtt,
        receiver: speeds,
        in_flight_packets: 0,
        next_tag: 32,
        is_round_start: true,
        is_exact: true,
    });
    1.0 / tide.pace().interval.as_secs_f64()
}

/// To half of what was measured before, but never above half of what is measured now.
#[test]
fn a_remembered_path_lets_the_start_up_jump_further() {
    let pace = |packets_per_s| pace_after_first_flight(Start::Remembered { packets_per_s }).round();
    assert_eq!(pace_after_first_flight(Start::Blank).round(), 5120.0, "512 packets in a round-trip");
    assert_eq!([1000.0, 60_000.0, 1e6].map(pace), [5120.0, 30_000.0, 40_000.0]);
}
