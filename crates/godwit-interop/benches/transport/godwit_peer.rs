//! One end of ours: it takes the arguments of `cpp-peer` that a measurement needs and prints the same events.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use godwit_interop::{Content, CpuTime, FingerprintHash, MessageFingerprint};
use godwit_udt::{Config, ConnectionHandle, Endpoint, EndpointConfig, ListenLimits, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// How long the counters of a receiver wait for the peer's end of the connection to go.
const DRAIN: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    Recv,
    Send,
}

/// One end of a UDT connection by godwit.
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(value_enum)]
    role: Role,
    /// For `cpp-peer`; ignored.
    #[arg(long)]
    library: Option<String>,
    #[arg(long)]
    listen: Option<SocketAddr>,
    #[arg(long)]
    connect: Option<SocketAddr>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[arg(long, default_value_t = 0)]
    bytes: u64,
    #[arg(long)]
    seconds: Option<f64>,
    /// Bytes per call of write and read.
    #[arg(long, default_value_t = 64 << 10)]
    chunk: usize,
    /// Always so.
    #[arg(long)]
    unchecked: bool,
    /// Always so.
    #[arg(long)]
    perfmon: bool,
    #[arg(long)]
    mss: u32,
    #[arg(long)]
    linger: Option<u64>,
    /// Print counters each 100 ms on standard error.
    #[arg(long)]
    watch: bool,
    /// Report this capacity to the sender, in packets per second.
    #[arg(long)]
    pinned_capacity: Option<u32>,
}

/// Runs this program as a peer.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run_in_task(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the godwit peer failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// In a task, as a server's connections are: what `block_on` runs itself has a thread of its own, and each wake-up would have
/// to cross over to it.
fn run_in_task(arguments: Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { tokio::spawn(async move { run(&arguments).await }).await? })
}

async fn run(arguments: &Arguments) -> Result<()> {
    let mut config =
        Config::builder().mss_bytes(arguments.mss).pinned_capacity_packets_per_s(arguments.pinned_capacity);
    if let Some(seconds) = arguments.linger {
        config = config.linger(Duration::from_secs(seconds));
    }
    let config = config.build()?;
    let local = arguments.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
    let endpoint = Endpoint::bind(local, EndpointConfig::default())?;
    let mut stream = match arguments.connect {
        None => {
            let listener = endpoint.listen(config, ListenLimits::default())?;
            println!("bound address={}", endpoint.local_addr());
            listener.accept().await?
        }
        Some(peer) => endpoint.connect(peer, config).await?,
    };
    println!("connected peer={}", stream.peer_addr());
    if arguments.watch {
        tokio::spawn(watch(stream.handle()));
    }
    match arguments.role {
        Role::Send => send(&mut stream, arguments).await?,
        Role::Recv => receive(&mut stream, arguments).await,
    }
    print_counters(&endpoint, &stream);
    let closing = Instant::now();
    let _ = tokio::time::timeout(DRAIN, stream.close()).await;
    println!("closed elapsed_us={}", closing.elapsed().as_micros());
    Ok(())
}

async fn send(stream: &mut Stream, arguments: &Arguments) -> Result<()> {
    let block = Content::new(arguments.seed, arguments.chunk as u64).to_vec();
    let (start, mut sent) = (Instant::now(), 0);
    let is_time_over = || arguments.seconds.is_some_and(|seconds| start.elapsed().as_secs_f64() >= seconds);
    while sent < arguments.bytes && !is_time_over() {
        let left = usize::try_from(arguments.bytes - sent).unwrap_or(usize::MAX);
        let piece = &block[..block.len().min(left)];
        stream.write_all(piece).await?;
        sent += piece.len() as u64;
    }
    println!("sent bytes={sent}");
    // Waits for the acknowledgements, unless the linger time says that they do not matter.
    let _ = stream.close().await;
    Ok(())
}

/// Until the connection is over, however it ends.
async fn receive(stream: &mut Stream, arguments: &Arguments) {
    let mut buffer = vec![0; arguments.chunk];
    let (start, mut elapsed) = (Instant::now(), Duration::ZERO);
    let mut count = FingerprintHash::default();
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        elapsed = start.elapsed();
        count.skip(bytes);
    }
    let (count, messages) = (count.finish(), MessageFingerprint::default());
    println!("received {count} {messages} elapsed_us={} end=eof", elapsed.as_micros());
}

/// Where the time goes: for whoever tunes something.
async fn watch(connection: ConnectionHandle) {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut last = connection.stats();
    loop {
        ticks.tick().await;
        let stats = connection.stats();
        let (sent, received) = (stats.sender.sent_bytes, stats.receiver.received_bytes);
        let seconds = (stats.age - last.age).as_secs_f64().max(1e-6);
        let moved = (sent - last.sender.sent_bytes) + (received - last.receiver.received_bytes);
        eprintln!(
            "{:>6} ms {:>6.0} Mbit/s | interval {:?} window {} flow {} in flight {} rtt {:?} buffered {} | lost {} again {} \
             probes {} | capacity {} speed {} unread {}",
            stats.age.as_millis(),
            moved as f64 * 8e-6 / seconds,
            stats.sending_interval,
            stats.congestion_window_packets,
            stats.flow_window_packets,
            stats.in_flight_packets,
            stats.rtt,
            stats.send_buffer_used_bytes,
            stats.sender.lost_packets,
            stats.sender.retransmitted_packets,
            stats.sender.probes,
            stats.link_capacity_packets_per_s,
            stats.arrival_speed_packets_per_s,
            stats.receive_buffer_used_bytes,
        );
        last = stats;
    }
}

fn print_counters(endpoint: &Endpoint, stream: &Stream) {
    println!("stats {:?} {:?}", stream.stats(), endpoint.socket_stats());
    if let Some(cpu_time) = CpuTime::of_this_process() {
        println!("cpu {cpu_time}");
    }
}
