//! `godwit perf many`: one file of `godwit serve` over many connections at once, or many connections that do nothing.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use godwit_files::client::RemoteUrl;
use godwit_http::{DEFAULT_PORT, Transport};
use godwit_udt::{Config, Endpoint, EndpointConfig, Stream};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connector::close;
use super::cpu_time;
use super::error::PerfError;
use super::exchange::{Part, TransferError, exchange, request};
use super::outcome::jain_index;
use super::protocol::micros;
use crate::cli::PerfManyArgs;
use crate::commands::stoppable;
use crate::error::{CommandError, UsageError};
use crate::signals::Signals;
use crate::stderr;

/// Connections of one run: as many as an endpoint takes by default.
pub(crate) const MANY_MAX: usize = 20_000;
/// Connections that are being made at the same time: fewer than a server's half-open ones.
const CONNECTING_MAX: usize = 64;
/// Handshakes that are measured while the connections do nothing.
const HANDSHAKES: u32 = 20;

/// What to do.
#[derive(Debug)]
pub(crate) struct ManyConfig {
    url: RemoteUrl,
    connections: usize,
    sockets: usize,
    idle: Option<Duration>,
    udt: Config,
    is_json: bool,
}

/// All connections that there were before anything was measured.
struct Connected {
    endpoints: Vec<Endpoint>,
    address: SocketAddr,
    streams: Vec<Stream>,
    seconds: f64,
}

/// The result of transfers.
#[derive(Debug, Serialize)]
struct Transfers {
    transfers: usize,
    connect_seconds: f64,
    bytes: u64,
    /// From the first request to the last byte.
    seconds: f64,
    goodput_bits_per_second: f64,
    /// Of the rates of the transfers, each from its request to its last byte.
    jain_index: f64,
    bits_per_second_min: f64,
    bits_per_second_median: f64,
    bits_per_second_max: f64,
    cpu_seconds: f64,
}

/// The result of doing nothing.
#[derive(Debug, Serialize)]
struct Idleness {
    connections: usize,
    connect_seconds: f64,
    idle_seconds: f64,
    /// UDT handshakes meanwhile, from the first packet to the answer of the second.
    handshake_us_median: u64,
    handshake_us_max: u64,
    cpu_seconds: f64,
}

impl ManyConfig {
    /// # Errors
    /// A URL that none is, or not over UDT.
    pub(super) fn new(args: PerfManyArgs, udt: Config) -> Result<Self, CommandError> {
        let url: RemoteUrl = match args.url.parse() {
            Ok(url) => url,
            Err(error) => return Err(CommandError::Url { text: args.url, error }),
        };
        if url.transport() != Transport::Udt {
            return Err(UsageError::ManyOverUdt.into());
        }
        let PerfManyArgs { connections, sockets, idle, json, .. } = args;
        Ok(Self { url, connections, sockets: sockets.min(connections), idle, udt, is_json: json })
    }
}

/// Connects, measures, and prints the result.
pub(super) async fn run(config: ManyConfig, is_quiet: bool, mut signals: Signals) -> Result<(), CommandError> {
    let measured = async {
        let mut connected = connect(&config).await.map_err(CommandError::Perf)?;
        if !is_quiet {
            let (connections, seconds) = (connected.streams.len(), connected.seconds);
            stderr::say(format_args!("{connections} connections in {seconds:.1} s"));
        }
        let streams = std::mem::take(&mut connected.streams);
        let printed = match config.idle {
            Some(time) => stay_idle(&config, &connected, streams, time).await.map(|idleness| print(&config, &idleness)),
            None => transfer(&config, &connected, streams).await.map(|transfers| print(&config, &transfers)),
        };
        close(&connected.endpoints).await;
        printed.map_err(CommandError::Perf)?
    };
    stoppable(measured, &mut signals).await
}

async fn connect(config: &ManyConfig) -> Result<Connected, PerfError> {
    let address = resolve(&config.url).await?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("an address");
    let bind = |_| Endpoint::bind(any, EndpointConfig::default());
    let endpoints = (0..config.sockets).map(bind).collect::<Result<Vec<_>, _>>()?;
    let connecting = Arc::new(Semaphore::new(CONNECTING_MAX));
    let started = Instant::now();
    let mut attempts = JoinSet::new();
    for index in 0..config.connections {
        let (endpoint, udt) = (endpoints[index % endpoints.len()].clone(), config.udt.clone());
        let (connecting, request) = (Arc::clone(&connecting), request(&config.url, Part::FirstByte));
        attempts.spawn(async move {
            let _permit = connecting.acquire().await;
            let mut stream = endpoint.connect(address, udt).await?;
            // With it the server has everything in place that a connection takes between two requests.
            exchange(&mut stream, &request).await?;
            Ok(stream)
        });
    }
    let streams = all_of(attempts).await?;
    Ok(Connected { endpoints, address, streams, seconds: started.elapsed().as_secs_f64() })
}

/// The whole file over each of them.
async fn transfer(config: &ManyConfig, connected: &Connected, streams: Vec<Stream>) -> Result<Transfers, PerfError> {
    let (started, cpu) = (Instant::now(), cpu_time::of_this_process());
    let mut transfers = JoinSet::new();
    for mut stream in streams {
        let request = request(&config.url, Part::Whole);
        transfers.spawn(async move {
            let started = Instant::now();
            let bytes = exchange(&mut stream, &request).await?;
            Ok((bytes, started.elapsed().as_secs_f64(), stream))
        });
    }
    let done = all_of(transfers).await?;
    let seconds = started.elapsed().as_secs_f64();
    let bytes = done.iter().map(|(bytes, ..)| bytes).sum();
    let mut rates: Vec<f64> = done.iter().map(|&(bytes, seconds, _)| 8.0 * bytes as f64 / seconds).collect();
    rates.sort_by(f64::total_cmp);
    Ok(Transfers {
        transfers: rates.len(),
        connect_seconds: connected.seconds,
        bytes,
        seconds,
        goodput_bits_per_second: 8.0 * bytes as f64 / seconds,
        jain_index: jain_index(rates.iter().copied()),
        bits_per_second_min: rates[0],
        bits_per_second_median: rates[rates.len() / 2],
        bits_per_second_max: rates[rates.len() - 1],
        cpu_seconds: (cpu_time::of_this_process() - cpu).as_secs_f64(),
    })
}

/// Nothing over any of them, while others connect now and then; at the end all of them still answer.
async fn stay_idle(
    config: &ManyConfig,
    connected: &Connected,
    streams: Vec<Stream>,
    time: Duration,
) -> Result<Idleness, PerfError> {
    let endpoint = &connected.endpoints[0];
    let (started, cpu) = (Instant::now(), cpu_time::of_this_process());
    let mut handshakes = Vec::new();
    for number in 1..=HANDSHAKES {
        tokio::time::sleep_until(started + time * number / HANDSHAKES).await;
        let begun = Instant::now();
        let stream = endpoint.connect(connected.address, config.udt.clone()).await;
        stream.map_err(|error| PerfError::Handshake { address: connected.address, source: error.into() })?;
        handshakes.push(micros(begun.elapsed()));
    }
    handshakes.sort_unstable();
    let idleness = Idleness {
        connections: streams.len(),
        connect_seconds: connected.seconds,
        idle_seconds: started.elapsed().as_secs_f64(),
        handshake_us_median: handshakes[handshakes.len() / 2],
        handshake_us_max: handshakes[handshakes.len() - 1],
        cpu_seconds: (cpu_time::of_this_process() - cpu).as_secs_f64(),
    };
    let mut answers = JoinSet::new();
    for mut stream in streams {
        let request = request(&config.url, Part::FirstByte);
        answers.spawn(async move { exchange(&mut stream, &request).await });
    }
    all_of(answers).await.map(|_| idleness)
}

async fn resolve(url: &RemoteUrl) -> Result<SocketAddr, PerfError> {
    let (host, port) = (url.uri().host().unwrap_or_default(), url.uri().port_u16().unwrap_or(DEFAULT_PORT));
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let resolved = tokio::net::lookup_host((name, port)).await;
    let mut addresses = resolved.map_err(|source| PerfError::Resolve { host: host.to_owned(), source })?;
    addresses.next().ok_or_else(|| PerfError::NoAddress { host: host.to_owned() })
}

/// What all of them came to, if none failed.
async fn all_of<T: Send + 'static>(mut tasks: JoinSet<Result<T, TransferError>>) -> Result<Vec<T>, PerfError> {
    let (all, mut done, mut failed, mut first) = (tasks.len(), Vec::new(), 0, None);
    while let Some(task) = tasks.join_next().await {
        match task.expect("nobody cancels it, and it does not panic") {
            Ok(result) => done.push(result),
            Err(error) => {
                failed += 1;
                first.get_or_insert(error);
            }
        }
    }
    first.map_or(Ok(done), |first| Err(PerfError::Transfers { failed, all, first: Box::new(first) }))
}

fn print(config: &ManyConfig, result: &(impl Serialize + std::fmt::Debug)) -> Result<(), CommandError> {
    let text = if config.is_json { serde_json::to_string(result) } else { serde_json::to_string_pretty(result) };
    let text = text.expect("numbers are JSON");
    writeln!(io::stdout().lock(), "{text}").map_err(CommandError::Print)
}
