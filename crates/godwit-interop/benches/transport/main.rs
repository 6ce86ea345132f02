//! godwit's transport beside the C++ libudt's, in ratios: `cargo bench -p godwit-interop -- --help`.
//!
//! Whatever is compared runs in turn, A B A B …, in one run of this program, so that whatever else the machine does hits
//! both; each end is a process of its own. docs/benchmarks.md says what the numbers mean.

mod ack_reports;
mod godwit_peer;
mod machine;
mod report;
mod scenario;
mod spread;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use godwit_interop::Library;

use crate::report::Report;
use crate::scenario::{Comparison, Workload};

/// Measures godwit's transport against the C++ libudt and prints ratios.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to compare; all of it if nothing is named.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// How often each variant runs; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// MiB per transfer over the loopback.
    #[arg(long, default_value_t = 1024)]
    mebibytes: u64,
    /// Seconds per transfer over the lossy path.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Which build of libudt: `bundled` or `debian`.
    #[arg(long, default_value = "bundled")]
    library: Library,
    /// Also writes one JSON object per line to this file: the machine, each run, each ratio.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What `cargo bench` says; without it nothing is measured, because `cargo test --all-targets` runs this, too.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Two ends of ours over two ends of libudt's on the loopback.
    Loopback,
    /// A C++ sender to our receiver over the same to a C++ receiver, at 1 % loss and 20 ms RTT.
    LossyReceiver,
    /// Our sender to a C++ receiver over a C++ sender to it, at 1 % loss and 20 ms RTT.
    LossySender,
}

fn main() -> ExitCode {
    // The program is also its own peer, so that each end of ours has a process of its own as those of libudt have.
    if std::env::args().nth(1).is_some_and(|role| role == "recv" || role == "send") {
        return godwit_peer::main();
    }
    let arguments = Arguments::parse();
    if !arguments.bench {
        println!("nothing measured: run `cargo bench -p godwit-interop`");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the measurement failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    if !arguments.library.is_installed() {
        return Err(
            format!("the {} libudt is not installed (Debian: apt-get install libudt0)", arguments.library).into()
        );
    }
    let mut report = Report::begin(arguments.json.as_deref(), &machine::describe(arguments.library))?;
    let chosen = |scenario| arguments.scenarios.is_empty() || arguments.scenarios.contains(&scenario);
    let library = arguments.library;
    let loopback = Workload::Loopback { bytes: arguments.mebibytes << 20 };
    let lossy = Workload::Lossy { time: Duration::from_secs_f64(arguments.seconds) };
    let comparisons = [
        (Scenario::Loopback, Comparison::loopback(loopback, library)),
        (Scenario::LossyReceiver, Comparison::receivers(lossy, library)),
        (Scenario::LossySender, Comparison::senders(lossy, library)),
    ];
    for (_, comparison) in comparisons.into_iter().filter(|(scenario, _)| chosen(*scenario)) {
        comparison.run(arguments.rounds, &mut report)?;
    }
    Ok(())
}
