//! `godwit perf send`: one test, and its result.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use godwit_http::Transport;
use godwit_udt::{Config, SocketConfig};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::connector::Connector;
use super::cpu_time;
use super::error::PerfError;
use super::outcome::{Interval, Outcome, SendingSide};
use super::protocol::{Hello, Limit, TEST_TIME_MAX};
use super::sender::{Sample, Sender};
use super::table::HEAD;
use super::url::{Target, scheme};
use crate::cli::{PerfSendArgs, SendingArgs};
use crate::commands::stoppable;
use crate::error::{CommandError, UsageError};
use crate::noise::noise;
use crate::policy::{policy_name, udt_builder};
use crate::signals::{Signals, StopSignal};
use crate::stderr;

/// What is sent, again and again: larger than a packet by far, small enough to stay in a processor's cache.
const NOISE_BYTES: usize = 256 << 10;
/// Send buffers of all connections together: many connections need not take memory for many long paths.
const SEND_BUFFERS_BYTES: usize = 256 << 20;
const SEND_BUFFER_BYTES_MAX: usize = 64 << 20;
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// Lines that are kept for the result: those of the longest test.
const INTERVALS_MAX: usize = TEST_TIME_MAX.as_secs() as usize;

/// One test.
#[derive(Debug)]
pub(crate) struct SendConfig {
    target: Target,
    limit: Limit,
    connections: usize,
    udt: Config,
    socket: SocketConfig,
    policy: Option<&'static str>,
    max_rate_bits_per_s: Option<u64>,
    is_json: bool,
}

impl SendConfig {
    /// # Errors
    /// Arguments that make no sense together.
    pub(super) fn new(args: PerfSendArgs, sending: &SendingArgs) -> Result<Self, UsageError> {
        let target: Target = match args.url.parse() {
            Ok(target) => target,
            Err(error) => return Err(UsageError::PerfUrl { text: args.url, error }),
        };
        let limit = match args.bytes {
            Some(bytes) if bytes < args.connections as u64 => return Err(UsageError::LessThanAByteEach),
            Some(bytes) => Limit::Bytes(bytes),
            None => Limit::Milliseconds(u64::try_from(args.secs.as_millis()).unwrap_or(u64::MAX)),
        };
        if args.secs > TEST_TIME_MAX {
            return Err(UsageError::TooLong { max: TEST_TIME_MAX });
        }
        let share_bytes = (SEND_BUFFERS_BYTES / args.connections).min(SEND_BUFFER_BYTES_MAX);
        let udt = udt_builder(sending)?.send_buffer_bytes(share_bytes).build();
        let policy = (target.transport == Transport::Udt).then(|| policy_name(sending.policy.unwrap_or_default()));
        Ok(Self {
            target,
            limit,
            connections: args.connections,
            udt: udt.expect("the arguments were checked, and shares of the buffers are in range"),
            socket: SocketConfig { segmentation_offload: !args.no_gso, ..SocketConfig::default() },
            policy,
            max_rate_bits_per_s: sending.max_rate,
            is_json: args.json,
        })
    }

    pub(super) fn transport(&self) -> Transport {
        self.target.transport
    }

    /// What each connection sends: its part of the bytes, the first ones one more where they do not divide.
    fn hello(&self, index: usize) -> Hello {
        let (connections, index) = (self.connections as u64, index as u64);
        let limit = match self.limit {
            Limit::Bytes(bytes) => Limit::Bytes(bytes / connections + u64::from(index < bytes % connections)),
            milliseconds @ Limit::Milliseconds(_) => milliseconds,
        };
        Hello { limit }
    }
}

/// Runs the test and prints its result, also when a signal ends it early.
pub(super) async fn run(config: SendConfig, is_quiet: bool, mut signals: Signals) -> Result<(), CommandError> {
    let mut connector = Connector::new(config.udt.clone(), config.socket);
    let done = test(&config, &mut connector, is_quiet, &mut signals).await;
    connector.close().await;
    done
}

async fn test(
    config: &SendConfig,
    connector: &mut Connector,
    is_quiet: bool,
    signals: &mut Signals,
) -> Result<(), CommandError> {
    let begin = async { begin(config, connector).await.map_err(CommandError::Perf) };
    let (peer, senders) = stoppable(begin, signals).await?;
    let mut test = Test::start(peer, senders);
    let lines = Lines { is_quiet, is_json: config.is_json };
    lines.print(format_args!("{HEAD}"))?;
    let signal = test.wait(lines, signals).await?;
    test.print(config, signal.is_some())?;
    signal.map_or(Ok(()), |signal| Err(CommandError::Stopped(signal)))
}

/// Connects, and waits until the server is ready on each connection.
async fn begin(config: &SendConfig, connector: &mut Connector) -> Result<(SocketAddr, Vec<Sender>), PerfError> {
    let connections = connector.connect(&config.target, config.connections).await?;
    let peer = connections[0].peer();
    let noise: Arc<[u8]> = noise(NOISE_BYTES).into();
    let mut greetings = JoinSet::new();
    for (index, connection) in connections.into_iter().enumerate() {
        let (hello, noise) = (config.hello(index), Arc::clone(&noise));
        let sender = Sender::new(connection, config.target.clone(), hello, noise, config.max_rate_bits_per_s);
        greetings.spawn(sender.greet());
    }
    let mut senders = Vec::new();
    while let Some(greeted) = greetings.join_next().await {
        senders.push(greeted.expect("nobody cancels it, and it does not panic")?);
    }
    Ok((peer, senders))
}

/// A test that is going on.
struct Test {
    peer: SocketAddr,
    started: Instant,
    cpu_time_at_start: Duration,
    /// Each ends when its server has had enough.
    senders: JoinSet<Result<(), PerfError>>,
    latest: Vec<watch::Receiver<Sample>>,
    /// At the last line.
    before: Vec<Sample>,
    intervals: Vec<Interval>,
    connections_receiver: usize,
}

impl Test {
    fn start(peer: SocketAddr, senders: Vec<Sender>) -> Self {
        let latest: Vec<_> = senders.iter().map(Sender::latest).collect();
        let cpu_time_at_start = cpu_time::of_this_process();
        Self {
            peer,
            started: Instant::now(),
            cpu_time_at_start,
            senders: senders.into_iter().map(Sender::run).collect(),
            before: vec![Sample::default(); latest.len()],
            latest,
            intervals: Vec::new(),
            connections_receiver: 0,
        }
    }

    /// Prints a line each second until all is done, or until a signal comes.
    async fn wait(&mut self, lines: Lines, signals: &mut Signals) -> Result<Option<StopSignal>, CommandError> {
        let mut ticks = tokio::time::interval_at(self.started + LINE_INTERVAL, LINE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                signal = signals.next() => return Ok(Some(signal)),
                // Before the senders, so that a second that is over gets its line.
                _ = ticks.tick() => {
                    let interval = self.next_interval();
                    lines.print(format_args!("{interval}"))?;
                }
                ended = self.senders.join_next() => match ended {
                    None => return Ok(None),
                    Some(ended) => ended.expect("nobody cancels it, and it does not panic").map_err(CommandError::Perf)?,
                },
            }
        }
    }

    fn next_interval(&mut self) -> Interval {
        let now = self.samples();
        let interval = Interval::new(self.started.elapsed().as_secs_f64(), &self.before, &now);
        if self.intervals.len() < INTERVALS_MAX {
            self.intervals.push(interval);
        }
        self.before = now;
        interval
    }

    fn samples(&mut self) -> Vec<Sample> {
        let samples: Vec<_> = self.latest.iter().map(|latest| *latest.borrow()).collect();
        let most = samples.iter().map(|sample| sample.report.connections).max().unwrap_or(0);
        self.connections_receiver = self.connections_receiver.max(most);
        samples
    }

    fn print(mut self, config: &SendConfig, interrupted: bool) -> Result<(), CommandError> {
        let samples = self.samples();
        let side = SendingSide {
            transport: scheme(config.target.transport),
            policy: config.policy,
            segmentation_offload: config.policy.map(|_| config.socket.segmentation_offload),
            peer: self.peer,
            time: self.started.elapsed(),
            cpu_time: cpu_time::of_this_process() - self.cpu_time_at_start,
            connections_receiver: self.connections_receiver,
            interrupted,
        };
        let outcome = Outcome::new(side, &samples, self.intervals);
        let text = match config.is_json {
            true => serde_json::to_string(&outcome).expect("numbers and names are JSON"),
            false => outcome.to_string(),
        };
        writeln!(io::stdout(), "{text}").map_err(CommandError::Print)
    }
}

/// Where the lines go that come during the test: to stdout, unless that is for JSON alone.
#[derive(Clone, Copy)]
struct Lines {
    is_quiet: bool,
    is_json: bool,
}

impl Lines {
    fn print(self, line: std::fmt::Arguments<'_>) -> Result<(), CommandError> {
        match self {
            Self { is_quiet: true, .. } => Ok(()),
            Self { is_json: true, .. } => {
                stderr::say(line);
                Ok(())
            }
            _ => writeln!(io::stdout(), "{line}").map_err(CommandError::Print),
        }
    }
}
