//! One connection of a test, on the side that sends.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use godwit_http::Transport;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, timeout};

use super::connection::{Connection, Counters};
use super::error::PerfError;
use super::lines::Lines;
use super::protocol::{Hello, Limit, NotOurs, Report, ServerLine, first_line, parse_first, parse_later};
use super::url::Target;

/// How long the server may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// A server reports ten times a second, so after this it is gone, or the path is.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Over TCP, where nobody else keeps the rate: what may go out at once, and how often more is allowed.
const BURST: Duration = Duration::from_millis(20);
const PACE: Duration = Duration::from_millis(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Sender {
    connection: Connection,
    lines: Lines,
    target: Target,
    hello: Hello,
    /// What is sent, again and again.
    noise: Arc<[u8]>,
    written: u64,
    write_error: Option<io::Error>,
    pace: Option<Pace>,
    latest: watch::Sender<Sample>,
}

/// What is known of a connection at one time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) report: Report,
    pub(super) counters: Counters,
    /// The least round-trip time of all samples.
    pub(super) rtt_min: Option<Duration>,
}

#[derive(Debug)]
struct Pace {
    bytes_per_s: u64,
    started: Instant,
    ticks: Interval,
}

/// What happened next.
enum Event {
    Line,
    Written(usize),
    /// Time has passed, so that more may be written.
    Tick,
}

impl Sender {
    /// Gives each connection its part of the test.
    pub(super) fn new(
        connection: Connection,
        target: Target,
        hello: Hello,
        noise: Arc<[u8]>,
        max_rate_bits_per_s: Option<u64>,
    ) -> Self {
        let rate = max_rate_bits_per_s.filter(|_| connection.transport() == Transport::Tcp);
        let pace = rate.map(|bits_per_s| Pace {
            bytes_per_s: bits_per_s.div_ceil(8),
            started: Instant::now(),
            ticks: tokio::time::interval(PACE),
        });
        let (latest, _) = watch::channel(Sample::default());
        Self { connection, lines: Lines::new(), target, hello, noise, written: 0, write_error: None, pace, latest }
    }

    /// Says what is coming and waits until the server takes it.
    ///
    /// # Errors
    /// It does not, or it is no such server.
    pub(super) async fn greet(mut self) -> Result<Self, PerfError> {
        let silent = PerfError::Silent { target: self.target.clone(), after: ANSWER_TIME_MAX };
        timeout(ANSWER_TIME_MAX, self.greet_in_time()).await.unwrap_or(Err(silent))?;
        Ok(self)
    }

    /// Where the newest sample is found.
    pub(super) fn latest(&self) -> watch::Receiver<Sample> {
        self.latest.subscribe()
    }

    /// Sends until the server has had enough.
    ///
    /// # Errors
    /// It never has.
    pub(super) async fn run(mut self) -> Result<(), PerfError> {
        if let Some(pace) = &mut self.pace {
            pace.started = Instant::now();
        }
        loop {
            let heard = timeout(SILENCE_MAX, self.write_until_line()).await;
            heard.map_err(|_| PerfError::Silent { target: self.target.clone(), after: SILENCE_MAX })??;
            let Ok(ServerLine::Report(report)) = parse_later(self.lines.line()) else {
                return Err(PerfError::Malformed { target: self.target.clone() });
            };
            self.publish(report);
            if report.is_last {
                return Ok(());
            }
        }
    }

    async fn greet_in_time(&mut self) -> Result<(), PerfError> {
        let hello = first_line(&self.hello);
        let mut rest = &hello[..];
        while !rest.is_empty() {
            let written = poll_fn(|context| self.connection.poll_write(context, rest)).await;
            rest = &rest[written.map_err(|source| PerfError::Lost { target: self.target.clone(), source })?..];
        }
        let line = poll_fn(|context| self.lines.poll_next(context, &mut self.connection)).await;
        line.map_err(|error| PerfError::no_line(&self.target, error, false))?;
        let target = self.target.clone();
        match parse_first(self.lines.line()) {
            Ok(ServerLine::Ready) => Ok(()),
            Ok(ServerLine::Refused(refusal)) => Err(PerfError::Refused { target, refusal }),
            Err(NotOurs::Version) => Err(PerfError::Version { target }),
            Ok(ServerLine::Report(_)) | Err(NotOurs::Content) => Err(PerfError::Malformed { target }),
        }
    }

    async fn write_until_line(&mut self) -> Result<(), PerfError> {
        loop {
            match poll_fn(|context| self.poll_event(context)).await? {
                Event::Line => return Ok(()),
                Event::Written(bytes) => self.written += bytes as u64,
                Event::Tick => {}
            }
            // A connection that takes everything at once must not keep the others from their turn.
            tokio::task::consume_budget().await;
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<Event, PerfError>> {
        if let Poll::Ready(line) = self.lines.poll_next(context, &mut self.connection) {
            // If writing has failed before, that was the reason.
            return Poll::Ready(line.map(|()| Event::Line).map_err(|error| match self.write_error.take() {
                Some(source) => PerfError::Lost { target: self.target.clone(), source },
                None => PerfError::no_line(&self.target, error, true),
            }));
        }
        let left = match self.hello.limit {
            Limit::Bytes(bytes) => bytes - self.written,
            Limit::Milliseconds(_) => u64::MAX,
        };
        if left == 0 || self.write_error.is_some() {
            return Poll::Pending;
        }
        let allowed = self.pace.as_ref().map_or(u64::MAX, |pace| pace.allowed_bytes(self.written));
        if let (0, Some(pace)) = (allowed, &mut self.pace) {
            return pace.ticks.poll_tick(context).map(|_| Ok(Event::Tick));
        }
        let bytes = usize::try_from(left.min(allowed)).unwrap_or(usize::MAX).min(self.noise.len());
        match ready!(self.connection.poll_write(context, &self.noise[..bytes])) {
            Ok(written) => Poll::Ready(Ok(Event::Written(written))),
            Err(error) => {
                // The last report may have come before the end: it can still be read.
                self.write_error = Some(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn publish(&self, report: Report) {
        let counters = self.connection.counters();
        self.latest.send_modify(|sample| {
            let rtt_min = counters.rtt.into_iter().chain(sample.rtt_min).min();
            *sample = Sample { report, counters, rtt_min };
        });
    }
}

impl Pace {
    fn allowed_bytes(&self, written: u64) -> u64 {
        let time = self.started.elapsed() + BURST;
        let allowed = u128::from(self.bytes_per_s) * time.as_micros() / 1_000_000;
        u64::try_from(allowed).unwrap_or(u64::MAX).saturating_sub(written)
    }
}
