//! Moves files far: HTTP over UDT and over TCP.
//!
//! The only place that reads arguments and the environment, prints, and ends the process.

mod cli;
mod commands;
mod config;
mod error;
mod exit_code;
mod logging;
mod noise;
mod policy;
mod progress;
mod signals;
mod stderr;

use std::time::Duration;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::error::CommandError;
use crate::exit_code::ExitCode;
use crate::signals::Signals;

/// How long work on the disk that nobody waits for any more may take to store what had arrived.
const STORE_TIME_MAX: Duration = Duration::from_secs(5);

fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` arrive here too, and go to stdout with success.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Success }.into();
        }
    };
    logging::start(cli.quiet, cli.verbose);
    match run(cli) {
        Ok(()) => ExitCode::Success.into(),
        Err(error) => {
            error.report();
            ExitCode::of(&error).into()
        }
    }
}

fn run(cli: Cli) -> Result<(), CommandError> {
    // The few tasks of a client hand everything to each other: on one thread that takes no switch between threads, which at
    // moderate rates cost more than the work. The disk and the hash have a thread of their own.
    let mut runtime = match &cli.command {
        Command::Get(args) if args.connections > 1 => tokio::runtime::Builder::new_multi_thread(),
        Command::Get(_) | Command::Put(_) | Command::Ls(_) => tokio::runtime::Builder::new_current_thread(),
        Command::Serve(_) | Command::Cat(_) | Command::Perf(_) | Command::Demo => {
            tokio::runtime::Builder::new_multi_thread()
        }
    };
    let runtime = runtime.enable_all().build().map_err(CommandError::Runtime)?;
    let result = runtime.block_on(async {
        let signals = Signals::install().map_err(CommandError::Runtime)?;
        commands::run(cli, signals).await
    });
    runtime.shutdown_timeout(STORE_TIME_MAX);
    result
}
