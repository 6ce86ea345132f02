//! Flows while they run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::flow::Flow;
use crate::error::TransferError;
use crate::network::Counters;
use crate::results::Run;

/// How often files are looked at in the first second, where short transfers live, and later.
const EARLY_INTERVAL: Duration = Duration::from_millis(1);
const LATE_INTERVAL: Duration = Duration::from_millis(5);
const EARLY: Duration = Duration::from_secs(1);
/// Connections and processes are looked at as soon as something has arrived, and then so often.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Their memory is looked at so often.
const GLANCE_INTERVAL: Duration = Duration::from_millis(100);

/// Several flows, or one.
pub(super) struct Watch<'a> {
    flows: Vec<Flow<'a>>,
    starts: Vec<Duration>,
    began: Instant,
    /// After the start of the last flow.
    limit: Duration,
    /// From each flow's start to its end or to the limit, in seconds.
    seconds: Vec<Option<f64>>,
    looked: Vec<Option<Instant>>,
    glanced: Instant,
}

impl<'a> Watch<'a> {
    pub(super) fn new(flows: Vec<Flow<'a>>, starts: Vec<Duration>, limit: Duration) -> Self {
        let (seconds, looked) = (vec![None; flows.len()], vec![None; flows.len()]);
        let began = Instant::now();
        Self { flows, starts, began, limit, seconds, looked, glanced: began }
    }

    /// Starts each flow in its time and returns when all have ended, the time is over, or somebody wants it to end.
    pub(super) fn watch(&mut self, is_interrupted: &AtomicBool) -> Result<(), (usize, TransferError)> {
        self.began = Instant::now();
        let over = self.began + self.last_start() + self.limit;
        let must_go_on = || Instant::now() < over && !is_interrupted.load(Ordering::Relaxed);
        while must_go_on() && self.seconds.iter().any(Option::is_none) {
            for number in 0..self.flows.len() {
                self.turn(number).map_err(|error| (number, error))?;
            }
            if self.glanced.elapsed() >= GLANCE_INTERVAL {
                self.flows.iter_mut().for_each(Flow::glance);
                self.glanced = Instant::now();
            }
            let is_early = self.began.elapsed() < self.last_start() + EARLY;
            let interval = if is_early { EARLY_INTERVAL } else { LATE_INTERVAL };
            sleep(interval.min(over.saturating_duration_since(Instant::now())));
        }
        for (flow, seconds) in self.flows.iter_mut().zip(&mut self.seconds).filter(|(_, seconds)| seconds.is_none()) {
            flow.sample();
            *seconds = Some(flow.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Ends them and says what they came to.
    pub(super) fn finish(self, round: u32, must_compare: bool, path: &Counters) -> Vec<Run> {
        let rates = self.rates_together();
        let mut runs = Vec::new();
        let starts: Vec<f64> = self.starts.iter().map(Duration::as_secs_f64).collect();
        for ((flow, seconds), overlap_bits_per_s) in self.flows.into_iter().zip(self.seconds).zip(rates) {
            let run = flow.finish(seconds.unwrap_or(0.0), round, must_compare);
            let (flow, starts_s) = (runs.len(), starts[runs.len()]);
            runs.push(Run { flow, starts_s, overlap_bits_per_s, path: path.clone(), ..run });
        }
        runs
    }

    /// The rates while all flows ran, from the start of the last to the end of the first; nothing of a flow that was alone.
    fn rates_together(&self) -> Vec<Option<f64>> {
        let last_start = self.last_start().as_secs_f64();
        let ends = self.starts.iter().zip(&self.seconds);
        let first_end =
            ends.map(|(start, seconds)| start.as_secs_f64() + seconds.unwrap_or(0.0)).fold(f64::MAX, f64::min);
        if self.flows.len() == 1 || first_end <= last_start {
            return vec![None; self.flows.len()];
        }
        let rate = |(flow, start): (&Flow<'_>, &Duration)| {
            let bytes_at = |time: f64| flow.growth().bytes_at(time - start.as_secs_f64());
            Some((bytes_at(first_end) - bytes_at(last_start)) * 8.0 / (first_end - last_start))
        };
        self.flows.iter().zip(&self.starts).map(rate).collect()
    }

    fn turn(&mut self, number: usize) -> Result<(), TransferError> {
        if self.seconds[number].is_some() || self.began.elapsed() < self.starts[number] {
            return Ok(());
        }
        let flow = &mut self.flows[number];
        flow.start()?;
        let has_ended = flow.has_ended();
        let has_begun = flow.sample();
        if has_ended {
            self.seconds[number] = Some(flow.elapsed().as_secs_f64());
        } else if has_begun && self.looked[number].is_none_or(|looked| looked.elapsed() >= LOOK_INTERVAL) {
            flow.look();
            self.looked[number] = Some(Instant::now());
        }
        Ok(())
    }

    fn last_start(&self) -> Duration {
        self.starts.iter().copied().max().unwrap_or_default()
    }
}
