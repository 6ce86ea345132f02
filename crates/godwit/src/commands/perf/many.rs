//! `godwit perf many`: one file of `godwit serve` over many connections at once, or many connections that do nothing.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use godwit_files::client::RemoteUrl;
use godwit_http::{DEFAULT_PORT, Transport};
use godwit_udt::{Config, Endpoint, EndpointConfig, Stream};
use serde::Serialize;
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cpu_time;
use super::error::PerfError;
use super::outcome::jain_index;
use crate::cli::PerfManyArgs;
use crate::commands::{FAREWELL_TIME_MAX, stoppable};
use crate::error::{CommandError, UsageError};
use crate::signals::Signals;
use crate::stderr;

/// Connections of one run: a server takes 20,000 on a port.
pub(crate) const MANY_MAX: usize = 20_000;
/// Connections that are being made at the same time: fewer than a server's half-open ones.
const CONNECTING_MAX: usize = 64;
/// Handshakes that are measured while the connections do nothing.
const HANDSHAKES: u32 = 20;
/// The head of an answer of `godwit serve` is a tenth of that.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// What is read of an answer at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Makes an answer as short as can be.
const ONE_BYTE: &str = "Range: bytes=0-0\r\n";

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

/// Why one of the connections did not do what it was for.
#[derive(Debug, Error)]
pub(crate) enum TransferError {
    #[error("it could not connect: {0}")]
    Connect(#[from] godwit_udt::ConnectError),
    #[error("the server answers with status {0}")]
    Status(u16),
    #[error("what the server answers is not the beginning of a file")]
    NotAFile,
    #[error("the connection was lost: {0}")]
    Lost(#[from] io::Error),
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
        let farewell = async {
            for endpoint in &connected.endpoints {
                endpoint.close().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL_TIME_MAX, farewell).await;
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
        let (connecting, request) = (Arc::clone(&connecting), request(&config.url, ONE_BYTE));
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
        let request = request(&config.url, "");
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
        handshakes.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
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
    let mut questions = JoinSet::new();
    for mut stream in streams {
        let request = request(&config.url, ONE_BYTE);
        questions.spawn(async move { exchange(&mut stream, &request).await });
    }
    all_of(questions).await.map(|_| idleness)
}

async fn resolve(url: &RemoteUrl) -> Result<SocketAddr, PerfError> {
    let (host, port) = (url.uri().host().unwrap_or_default(), url.uri().port_u16().unwrap_or(DEFAULT_PORT));
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let resolved = tokio::net::lookup_host((name, port)).await;
    let mut addresses = resolved.map_err(|source| PerfError::Resolve { host: host.to_owned(), source })?;
    addresses.next().ok_or_else(|| PerfError::NoAddress { host: host.to_owned() })
}

fn request(url: &RemoteUrl, field: &str) -> String {
    let host = url.uri().authority().map_or("", |authority| authority.as_str());
    format!("GET {} HTTP/1.1\r\nHost: {host}\r\n{field}\r\n", url.uri().path())
}

/// Asks, and reads the answer to its end; tells how long its body was. By hand, since a pool of connections would use one again where
/// another is wanted.
async fn exchange(stream: &mut Stream, request: &str) -> Result<u64, TransferError> {
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    let (length, head_bytes) = loop {
        head.extend_from_slice(&chunk(stream).await?);
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break (body_bytes(&head[..end])?, end + 4);
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(TransferError::NotAFile);
        }
    };
    let mut received = (head.len() - head_bytes) as u64;
    while received < length {
        received += chunk(stream).await?.len() as u64;
    }
    Ok(length)
}

async fn chunk(stream: &mut Stream) -> Result<Bytes, TransferError> {
    let chunk = stream.read_chunk(CHUNK_BYTES).await.map_err(io::Error::from)?;
    chunk.ok_or_else(|| TransferError::Lost(io::ErrorKind::UnexpectedEof.into()))
}

/// The length that an answer's head gives, if it brings a file.
fn body_bytes(head: &[u8]) -> Result<u64, TransferError> {
    let head = std::str::from_utf8(head).map_err(|_| TransferError::NotAFile)?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    match status {
        Some(200 | 206) => {}
        Some(status) => return Err(TransferError::Status(status)),
        None => return Err(TransferError::NotAFile),
    }
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.and_then(|(_, value)| value.trim().parse().ok()).ok_or(TransferError::NotAFile)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_file_is_found_and_anything_else_is_told() {
        assert_eq!(body_bytes(b"HTTP/1.1 206 Partial Content\r\nx: 1\r\nContent-Length: 17").ok(), Some(17));
        assert!(matches!(body_bytes(b"HTTP/1.1 404 Not Found\r\ncontent-length: 17"), Err(TransferError::Status(404))));
        assert!(matches!(body_bytes(b"HTTP/1.1 200 OK\r\nx: 1"), Err(TransferError::NotAFile)));
        assert!(matches!(body_bytes(b"\xff"), Err(TransferError::NotAFile)));
    }
}
