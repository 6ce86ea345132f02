//! Arguments, and what they start.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use godwit_lab::link_spec::{self, LinkSpec};
use godwit_lab::network::{CalibrationError, Deviation, DirectionCalibration, Network, NetworkConfig, NetworkError};
use godwit_lab::scenario;

use crate::run_command::{self, RunArguments, RunError};

/// Real kernels over an emulated path: network namespaces joined by a link emulator, and peers side by side.
#[derive(Debug, Parser)]
#[command(name = "godwit-lab", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name the scenarios.
    List,
    /// Measure whether a path is what it is said to be on this machine.
    #[command(after_help = path_help())]
    Calibrate(Box<PathArguments>),
    Run(RunArguments),
}

/// A path, by name or in words.
#[derive(Debug, Args)]
struct PathArguments {
    /// The path of this scenario.
    scenario: Option<String>,
    /// Both directions of the path, without losses on the way back (see below).
    #[arg(long, value_name = "PATH", conflicts_with = "scenario")]
    path: Option<LinkSpec>,
    /// The way back, if it is another.
    #[arg(long, value_name = "PATH")]
    reverse: Option<LinkSpec>,
    /// Hosts on each side.
    #[arg(long, default_value_t = 1)]
    hosts: usize,
    /// Of the devices, in bytes.
    #[arg(long, default_value_t = 1500)]
    mtu: u16,
    /// Decides all random faults.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Why nothing was done, or not all of it.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("no scenario is called {0}; `godwit-lab list` names them")]
    Scenario(String),
    #[error("name a scenario (`godwit-lab list`), or describe a path, as in --path rate=300M,delay=50ms,loss=1%")]
    NoPath,
    #[error(transparent)]
    Run(#[from] RunError),
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
        Command::Run(arguments) => run_command::run(&arguments).map_err(CliError::from),
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

fn path_help() -> String {
    format!("A PATH is a list with commas, as in rate=300M,delay=50ms,loss=1%:\n{}", link_spec::HELP)
}

impl PathArguments {
    fn network(&self) -> Result<NetworkConfig, CliError> {
        if let Some(name) = &self.scenario {
            let scenario = scenario::named(name).ok_or_else(|| CliError::Scenario(name.clone()))?;
            return Ok(NetworkConfig { seed: self.seed, ..scenario.network });
        }
        let forward = self.path.ok_or(CliError::NoPath)?;
        let reverse = self.reverse.unwrap_or_else(|| forward.without_faults());
        let [forward, reverse] = LinkSpec::resolve(forward, reverse);
        let hosts = (self.hosts, self.hosts);
        Ok(NetworkConfig {
            forward,
            reverse,
            hosts_left: hosts.0,
            hosts_right: hosts.1,
            mtu: self.mtu,
            seed: self.seed,
        })
    }
}
