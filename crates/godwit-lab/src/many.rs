//! Many connections to one server on the loopback: transfers side by side, and connections that do nothing.
//!
//! Both ends are `godwit`: `serve` and `perf many`. What the server costs is what the kernel says of its process.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::bench::log;
use crate::bench::process::{Awaited, Process};
use crate::error::{BenchError, TransferError};
use crate::network::Side;
use crate::peer::{Launch, Programs};
use crate::results::cpu_s_per_gb;
use crate::scratch;

/// How long the server may take to listen, and the client to connect.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// How long all transfers may take.
const TRANSFER_TIME_MAX: Duration = Duration::from_secs(300);
/// Until files count as settled; and from the last connection until its first keep-alive is out of the way of those of the others.
const SETTLE: Duration = Duration::from_secs(2);
/// Before the idle time ends, so that what comes after it is not measured.
const MARGIN: Duration = Duration::from_secs(1);

/// What a user may choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Transfers side by side.
    pub transfers: usize,
    /// Bytes of each.
    pub bytes: u64,
    /// UDP sockets that they come from.
    pub client_sockets: usize,
    /// Sockets on the server's port, in turn.
    pub server_sockets: Vec<usize>,
    /// How often.
    pub rounds: u32,
    /// Connections that do nothing.
    pub idle_connections: usize,
    /// For so long.
    pub idle: Duration,
    /// Where the files and the logs lie.
    pub directory: PathBuf,
    /// Becomes true when all is to end soon.
    pub is_interrupted: Arc<AtomicBool>,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Sockets on the server's port.
    pub server_sockets: usize,
    /// What the client says.
    pub client: Value,
    /// Of the whole server: while the client connected and transferred, or while nothing was done.
    pub server_cpu_seconds: f64,
    /// How long that was, where nothing was done.
    pub server_seconds: Option<f64>,
    /// The most memory that the server had.
    pub server_resident_bytes_max: u64,
}

/// Runs transfers over one connection and over many in turn, then the idle connections, until it is interrupted. `tell` hears about each
/// run when it is over.
///
/// # Errors
/// A run failed.
pub fn run(options: &Options, mut tell: impl FnMut(&Run)) -> Result<Vec<Run>, BenchError> {
    let programs = Programs::find().map_err(BenchError::This)?;
    let scratch = scratch::directory(&options.directory)?;
    // With holes: what reading from a disk costs is not what this is about.
    create(&scratch.path().join("one"), options.bytes * options.transfers as u64)?;
    create(&scratch.path().join("each"), options.bytes)?;
    // No digest is remembered of a file that was changed just now.
    sleep(SETTLE + MARGIN);
    let mut runs = Vec::new();
    for (server_sockets, work) in works(options) {
        if options.is_interrupted.load(Ordering::Relaxed) {
            break;
        }
        let trial = Trial { godwit: programs.godwit(), scratch: scratch.path(), server_sockets };
        let run = match work {
            Work::Transfers { file, connections, sockets } => trial.transfers(file, connections, sockets),
            Work::Idle { connections, time } => trial.idle(connections, time),
        };
        let run = run.map_err(BenchError::Many)?;
        tell(&run);
        runs.push(run);
    }
    Ok(runs)
}

/// What the connections do.
enum Work {
    Transfers { file: &'static str, connections: usize, sockets: usize },
    Idle { connections: usize, time: Duration },
}

/// All runs: with how many sockets on the server's port, and what is done.
fn works(options: &Options) -> Vec<(usize, Work)> {
    let mut works = Vec::new();
    for _ in 0..options.rounds {
        for &server_sockets in &options.server_sockets {
            let one = Work::Transfers { file: "one", connections: 1, sockets: 1 };
            let (connections, sockets) = (options.transfers, options.client_sockets);
            works.extend(
                [one, Work::Transfers { file: "each", connections, sockets }].map(|work| (server_sockets, work)),
            );
        }
    }
    if options.idle_connections > 0 {
        let idle = Work::Idle { connections: options.idle_connections, time: options.idle };
        works.push((*options.server_sockets.last().unwrap_or(&1), idle));
    }
    works
}

/// A server and a client.
struct Trial<'a> {
    godwit: PathBuf,
    scratch: &'a Path,
    server_sockets: usize,
}

impl Trial<'_> {
    fn transfers(&self, file: &str, connections: usize, sockets: usize) -> Result<Run, TransferError> {
        let (mut server, url) = self.serve()?;
        let (url, sockets) = (format!("{url}{file}"), sockets.to_string());
        // From here on the server knows the file's digest: what hashing costs is not what this is about.
        self.client("first", &url, 1, &[])?.wait_for(Awaited::Result, TRANSFER_TIME_MAX, log::json_object)?;
        let before = server.cpu_s();
        let mut client = self.client("client", &url, connections, &["--sockets", &sockets])?;
        let result = client.wait_for(Awaited::Result, TRANSFER_TIME_MAX, log::json_object)?;
        let server_cpu_seconds = server.cpu_s() - before;
        server.glance();
        Ok(Run {
            server_sockets: self.server_sockets,
            client: result,
            server_cpu_seconds,
            server_seconds: None,
            server_resident_bytes_max: server.usage().resident_bytes_max,
        })
    }

    fn idle(&self, connections: usize, idle: Duration) -> Result<Run, TransferError> {
        let (mut server, url) = self.serve()?;
        let time = (SETTLE + idle + MARGIN).as_secs().to_string() + "s";
        let mut client = self.client("client", &format!("{url}each"), connections, &["--idle", &time])?;
        client.wait_for(Awaited::Connections, START_TIME_MAX, |log| log.contains("connections in").then_some(()))?;
        sleep(SETTLE);
        let before = server.cpu_s();
        sleep(idle);
        let server_cpu_seconds = server.cpu_s() - before;
        server.glance();
        let server_resident_bytes_max = server.usage().resident_bytes_max;
        let result = client.wait_for(Awaited::Result, START_TIME_MAX, log::json_object)?;
        Ok(Run {
            server_sockets: self.server_sockets,
            client: result,
            server_cpu_seconds,
            server_seconds: Some(idle.as_secs_f64()),
            server_resident_bytes_max,
        })
    }

    fn serve(&self) -> Result<(Process, String), TransferError> {
        let sockets = self.server_sockets.to_string();
        let limits = ["--max-connections", "20000", "--max-connections-per-address", "20000", "--idle-timeout", "1h"];
        let arguments = ["serve", "--listen", "udt://127.0.0.1:0", "--udt-sockets", &sockets];
        let mut server = self.start((Side::Left, "server"), &[&arguments[..], &limits].concat(), Some(self.scratch))?;
        let url_in = |printed: &str| log::after(printed, "listening on ").map(str::to_owned);
        let url = server.wait_for(Awaited::Port, START_TIME_MAX, url_in)?;
        Ok((server, url))
    }

    fn client(&self, name: &str, url: &str, connections: usize, more: &[&str]) -> Result<Process, TransferError> {
        let connections = connections.to_string();
        self.start(
            (Side::Right, name),
            &[&["perf", "many", url, "--json", "--connections", &connections], more].concat(),
            None,
        )
    }

    fn start(
        &self,
        (side, name): (Side, &str),
        arguments: &[&str],
        last: Option<&Path>,
    ) -> Result<Process, TransferError> {
        let launch = Launch::bare(side, Command::new(&self.godwit), self.scratch).args(arguments).args(last);
        Process::start(launch, self.scratch.join(name))
    }
}

fn create(path: &Path, bytes: u64) -> Result<(), BenchError> {
    let created = File::create(path).and_then(|file| file.set_len(bytes));
    created.map_err(|source| BenchError::Write { path: path.to_owned(), source })
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |name: &str| self.client[name].as_f64().unwrap_or(f64::NAN);
        let mib = self.server_resident_bytes_max >> 20;
        write!(f, "server with {} socket(s): ", self.server_sockets)?;
        match self.server_seconds {
            Some(seconds) => write!(
                f,
                "{} idle connections for {seconds} s: {:.2} % of a core, at most {mib} MiB; handshake {} us (median), {} us (max)",
                number("connections"),
                100.0 * self.server_cpu_seconds / seconds,
                number("handshake_us_median"),
                number("handshake_us_max")
            ),
            None => write!(
                f,
                "{} transfer(s): {:.2} Gbit/s, Jain index {:.4} ({:.2} to {:.2} Mbit/s each), {:.3} CPU s/GB, at most {mib} MiB",
                number("transfers"),
                number("goodput_bits_per_second") / 1e9,
                number("jain_index"),
                number("bits_per_second_min") / 1e6,
                number("bits_per_second_max") / 1e6,
                cpu_s_per_gb(self.server_cpu_seconds, number("bytes") as u64)
            ),
        }
    }
}
