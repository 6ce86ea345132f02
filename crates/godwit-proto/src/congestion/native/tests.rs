//! The arithmetic of specification section 5, and its equilibrium in virtual time.

use std::collections::VecDeque;

use super::*;
use crate::virtual_time;

const SETUP_WINDOW: u32 = 25_600;

fn native(now: Instant) -> Native {
    Native::new(&Setup {
        now,
        unix_time: Duration::ZERO,
        packet_bytes: 1500,
        max_window_packets: SETUP_WINDOW,
        seed: 1,
        start: Start::Blank,
    })
}

fn feedback(now: Instant, acked_to: u64) -> Feedback {
    Feedback {
        now,
        acked_to,
        newly_delivered: 0,
        delivered_total: acked_to,
        interval: Duration::ZERO,
        sample_delivered: 0,
        sample_app_limited: false,
        rtt: None,
        srtt: Duration::from_millis(40),
        receiver: ReceiverReport::default(),
        in_flight_packets: 0,
        next_tag: acked_to,
        is_round_start: false,
        is_exact: false,
    }
}

fn lost(now: Instant, first: u64, next_tag: u64) -> Lost {
    Lost { now, first, packets: 1, next_tag, in_flight_packets: 0 }
}

fn report(arrival_speed: u32, link_capacity: u32) -> ReceiverReport {
    ReceiverReport {
        arrival_speed_packets_per_s: Some(arrival_speed),
        link_capacity_packets_per_s: Some(link_capacity),
        recent_rate_packets_per_s: None,
    }
}

/// A controller past slow start with a period and a bandwidth.
fn cruising(now: Instant, packets_per_s: f64, bandwidth: u32) -> Native {
    let mut native = native(now);
    native.in_slow_start = false;
    native.bandwidth = bandwidth;
    native.period_ns = 1e9 / packets_per_s;
    native.epoch.period_ns = native.period_ns;
    native
}

fn assert_near(value: f64, expected: f64) {
    assert!((value - expected).abs() <= expected.abs() * 1e-6, "{value} instead of {expected}");
}

#[test]
fn starts_as_libudt() {
    let native = native(virtual_time::origin());
    assert_eq!(native.window_packets(), 16);
    assert_eq!(native.pace().interval, Duration::from_micros(1));
    assert_eq!((native.delivery_rate_packets_per_s(), native.link_capacity_packets_per_s()), (16, 1));
    assert!(native.is_in_slow_start());
}

#[test]
fn slow_start_grows_by_what_is_acknowledged_once_per_10_ms() {
    let origin = virtual_time::origin();
    let mut native = native(origin);
    native.on_feedback(&feedback(origin + Duration::from_millis(9), 4));
    assert_eq!(native.window_packets(), 16, "too early");
    native.on_feedback(&feedback(origin + Duration::from_millis(10), 16));
    assert_eq!(native.window_packets(), 16 + 16 + 2);
    native.on_feedback(&feedback(origin + Duration::from_millis(20), 50));
    assert_eq!(native.window_packets(), 34 + 34 + 1);
    native.on_feedback(&feedback(origin + Duration::from_millis(40), 50));
    assert_eq!(native.window_packets(), 69, "nothing new was acknowledged");
    assert_eq!(native.pace().interval, Duration::from_micros(1));
}

#[test]
fn a_full_window_ends_slow_start_at_the_delivery_rate() {
    let origin = virtual_time::origin();
    let mut native = native(origin);
    native.set_max_window(100);
    for _ in 0..200 {
        native.take_in_report(&report(20_000, 1));
    }
    assert!(native.is_in_slow_start() && native.delivery_rate_packets_per_s() > 19_900);
    native.on_feedback(&feedback(origin + Duration::from_millis(250), 400));
    assert!(!native.is_in_slow_start());
    let rate = f64::from(native.delivery_rate_packets_per_s());
    // The first increase (0.01 packets per 10 ms: no spare capacity is reported) comes with the exit.
    assert_near(native.period_ns, 1e9 / (rate + 1.0));
    assert_eq!(native.window_packets(), 100);
}

#[test]
fn the_first_loss_ends_slow_start_without_a_decrease() {
    let origin = virtual_time::origin();
    for end in [0, 1] {
        let mut native = native(origin);
        native.take_in_report(&report(16 + 8 * 1000, 1));
        match end {
            0 => native.on_lost(&lost(origin, 3, 20)),
            _ => native.on_timeout(origin, 20),
        }
        assert!(!native.is_in_slow_start() && !native.lost_since_increase);
        assert_near(native.period_ns, 1e9 / 1016.0);
    }
}

#[test]
fn after_slow_start_the_window_follows_the_delivery_rate() {
    let origin = virtual_time::origin();
    let mut native = cruising(origin, 1000.0, 1);
    native.delivery_rate = 10_000;
    native.on_feedback(&feedback(origin + Duration::from_millis(10), 1));
    assert_eq!(native.window_packets(), 10_000 / 20 + 16, "10,000/s times 40 ms and 10 ms, and 16");
}

/// Table of section 5.2: spare capacity in bits per second, increase in packets per RC interval.
#[test]
fn the_increase_follows_the_magnitude_of_the_spare_capacity() {
    let origin = virtual_time::origin();
    for (spare_bits_per_s, increase) in [
        (1e4, 0.01),
        (1e5, 0.01),
        (1e6, 0.01),
        (1e7, 0.01),
        (0.9e8, 0.1),
        (1.1e8, 1.0),
        (0.9e9, 1.0),
        (0.9e10, 10.0),
        (1.1e10, 100.0),
    ] {
        let spare = (spare_bits_per_s / 12_000.0) as u32;
        let native = cruising(origin, 1000.0, 1000 + spare);
        assert_near(native.increase_packets(), increase);
    }
    assert_near(cruising(origin, 1000.0, 500).increase_packets(), 0.01);
}

#[test]
fn below_the_last_decrease_a_ninth_of_the_capacity_counts() {
    let origin = virtual_time::origin();
    let mut native = cruising(origin, 1000.0, 70_000);
    assert_near(native.increase_packets(), 1.0);
    native.period_ns *= 1.01;
    assert_near(native.increase_packets(), 0.1);
}

/// The second row of the table: 12 Mbit/s more per second at an increase of 0.1.
#[test]
fn the_rate_grows_by_the_increase_in_each_interval() {
    let origin = virtual_time::origin();
    let mut native = cruising(origin, 1000.0, 8_000);
    for step in 1..=100 {
        native.on_feedback(&feedback(origin + RC_INTERVAL * step, u64::from(step)));
    }
    assert_near(1e9 / native.period_ns, 1000.0 + 12e6 / 12_000.0);
}

#[test]
fn a_loss_takes_a_ninth_and_one_increase() {
    let origin = virtual_time::origin();
    let mut native = cruising(origin, 9000.0, 9000);
    native.on_lost(&lost(origin, 5, 100));
    assert_near(1e9 / native.period_ns, 8000.0);
    native.on_feedback(&feedback(origin + RC_INTERVAL, 1));
    assert_near(1e9 / native.period_ns, 8000.0);
    native.on_feedback(&feedback(origin + RC_INTERVAL * 2, 2));
    assert!(1e9 / native.period_ns > 8000.0);
}

#[test]
fn an_epoch_ends_with_the_packets_that_were_sent_before_the_decrease() {
    let origin = virtual_time::origin();
    let mut native = cruising(origin, 9000.0, 9000);
    native.on_lost(&lost(origin, 5, 100));
    assert_eq!((native.epoch.ends_at, native.epoch.stride, native.epoch.decreases), (100, 1, 1));
    // Within the epoch, with stride 1, four more reports decrease the rate, whatever they name.
    for next_tag in 101..=110 {
        native.on_lost(&lost(origin, 99, next_tag));
    }
    assert_eq!(native.epoch.ends_at, 104);
    assert_near(native.period_ns, 1e9 / 9000.0 * DECREASE.powi(5));
    native.on_lost(&lost(origin, 103, 200));
    assert_near(native.period_ns, 1e9 / 9000.0 * DECREASE.powi(5));
    native.on_lost(&lost(origin, 104, 200));
    assert_near(native.period_ns, 1e9 / 9000.0 * DECREASE.powi(6));
    assert_eq!((native.epoch.ends_at, native.epoch.reports, native.epoch.mean_reports), (200, 1, 1));
}

#[test]
fn many_reports_per_epoch_thin_out_the_decreases() {
    let origin = virtual_time::origin();
    let mut native = cruising(origin, 9000.0, 9000);
    native.epoch.mean_reports = 80;
    let strides: Vec<u32> = (0..200u64)
        .map(|epoch| {
            native.epoch.mean_reports = 80;
            native.on_lost(&lost(origin, epoch * 10, epoch * 10 + 10));
            native.epoch.stride
        })
        .collect();
    assert!(strides.iter().all(|&stride| (1..=71).contains(&stride)), "{strides:?}");
    let mean = f64::from(strides.iter().sum::<u32>()) / strides.len() as f64;
    assert!((25.0..46.0).contains(&mean), "uniform over 1 ..= 71, but {mean}");
    let mut again = cruising(origin, 9000.0, 9000);
    again.epoch.mean_reports = 80;
    again.on_lost(&lost(origin, 0, 10));
    assert_eq!(again.epoch.stride, strides[0], "the same seed draws the same numbers");
}

/// Pitfall 21, and whatever else a peer may report.
#[test]
fn absurd_reports_overflow_nothing() {
    let origin = virtual_time::origin();
    let mut native = native(origin);
    for step in 1..1000u64 {
        let receiver = report(u32::MAX, if step % 3 == 0 { 0 } else { u32::MAX });
        let (now, srtt) = (origin + RC_INTERVAL * step as u32, Duration::from_secs(u64::from(u32::MAX)));
        native.on_feedback(&Feedback { receiver, srtt, ..feedback(now, step * 1_000_000_000) });
        native.on_lost(&lost(now, u64::MAX, u64::MAX - 1));
        assert!(native.window_packets() <= SETUP_WINDOW && native.quantum_packets() >= 1);
        assert!(native.period_ns.is_finite() && native.period_ns >= PERIOD_NS_MIN);
    }
    assert!(native.delivery_rate_packets_per_s() <= MAX_REPORT_PACKETS_PER_S);
    for _ in 0..10_000 {
        native.on_lost(&lost(origin, u64::MAX, 0));
    }
    assert!(native.pace().interval <= Duration::from_secs(100));
}

#[test]
fn a_report_of_zero_is_no_report() {
    let mut native = native(virtual_time::origin());
    native.take_in_report(&report(0, 0));
    assert_eq!((native.delivery_rate_packets_per_s(), native.link_capacity_packets_per_s()), (16, 1));
    for _ in 0..100 {
        native.take_in_report(&report(1, 1));
    }
    assert_eq!(native.delivery_rate_packets_per_s(), 1, "and it never becomes 0");
}

#[test]
fn limits_hold_at_once_in_slow_start_and_after() {
    let origin = virtual_time::origin();
    let mut native = native(origin);
    native.set_max_rate(Some(1000.0));
    assert_eq!(native.pace().interval, Duration::from_millis(1));
    assert_eq!(native.quantum_packets(), 1);
    native.set_max_rate(None);
    assert_eq!(native.pace().interval, Duration::from_micros(1));
    assert_eq!(native.quantum_packets(), 44);
    let mut native = cruising(origin, 5000.0, 1);
    native.set_max_rate(Some(100.0));
    native.set_min_rate(Some(200.0));
    assert_eq!(native.pace().interval, Duration::from_millis(10), "there is no minimum");
    native.set_max_rate(Some(1e6));
    assert_eq!(native.pace().interval, Duration::from_millis(10), "after a higher limit it grows from there");
    native.set_max_rate(Some(f64::NAN));
    assert!(native.pace().interval > Duration::from_secs(1));
}

/// Section 5.5: r ≈ sqrt(9 · 10^4 · inc / p). One report per lost packet, RTT 20 ms,
/// everything is repaired.
#[test]
fn random_loss_leads_to_the_equilibrium_of_the_specification() {
    for (loss, capacity, increase) in [(1e-2_f64, 100_000, 1.0_f64), (1e-2, 1_000_000, 10.0), (1e-3, 100_000, 1.0)] {
        let expected = (9e4 * increase / loss).sqrt();
        let measured = mean_rate_under_loss(loss, capacity, Duration::from_secs(60));
        let ratio = measured / expected;
        assert!((0.67..1.5).contains(&ratio), "p {loss}, L {capacity}: {measured} instead of {expected} packets/s");
    }
}

/// Packets per second over the second half of `length`.
fn mean_rate_under_loss(loss: f64, capacity: u32, length: Duration) -> f64 {
    const RTT: Duration = Duration::from_millis(20);
    let origin = virtual_time::origin();
    let mut native = cruising(origin, 1000.0, capacity);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let (mut now, mut next_tag, mut half_tag) = (origin, 0u64, 0);
    let mut losses: VecDeque<(Instant, u64)> = VecDeque::new();
    let mut next_ack = origin + RTT;
    // What was sent in the last RTT, as a receiver would report it.
    let mut sent_times: VecDeque<Instant> = VecDeque::new();
    while now < origin + length {
        while let Some((_, first)) = losses.front().copied().filter(|&(at, _)| at <= now) {
            losses.pop_front();
            native.on_lost(&lost(now, first, next_tag));
        }
        if next_ack <= now {
            let speed = (sent_times.len() as f64 / RTT.as_secs_f64()) as u32;
            let receiver = report(speed, capacity);
            native.on_feedback(&Feedback { receiver, srtt: RTT, ..feedback(now, next_tag) });
            next_ack += RC_INTERVAL;
        }
        if rng.random_bool(loss) {
            losses.push_back((now + RTT, next_tag));
        }
        sent_times.push_back(now);
        while sent_times.front().is_some_and(|&at| at + RTT < now) {
            sent_times.pop_front();
        }
        next_tag += 1;
        now += native.pace().interval;
        if now < origin + length / 2 {
            half_tag = next_tag;
        }
    }
    (next_tag - half_tag) as f64 / (length / 2).as_secs_f64()
}
