//! `godwit-lab many`.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Args;
use godwit_lab::error::BenchError;
use godwit_lab::many::{self, Options};

use crate::run_command::end_on_signals;

/// Many connections to one server on the loopback: transfers side by side, and connections that do nothing.
#[derive(Debug, Args)]
pub(crate) struct ManyArguments {
    /// Transfers side by side
    #[arg(long, value_name = "N", default_value_t = 1000)]
    transfers: usize,
    /// Of each transfer
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    bytes: u64,
    /// UDP sockets that the transfers come from
    #[arg(long, value_name = "N", default_value_t = 8)]
    client_sockets: usize,
    /// Sockets on the server's port; without it, 1 and one per core
    #[arg(long, value_delimiter = ',', value_name = "N")]
    server_sockets: Vec<usize>,
    /// How often the transfers
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Connections that do nothing; 0 for none
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    idle: usize,
    /// For so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    idle_secs: u64,
    /// Where the files and the logs lie
    #[arg(long, value_name = "DIRECTORY", default_value = "/dev/shm")]
    dir: PathBuf,
    /// Everything that was measured
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Why nothing was measured, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManyError {
    #[error("signals cannot be handled: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error("the results cannot be written to {path}: {source}", path = .path.display())]
    Json { path: PathBuf, source: io::Error },
}

/// Measures, and prints each run.
pub(crate) fn run(arguments: &ManyArguments) -> Result<(), ManyError> {
    let mut server_sockets = arguments.server_sockets.clone();
    if server_sockets.is_empty() {
        server_sockets = vec![1, available_parallelism().map_or(1, usize::from)];
        server_sockets.dedup();
    }
    let options = Options {
        transfers: arguments.transfers,
        bytes: arguments.bytes,
        client_sockets: arguments.client_sockets,
        server_sockets,
        rounds: arguments.rounds,
        idle_connections: arguments.idle,
        idle: Duration::from_secs(arguments.idle_secs),
        directory: arguments.dir.clone(),
        is_interrupted: Arc::default(),
    };
    end_on_signals(options.is_interrupted.clone()).map_err(ManyError::Signals)?;
    let runs = many::run(&options, |run| println!("{run}"))?;
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string(&runs).expect("results have string keys only");
        fs::write(path, text + "\n").map_err(|source| ManyError::Json { path: path.clone(), source })?;
    }
    Ok(())
}
