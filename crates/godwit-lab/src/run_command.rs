//! `godwit-lab run`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use godwit_lab::bench::{self, Options};
use godwit_lab::error::BenchError;
use godwit_lab::peer::{Peer, UnknownPeer};
use godwit_lab::results::{Machine, Results, ScenarioResults, Table};
use godwit_lab::scenario::{self, Scenario};

use crate::measurement::{MeasurementError, end_on_signals, finish};

/// Peers side by side over the paths of scenarios, each in turn.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Names of scenarios, or what their names begin with: `short` means every `short-…`
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// Who takes part, in this order; without it, everybody. A scenario with several flows at once brings its own
    #[arg(long, value_delimiter = ',', value_name = "PEER")]
    peers: Vec<String>,
    /// How often each of them
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long instead of the 60 s that some scenarios last
    #[arg(long, value_name = "SECONDS")]
    secs: Option<f64>,
    /// The most that the transfer of one file may take; what has arrived by then is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0)]
    limit_secs: f64,
    /// Do not measure the path first
    #[arg(long)]
    no_calibration: bool,
    /// Where the files lie while they are needed; in memory, or a disk is measured
    #[arg(long, value_name = "DIRECTORY", default_value = "/dev/shm")]
    dir: PathBuf,
    /// Everything that was measured, for `godwit-lab report`
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Why nothing was run, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("no scenario is called {0} or begins with it; `godwit-lab list` names them")]
    Scenario(String),
    #[error(transparent)]
    Peer(#[from] UnknownPeer),
    #[error("--secs and --limit-secs take a number of seconds greater than 0")]
    Seconds,
    #[error("{scenario}: {error}")]
    Bench { scenario: String, error: BenchError },
    #[error(transparent)]
    Measurement(#[from] MeasurementError),
}

/// Runs, prints a table per scenario, and writes the results after each, so that an interrupt loses little.
pub(crate) fn run(arguments: &RunArguments) -> Result<(), RunError> {
    let scenarios = arguments.scenarios()?;
    let options = arguments.options()?;
    end_on_signals(options.is_interrupted.clone())?;
    let mut results = Results { machine: Machine::describe(&options.directory), scenarios: Vec::new() };
    for scenario in &scenarios {
        println!("\n{}: {}", scenario.name, scenario.about);
        let measured = bench::run(scenario, &options, |line| println!("  {line}"));
        let measured = measured.map_err(|error| RunError::Bench { scenario: scenario.name.clone(), error })?;
        print(&measured);
        results.scenarios.push(measured);
        finish(arguments.json.as_deref(), &results, &options.is_interrupted)?;
    }
    Ok(())
}

fn print(results: &ScenarioResults) {
    if let Some(deviation) = results.calibration.and_then(|calibration| calibration.check().err()) {
        println!("  THE PATH IS NOT WHAT WAS ASKED FOR: {deviation}");
    }
    println!("\n{}", Table::of(results));
    for summary in results.summaries() {
        summary.notes.iter().for_each(|note| println!("{}: {note}", summary.peer));
    }
    for peer in &results.peers {
        peer.missing.iter().for_each(|why| println!("{}: missing: {why}", peer.name));
    }
}

impl RunArguments {
    fn scenarios(&self) -> Result<Vec<Scenario>, RunError> {
        let mut chosen = Vec::new();
        for name in &self.scenarios {
            let prefix = format!("{}-", name.to_lowercase());
            let begins = |scenario: &Scenario| scenario.name.to_lowercase().starts_with(&prefix);
            let found: Vec<_> = match scenario::named(name) {
                Some(scenario) => vec![scenario],
                None => scenario::all().into_iter().filter(begins).collect(),
            };
            if found.is_empty() {
                return Err(RunError::Scenario(name.clone()));
            }
            chosen.extend(found);
        }
        Ok(chosen)
    }

    fn options(&self) -> Result<Options, RunError> {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
        let peers: Result<Vec<Peer>, UnknownPeer> = self.peers.iter().map(|name| name.parse()).collect();
        Ok(Options {
            peers: if self.peers.is_empty() { Peer::all() } else { peers? },
            rounds: self.rounds,
            duration: self.secs.map(|secs| seconds(secs).ok_or(RunError::Seconds)).transpose()?,
            time_limit: seconds(self.limit_secs).ok_or(RunError::Seconds)?,
            must_calibrate: !self.no_calibration,
            directory: self.dir.clone(),
            is_interrupted: Arc::default(),
        })
    }
}
