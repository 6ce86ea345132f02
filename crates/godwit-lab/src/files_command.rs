//! `godwit-lab files`

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use godwit_lab::files::{self, Downloader, FilesTable, Options};

use crate::measurement::{MeasurementError, end_on_signals, finish};

/// Downloads of one file over the loopback, in turn: ours with verification, and curl from nginx without; needs root, nginx and curl.
#[derive(Debug, Args)]
pub(crate) struct FilesArguments {
    /// Who downloads; without it, everybody: godwit, godwit-cold, godwit-tcp, curl-cubic
    #[arg(long, value_delimiter = ',', value_name = "NAME", default_values_t = Downloader::ALL, hide_default_value = true)]
    contenders: Vec<Downloader>,
    /// How often each of them; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Of the file
    #[arg(long, default_value_t = 2 << 30, value_parser = clap::value_parser!(u64).range(1..))]
    bytes: u64,
    /// Where the file lies from which it is served, out of the page cache
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/tmp")]
    served: PathBuf,
    /// Where it is downloaded to
    #[arg(long, value_name = "DIRECTORY", default_value = "/dev/shm")]
    received: PathBuf,
    /// Everything that was measured
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures, and prints each run and the table.
pub(crate) fn run(arguments: &FilesArguments) -> Result<(), MeasurementError> {
    let options = Options {
        downloaders: arguments.contenders.clone(),
        rounds: arguments.rounds,
        bytes: arguments.bytes,
        served: arguments.served.clone(),
        received: arguments.received.clone(),
        is_interrupted: Arc::default(),
    };
    end_on_signals(options.is_interrupted.clone())?;
    let results = files::run(&options, |line| println!("  {line}"))?;
    println!("\n{}", FilesTable(&results));
    finish(arguments.json.as_deref(), &results, &options.is_interrupted)
}
