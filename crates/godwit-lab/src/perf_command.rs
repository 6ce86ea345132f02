//! `godwit-lab perf`, and the hidden commands that are ends of its transfers.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use godwit_lab::error::{BenchError, QuicError};
use godwit_lab::peer::Congestion;
use godwit_lab::perf::{self, Contender, Options, PerfTable, Place};
use godwit_lab::quic;

use crate::run_command::end_on_signals;

/// Transports side by side where only the machine limits them: memory to memory, in turn, in ratios.
#[derive(Debug, Args)]
pub(crate) struct PerfArguments {
    /// Where: `loopback`, or `veth` between two namespaces (needs root)
    #[arg(long, default_value = "loopback")]
    place: Place,
    /// Who takes part; without it, everybody: godwit, godwit-no-gso, libudt, quinn, godwit-tcp, raw-gso, raw
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    contenders: Vec<Contender>,
    /// How often each of them; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Of one transfer
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = seconds)]
    secs: f64,
    /// Where logs lie while they are needed
    #[arg(long, value_name = "DIRECTORY", default_value = "/dev/shm")]
    dir: PathBuf,
    /// Everything that was measured
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Receives over QUIC.
#[derive(Debug, Args)]
pub(crate) struct QuinnSinkArguments {
    #[arg(long)]
    listen: SocketAddr,
    /// Where to leave the certificate
    #[arg(long)]
    certificate: PathBuf,
}

/// Sends over QUIC.
#[derive(Debug, Args)]
pub(crate) struct QuinnSourceArguments {
    server: SocketAddr,
    /// The server's
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    congestion: Congestion,
    #[arg(long, value_parser = seconds)]
    secs: f64,
}

/// Receives datagrams.
#[derive(Debug, Args)]
pub(crate) struct RawSinkArguments {
    #[arg(long)]
    listen: SocketAddr,
}

/// Sends datagrams.
#[derive(Debug, Args)]
pub(crate) struct RawSourceArguments {
    target: SocketAddr,
    /// In one system call
    #[arg(long)]
    segments: usize,
    #[arg(long, value_parser = seconds)]
    secs: f64,
}

/// Why nothing was measured, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PerfError {
    #[error("signals cannot be handled: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error("the results cannot be written to {path}: {source}", path = .path.display())]
    Json { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Quic(#[from] QuicError),
    #[error("UDP failed: {0}")]
    Raw(io::Error),
}

/// Measures, and prints each run and the table.
pub(crate) fn run(arguments: &PerfArguments) -> Result<(), PerfError> {
    let options = Options {
        contenders: match arguments.contenders.is_empty() {
            true => Contender::ALL.to_vec(),
            false => arguments.contenders.clone(),
        },
        rounds: arguments.rounds,
        duration: Duration::from_secs_f64(arguments.secs),
        place: arguments.place,
        directory: arguments.dir.clone(),
        is_interrupted: Arc::default(),
    };
    end_on_signals(options.is_interrupted.clone()).map_err(PerfError::Signals)?;
    let results = perf::run(&options, |line| println!("  {line}"))?;
    println!("\n{}", PerfTable(&results));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string(&results).expect("results have string keys only");
        fs::write(path, text + "\n").map_err(|source| PerfError::Json { path: path.clone(), source })?;
    }
    Ok(())
}

impl QuinnSinkArguments {
    pub(crate) fn run(&self) -> Result<(), PerfError> {
        Ok(quic::sink(self.listen, &self.certificate)?)
    }
}

impl QuinnSourceArguments {
    pub(crate) fn run(&self) -> Result<(), PerfError> {
        let duration = Duration::from_secs_f64(self.secs);
        Ok(quic::source(self.server, self.congestion, &self.certificate, duration)?)
    }
}

impl RawSinkArguments {
    pub(crate) fn run(&self) -> Result<(), PerfError> {
        perf::raw_sink(self.listen).map_err(PerfError::Raw)
    }
}

impl RawSourceArguments {
    pub(crate) fn run(&self) -> Result<(), PerfError> {
        perf::raw_source(self.target, self.segments, Duration::from_secs_f64(self.secs)).map_err(PerfError::Raw)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("a number of seconds from 0 to 3600".to_owned()),
    }
}
