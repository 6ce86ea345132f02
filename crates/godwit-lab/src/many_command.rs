//! `godwit-lab many`

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Args;
use godwit_lab::many::{self, Options};

use crate::measurement::{MeasurementError, end_on_signals, finish};

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
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/tmp")]
    dir: PathBuf,
    /// Everything that was measured
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures, and prints each run.
pub(crate) fn run(arguments: &ManyArguments) -> Result<(), MeasurementError> {
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
    end_on_signals(options.is_interrupted.clone())?;
    let runs = many::run(&options, |run| println!("{run}"))?;
    finish(arguments.json.as_deref(), &runs, &options.is_interrupted)
}
