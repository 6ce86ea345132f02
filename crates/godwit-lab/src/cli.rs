//! Arguments, and what they start.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use godwit_lab::error::QuicError;
use godwit_lab::network::{CalibrationError, Deviation, DirectionCalibration, Network, NetworkError};
use godwit_lab::peer::Peer;
use godwit_lab::scenario;

use crate::files_command::{self, FilesArguments};
use crate::many_command::{self, ManyArguments};
use crate::measurement::MeasurementError;
use crate::path_arguments::{PathArguments, PathError, path_help};
use crate::perf_command::{self, PerfArguments};
use crate::quinn_command::{QuinnGetArguments, QuinnServeArguments, QuinnSinkArguments, QuinnSourceArguments};
use crate::raw_command::{RawError, RawSinkArguments, RawSourceArguments};
use crate::report_command::{self, ReportArguments, ReportError};
use crate::run_command::{self, RunArguments, RunError};
use crate::shell_command::{self, ShellArguments, ShellError};

/// Real kernels over an emulated path: network namespaces joined by a link emulator, and peers side by side.
#[derive(Debug, Parser)]
#[command(name = "godwit-lab", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name the scenarios and the peers.
    List,
    /// Measure whether a path is what it is said to be on this machine.
    #[command(after_help = path_help())]
    Calibrate(Box<PathArguments>),
    #[command(after_help = path_help())]
    Shell(Box<ShellArguments>),
    Run(RunArguments),
    Report(ReportArguments),
    Perf(PerfArguments),
    Files(FilesArguments),
    Many(ManyArguments),
    #[command(hide = true)]
    QuinnSink(QuinnSinkArguments),
    #[command(hide = true)]
    QuinnSource(QuinnSourceArguments),
    #[command(hide = true)]
    RawSink(RawSinkArguments),
    #[command(hide = true)]
    RawSource(RawSourceArguments),
    #[command(hide = true)]
    QuinnServe(QuinnServeArguments),
    #[command(hide = true)]
    QuinnGet(QuinnGetArguments),
}

/// Why nothing was done, or not all of it.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Shell(#[from] ShellError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Measurement(#[from] MeasurementError),
    #[error(transparent)]
    Quic(#[from] QuicError),
    #[error(transparent)]
    Raw(#[from] RawError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    #[error(transparent)]
    Deviation(#[from] Deviation),
}

/// Does what the arguments say.
pub(crate) fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::List => list(),
        Command::Calibrate(path) => calibrate(&path),
        Command::Shell(arguments) => shell_command::run(&arguments).map_err(CliError::from),
        Command::Run(arguments) => run_command::run(&arguments).map_err(CliError::from),
        Command::Report(arguments) => report_command::run(&arguments).map_err(CliError::from),
        Command::Perf(arguments) => perf_command::run(&arguments).map_err(CliError::from),
        Command::Files(arguments) => files_command::run(&arguments).map_err(CliError::from),
        Command::Many(arguments) => many_command::run(&arguments).map_err(CliError::from),
        Command::QuinnSink(arguments) => arguments.run().map_err(CliError::from),
        Command::QuinnSource(arguments) => arguments.run().map_err(CliError::from),
        Command::RawSink(arguments) => arguments.run().map_err(CliError::from),
        Command::RawSource(arguments) => arguments.run().map_err(CliError::from),
        Command::QuinnServe(arguments) => arguments.run().map_err(CliError::from),
        Command::QuinnGet(arguments) => arguments.run().map_err(CliError::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("godwit-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<(), CliError> {
    for scenario in scenario::all() {
        println!("{:24} {}", scenario.name, scenario.about);
    }
    println!("\npeers, for --peers of `run`; godwit-fixed:RATE is one, too:");
    for peer in Peer::all() {
        println!("{:24} {}", peer.to_string(), peer.about());
    }
    Ok(())
}

fn calibrate(path: &PathArguments) -> Result<(), CliError> {
    let network = Network::start(&path.network()?)?;
    let calibration = network.calibrate()?;
    println!("RTT {:?}, asked for {:?}", calibration.rtt_measured, calibration.rtt_asked);
    print_direction("forward", &calibration.forward);
    print_direction("reverse", &calibration.reverse);
    println!(
        "emulator: {:.0} % of a core, packets late by {:?} (p99), {:?} (max)",
        calibration.emulator_cpu_share * 100.0,
        calibration.lateness_p99,
        calibration.lateness_max
    );
    Ok(calibration.check()?)
}

fn print_direction(name: &str, direction: &DirectionCalibration) {
    print!("{name}: ");
    if let (Some(asked), Some(measured)) = (direction.rate_asked, direction.rate_measured) {
        print!("rate {:.3} Mbit/s, asked for {:.3}; ", measured / 1e6, asked / 1e6);
    }
    println!(
        "loss {:.4} %, asked for {:.4} ± {:.4}; unplanned drops {}",
        direction.loss_measured * 100.0,
        direction.loss_asked * 100.0,
        direction.loss_margin * 100.0,
        direction.unplanned_drops
    );
}
