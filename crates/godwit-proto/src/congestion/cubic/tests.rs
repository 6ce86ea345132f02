//! RFC 9438's arithmetic in virtual time, and what HyStart++ makes of slow start.

use super::super::{ReceiverReport, RttSample};
use super::*;
use crate::virtual_time;

/// A flow that uses its whole window: each 10 ms the packets of that time are acknowledged.
struct Flow {
    cubic: Cubic,
    origin: Instant,
    now: Instant,
    round_end: Instant,
    rtt: Duration,
    acked_to: u64,
    /// The part of the window that the application uses.
    use_of_window: f64,
}

const TICK: Duration = Duration::from_millis(10);

impl Flow {
    fn new(rtt_ms: u64) -> Self {
        let origin = virtual_time::origin();
        let setup = setup(origin, Start::Blank);
        let rtt = Duration::from_millis(rtt_ms);
        let cubic = Cubic::new(&setup);
        Self { cubic, origin, now: origin, round_end: origin, rtt, acked_to: 0, use_of_window: 1.0 }
    }

    /// In congestion avoidance, just after a loss at this window.
    fn after_loss_at(window: f64, rtt_ms: u64) -> Self {
        let mut flow = Self::new(rtt_ms);
        flow.cubic.window = window;
        flow.lose();
        flow
    }

    fn in_flight(&self) -> u32 {
        (self.cubic.window * self.use_of_window) as u32
    }

    fn tick(&mut self) {
        self.now += TICK;
        let in_flight_packets = self.in_flight();
        let delivered = (f64::from(in_flight_packets) * TICK.as_secs_f64() / self.rtt.as_secs_f64()).round() as u32;
        self.acked_to += u64::from(delivered);
        let next_tag = self.acked_to + u64::from(in_flight_packets);
        self.cubic.on_sent(in_flight_packets);
        let is_round_start = self.now >= self.round_end;
        if is_round_start {
            self.round_end = self.now + self.rtt;
        }
        self.cubic.on_feedback(&Feedback {
            now: self.now,
            acked_to: self.acked_to,
            newly_delivered: delivered,
            delivered_total: self.acked_to,
            interval: Duration::ZERO,
            sample_delivered: 0,
            sample_app_limited: false,
            rtt: Some(RttSample { rtt: self.rtt, exact: true }),
            srtt: self.rtt,
            receiver: ReceiverReport::default(),
            in_flight_packets,
            next_tag,
            is_round_start,
            is_exact: true,
        });
    }

    fn run(&mut self, seconds: f64) {
        (0..(seconds * 100.0).round() as u32).for_each(|_| self.tick());
    }

    fn lose(&mut self) {
        let (first, in_flight_packets) = (self.acked_to, self.in_flight());
        let next_tag = first + u64::from(in_flight_packets);
        self.cubic.on_lost(&Lost { now: self.now, first, packets: 1, next_tag, in_flight_packets });
        // What was in flight arrives; the next stage begins.
        self.acked_to = next_tag;
    }

    fn assert_window(&self, expected: f64) {
        let window = self.cubic.window;
        let time = self.now - self.origin;
        assert!((window / expected - 1.0).abs() < 0.01, "{window} instead of {expected} at {time:?}");
    }
}

fn setup(now: Instant, start: Start) -> Setup {
    Setup { now, unix_time: Duration::ZERO, packet_bytes: 1500, max_window_packets: 100_000, seed: 1, start }
}

/// Sections 4.2, 4.4 and 4.5: W(t) = 0.4 (t − K)³ + W_max with K = cbrt(0.3 W_max / 0.4).
#[test]
fn the_window_follows_the_curve() {
    let mut flow = Flow::after_loss_at(1000.0, 100);
    flow.assert_window(700.0);
    // K is 9.086 s.
    for (seconds, expected) in [(4.543, 962.5), (4.543, 1000.0), (5.0, 1050.0), (5.0, 1400.0)] {
        flow.run(seconds);
        flow.assert_window(expected);
    }
}

#[test]
fn the_curve_does_not_depend_on_the_round_trip_time() {
    for rtt_ms in [40, 100, 300] {
        let mut flow = Flow::after_loss_at(2000.0, rtt_ms);
        flow.run(5.0);
        // K is 11.45 s: 2000 − 0.4 · 6.45³.
        let window = flow.cubic.window;
        assert!((window - 1892.0).abs() < 25.0, "{window} at {rtt_ms} ms");
    }
}

/// Section 4.7.
#[test]
fn a_window_below_its_last_maximum_leaves_room() {
    let mut flow = Flow::after_loss_at(1000.0, 100);
    flow.run(1.0);
    let window = flow.cubic.window;
    assert!(window < 1000.0);
    flow.lose();
    assert_eq!((flow.cubic.window, flow.cubic.window_max), (0.7 * window, 0.85 * window));
}

/// Section 4.3: small windows grow as Reno's, by 0.53 per RTT up to where they were, then by one.
#[test]
fn short_paths_grow_as_reno() {
    let mut flow = Flow::after_loss_at(40.0, 20);
    flow.run(0.4);
    let reno = 28.0 + ALPHA * 20.0;
    assert!((flow.cubic.window - reno).abs() < 1.0, "{} instead of {reno}", flow.cubic.window);
    flow.run(0.1);
    let before = flow.cubic.window;
    assert!(before > 40.0, "{before}");
    flow.run(0.2);
    assert!((flow.cubic.window - before - 10.0).abs() < 1.0, "{} after {before}", flow.cubic.window);
}

#[test]
fn one_round_trip_is_reduced_once() {
    let mut flow = Flow::after_loss_at(1000.0, 100);
    flow.run(1.0);
    let (window, first) = (flow.cubic.window, flow.acked_to);
    let (now, next_tag) = (flow.now, first + 1000);
    let mut lose = |first, packets, next_tag| {
        flow.cubic.on_lost(&Lost { now, first, packets, next_tag, in_flight_packets: 700 });
        flow.cubic.window
    };
    assert_eq!(lose(first, 0, next_tag), window, "a repetition is no news");
    assert_eq!(lose(first, 3, next_tag), 0.7 * window);
    assert_eq!(lose(first + 999, 40, next_tag + 50), 0.7 * window);
    assert_eq!(lose(first + 1000, 1, next_tag + 60), 0.7 * 0.7 * window);
}

#[test]
fn nothing_grows_before_the_loss_is_repaired() {
    let mut flow = Flow::after_loss_at(1000.0, 100);
    flow.cubic.recovery_end = flow.acked_to + 1000;
    flow.run(0.1);
    assert_eq!(flow.cubic.window, 700.0);
    flow.run(1.0);
    assert!(flow.cubic.window > 700.0);
}

/// Section 5.8, and RFC 9406 section 4.3 for slow start.
#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut flow = Flow::new(100);
    flow.use_of_window = 0.3;
    flow.run(2.0);
    assert_eq!(flow.cubic.window, INITIAL_WINDOW);

    let mut flow = Flow::after_loss_at(1000.0, 100);
    flow.run(4.0);
    let before = flow.cubic.window;
    flow.use_of_window = 0.5;
    flow.run(60.0);
    assert!(flow.cubic.window < 1.05 * before, "the round in which the flight shrinks may count");
    flow.use_of_window = 1.0;
    flow.run(5.086);
    assert!((flow.cubic.window - 1000.0).abs() < 15.0, "the pause did not count: {}", flow.cubic.window);
}

#[test]
fn slow_start_doubles_until_the_round_trip_time_rises() {
    let mut flow = Flow::new(100);
    flow.run(0.5);
    // Acknowledged without a delay, a window that grows by what is delivered grows by e in each RTT.
    let window = flow.cubic.window;
    assert!((10.0 * 2_f64.powi(5)..10.0 * 2.72_f64.powi(5)).contains(&window), "{window}");
    flow.rtt = Duration::from_millis(120);
    let before = flow.cubic.window;
    flow.run(1.0);
    assert!(!flow.cubic.is_in_slow_start(), "five slower rounds and it is over");
    // Most of a round until it is noticed, then a quarter of the growth.
    assert!(flow.cubic.window < 8.0 * before, "{} after {before}", flow.cubic.window);
    // Section 4.10: the curve begins at its plateau.
    let exit = flow.cubic.window;
    flow.run(0.5);
    assert!(flow.cubic.window < 1.05 * exit && flow.cubic.window_max < 1.05 * exit);
}

/// Section 4.8.
#[test]
fn a_timeout_begins_again_with_one_packet() {
    let mut flow = Flow::after_loss_at(1000.0, 100);
    flow.run(1.0);
    let before = flow.cubic.window;
    flow.cubic.on_timeout(flow.now, flow.acked_to);
    assert_eq!((flow.cubic.window_packets(), flow.cubic.slow_start_threshold), (1, 0.7 * before));
    flow.rtt = Duration::from_millis(20);
    flow.run(0.4);
    assert!(!flow.cubic.is_in_slow_start(), "{}", flow.cubic.window);
    assert!(flow.cubic.window < 0.8 * before, "{} after {before}", flow.cubic.window);
}

#[test]
fn it_is_paced_within_its_bound() {
    let mut flow = Flow::after_loss_at(1000.0, 100);
    flow.tick();
    let expected = 0.1 / (1.2 * flow.cubic.window);
    assert!((flow.cubic.pace().interval.as_secs_f64() / expected - 1.0).abs() < 1e-3);
    flow.cubic.set_max_rate(Some(1000.0));
    assert_eq!(flow.cubic.pace().interval, Duration::from_millis(1));
    flow.cubic.set_max_rate(Some(f64::NAN));
    assert!(flow.cubic.pace().interval >= Duration::from_secs(1));
    let (window, _) = (flow.cubic.window_packets(), flow.cubic.set_max_window(5));
    assert_eq!((window > 5, flow.cubic.window_packets()), (true, 5));
}

#[test]
fn it_takes_over_at_half_the_rate() {
    let origin = virtual_time::origin();
    let srtt = Duration::from_millis(100);
    let start = |packets_per_s| Start::Takeover { next_tag: 500, packets_per_s, srtt };
    let mut cubic = Cubic::new(&setup(origin, start(Some(8000.0))));
    assert!(cubic.is_in_slow_start());
    assert_eq!((cubic.window, cubic.window_packets()), (400.0, 440), "and 10 ms of it wait for their acknowledgement");
    cubic.on_lost(&Lost { now: origin, first: 499, packets: 1, next_tag: 600, in_flight_packets: 100 });
    assert_eq!(cubic.window, 400.0, "what the other sent is not its fault");
    cubic.on_lost(&Lost { now: origin, first: 500, packets: 1, next_tag: 600, in_flight_packets: 100 });
    assert_eq!(cubic.window, 280.0);
    assert_eq!(Cubic::new(&setup(origin, start(None))).window, 10.0);
    assert_eq!(Cubic::new(&setup(origin, start(Some(1e12)))).window_packets(), 100_000);
}
