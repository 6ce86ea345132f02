//! What a test came to.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::protocol::{Report, micros};
use super::sender::Sample;

/// All of a test. Times are seconds unless they say otherwise.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) godwit_version: &'static str,
    pub(super) transport: &'static str,
    /// UDT's, on the side that sends.
    pub(super) policy: Option<&'static str>,
    /// Over UDT, whether the sender asked for it.
    pub(super) segmentation_offload: Option<bool>,
    pub(super) peer: SocketAddr,
    pub(super) connections: usize,
    /// What arrived, over the time from the first byte's arrival to the last's.
    pub(super) goodput_bits_per_second: f64,
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    /// From the first write to the last report.
    pub(super) sender_seconds: f64,
    pub(super) cpu_seconds_sender: f64,
    pub(super) cpu_seconds_receiver: f64,
    /// UDT tells.
    pub(super) sent_packets: Option<u64>,
    pub(super) retransmitted_packets: Option<u64>,
    /// At the receiver.
    pub(super) duplicate_packets: Option<u64>,
    /// Since the server started, of its socket.
    pub(super) kernel_drops_receiver: Option<u64>,
    /// Smoothed, at the end; the mean of the connections.
    pub(super) rtt_us: Option<u64>,
    /// The least that any connection saw.
    pub(super) rtt_us_min: Option<u64>,
    /// The difference: what waits on the path.
    pub(super) queue_us: Option<u64>,
    /// Of the connections' rates: 1 if all are the same, 1/n if one has everything.
    pub(super) jain_index: f64,
    /// The most connections that the server had at once, of all clients.
    pub(super) connections_receiver: usize,
    /// Whether a signal ended it.
    pub(super) interrupted: bool,
    pub(super) intervals: Vec<Interval>,
    pub(super) per_connection: Vec<ConnectionOutcome>,
}

/// A second of the test.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Interval {
    /// From the start to the end of it.
    pub(super) seconds: f64,
    pub(super) bytes: u64,
    pub(super) bits_per_second: f64,
    pub(super) retransmitted_packets: Option<u64>,
    pub(super) rtt_us: Option<u64>,
}

/// One connection's part.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ConnectionOutcome {
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    pub(super) goodput_bits_per_second: f64,
    pub(super) retransmitted_packets: Option<u64>,
    pub(super) rtt_us: Option<u64>,
    pub(super) rtt_us_min: Option<u64>,
}

/// What only the sending side knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendingSide {
    pub(super) transport: &'static str,
    pub(super) policy: Option<&'static str>,
    pub(super) segmentation_offload: Option<bool>,
    pub(super) peer: SocketAddr,
    pub(super) time: Duration,
    pub(super) cpu_time: Duration,
    pub(super) connections_receiver: usize,
    pub(super) interrupted: bool,
}

impl Outcome {
    /// Of the last sample of each connection.
    pub(super) fn new(side: SendingSide, samples: &[Sample], intervals: Vec<Interval>) -> Self {
        let reports = || samples.iter().map(|sample| &sample.report);
        let bytes = reports().map(|report| report.bytes).sum();
        let first_us = reports().filter_map(|report| report.first_byte_us).min();
        let last_us = reports().filter(|report| report.first_byte_us.is_some()).map(|report| report.now_us).max();
        let time_us = last_us.unwrap_or(0).saturating_sub(first_us.unwrap_or(0));
        let cpu_us = reports().map(|report| report.cpu_us).max().unwrap_or(0);
        let cpu_at_start_us = reports().map(|report| report.cpu_at_start_us).min().unwrap_or(0);
        let per_connection: Vec<_> = samples.iter().map(ConnectionOutcome::new).collect();
        let rtt_us = mean(per_connection.iter().filter_map(|connection| connection.rtt_us));
        let rtt_us_min = per_connection.iter().filter_map(|connection| connection.rtt_us_min).min();
        Self {
            godwit_version: env!("CARGO_PKG_VERSION"),
            transport: side.transport,
            policy: side.policy,
            segmentation_offload: side.segmentation_offload,
            peer: side.peer,
            connections: samples.len(),
            goodput_bits_per_second: bits_per_second(bytes, time_us),
            bytes,
            seconds: time_us as f64 / 1e6,
            sender_seconds: side.time.as_secs_f64(),
            cpu_seconds_sender: side.cpu_time.as_secs_f64(),
            cpu_seconds_receiver: cpu_us.saturating_sub(cpu_at_start_us) as f64 / 1e6,
            sent_packets: sum(samples.iter().map(|sample| sample.counters.sent_packets)),
            retransmitted_packets: retransmitted(samples),
            duplicate_packets: sum(reports().map(|report| report.duplicate_packets)),
            kernel_drops_receiver: reports().filter_map(|report| report.kernel_drops).max(),
            rtt_us,
            rtt_us_min,
            queue_us: rtt_us.zip(rtt_us_min).map(|(rtt, least)| rtt.saturating_sub(least)),
            jain_index: jain_index(per_connection.iter().map(|connection| connection.goodput_bits_per_second)),
            connections_receiver: side.connections_receiver,
            interrupted: side.interrupted,
            intervals,
            per_connection,
        }
    }
}

impl Interval {
    /// Between the samples of two times, each connection by its receiver's clock: `seconds` after the start.
    pub(super) fn new(seconds: f64, before: &[Sample], now: &[Sample]) -> Self {
        let connections = || before.iter().zip(now).map(|(before, now)| (&before.report, &now.report));
        let again = retransmitted(now).map(|all| all.saturating_sub(retransmitted(before).unwrap_or(0)));
        Self {
            seconds,
            bytes: connections().map(|(before, now)| now.bytes.saturating_sub(before.bytes)).sum(),
            bits_per_second: connections().map(|(before, now)| rate_between(before, now)).sum(),
            retransmitted_packets: again,
            rtt_us: mean(now.iter().filter_map(|sample| sample.counters.rtt).map(micros)),
        }
    }
}

impl ConnectionOutcome {
    fn new(sample: &Sample) -> Self {
        let (bytes, time_us) = (sample.report.bytes, micros(sample.report.time()));
        Self {
            bytes,
            seconds: time_us as f64 / 1e6,
            goodput_bits_per_second: bits_per_second(bytes, time_us),
            retransmitted_packets: sample.counters.retransmitted_packets,
            rtt_us: sample.counters.rtt.map(micros),
            rtt_us_min: sample.rtt_min.map(micros),
        }
    }
}

/// By the receiver's clock, which starts with the first byte.
fn rate_between(before: &Report, now: &Report) -> f64 {
    let Some(first_us) = now.first_byte_us else { return 0.0 };
    let time_us = now.now_us.saturating_sub(before.now_us.max(first_us));
    bits_per_second(now.bytes.saturating_sub(before.bytes), time_us)
}

fn retransmitted(samples: &[Sample]) -> Option<u64> {
    sum(samples.iter().map(|sample| sample.counters.retransmitted_packets))
}

/// Of what is known; nothing if nothing is.
fn sum(parts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    parts.flatten().reduce(|sum, part| sum.saturating_add(part))
}

fn mean(values: impl Iterator<Item = u64>) -> Option<u64> {
    let (count, sum) = values.fold((0, 0_u64), |(count, sum), value| (count + 1, sum.saturating_add(value)));
    sum.checked_div(count)
}

/// (Σx)² / n Σx² (Jain, Chiu, Hawe, "A Quantitative Measure of Fairness", 1984); of nothing, everybody has the same.
pub(super) fn jain_index(rates: impl Iterator<Item = f64>) -> f64 {
    let (n, sum, squares) = rates.fold((0.0, 0.0, 0.0), |(n, sum, squares), x| (n + 1.0, sum + x, squares + x * x));
    if squares > 0.0 { sum * sum / (n * squares) } else { 1.0 }
}

/// What arrives within the clock's resolution took that long.
fn bits_per_second(bytes: u64, time_us: u64) -> f64 {
    bytes as f64 * 8e6 / time_us.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(bytes: u64, first_us: u64, now_us: u64, cpu_us: u64) -> Sample {
        let report = Report {
            bytes,
            first_byte_us: Some(first_us),
            now_us,
            cpu_at_start_us: 500_000,
            cpu_us,
            ..Report::default()
        };
        Sample { report, ..Sample::default() }
    }

    fn outcome(samples: &[Sample]) -> Outcome {
        let side = SendingSide {
            transport: "udt",
            policy: None,
            segmentation_offload: None,
            peer: ([127, 0, 0, 1], 9).into(),
            time: Duration::from_secs(2),
            cpu_time: Duration::from_secs(1),
            connections_receiver: 2,
            interrupted: false,
        };
        Outcome::new(side, samples, Vec::new())
    }

    #[test]
    fn the_time_is_that_of_all_connections_together() {
        let outcome =
            outcome(&[sample(1_000_000, 0, 1_000_000, 700_000), sample(1_000_000, 1_000_000, 2_000_000, 900_000)]);
        assert_eq!((outcome.bytes, outcome.seconds, outcome.goodput_bits_per_second), (2_000_000, 2.0, 8e6));
        assert_eq!((outcome.cpu_seconds_receiver, outcome.jain_index), (0.4, 1.0));
    }

    #[test]
    fn the_index_falls_when_one_has_everything() {
        assert_eq!(jain_index([4.0, 0.0, 0.0, 0.0].into_iter()), 0.25);
        assert_eq!(jain_index(std::iter::empty()), 1.0);
    }

    #[test]
    fn nothing_that_arrived_is_a_result_too() {
        let outcome = outcome(&[Sample::default()]);
        assert_eq!((outcome.bytes, outcome.goodput_bits_per_second, outcome.rtt_us), (0, 0.0, None));
    }

    #[test]
    fn an_interval_goes_by_the_receivers_clocks() {
        let before = [sample(1_000, 0, 1_000_000, 0), Sample::default()];
        let now = [sample(2_000, 0, 1_500_000, 0), sample(500, 1_400_000, 1_500_000, 0)];
        let interval = Interval::new(1.0, &before, &now);
        assert_eq!((interval.bytes, interval.bits_per_second), (1_500, 16_000.0 + 40_000.0));
    }
}
