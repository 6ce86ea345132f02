//! `godwit-lab perf`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use godwit_lab::perf::{self, Contender, Options, PerfTable, Place};

use crate::duration_argument::seconds;
use crate::measurement::{MeasurementError, end_on_signals, finish};

/// Transports side by side where only the machine limits them: memory to memory, in turn, in ratios.
#[derive(Debug, Args)]
pub(crate) struct PerfArguments {
    /// Where: `loopback`, or `veth` between two namespaces (needs root)
    #[arg(long, default_value = "loopback")]
    place: Place,
    /// Who takes part; without it, everybody: godwit, godwit-no-gso, libudt, quinn, godwit-tcp, raw-gso, raw
    #[arg(long, value_delimiter = ',', value_name = "NAME", default_values_t = Contender::ALL, hide_default_value = true)]
    contenders: Vec<Contender>,
    /// How often each of them; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Of one transfer
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    secs: Duration,
    /// Where logs lie while they are needed
    #[arg(long, value_name = "DIRECTORY", default_value = "/dev/shm")]
    dir: PathBuf,
    /// Everything that was measured
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures, and prints each run and the table.
pub(crate) fn run(arguments: &PerfArguments) -> Result<(), MeasurementError> {
    let options = Options {
        contenders: arguments.contenders.clone(),
        rounds: arguments.rounds,
        duration: arguments.secs,
        place: arguments.place,
        directory: arguments.dir.clone(),
        is_interrupted: Arc::default(),
    };
    end_on_signals(options.is_interrupted.clone())?;
    let results = perf::run(&options, |line| println!("  {line}"))?;
    println!("\n{}", PerfTable(&results));
    finish(arguments.json.as_deref(), &results, &options.is_interrupted)
}
