//! Arguments, and what they start.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use godwit_sim::controller::{Contender, UnknownController};
use godwit_sim::matrix::{self, MatrixOptions};
use godwit_sim::scenario::Scenario;
use godwit_sim::{catalogue, measured, plot, random, scale};

const USAGE: &str = "\
usage: godwit-sim COMMAND [OPTIONS]

  matrix [FILTER]         all scenarios, or those whose name or number has FILTER in it; exit code 1 if a line is missed
      --seeds N           seeds per scenario (5)
      --threads N         (all cores)
      --results FILE      where runs are kept, so that a second start goes on (target/sim/CONTROLLER.jsonl)
      --fresh             forget them first
  replay SCENARIO         one run, with its pass lines;  --seed S (0), --trace prints every packet
  plot SCENARIO           one run as an SVG of rate, RTT, queue and window;  --seed S (0), --out FILE (SCENARIO-S.svg)
  random                  random scenarios with random settings;  --seed S (0), --count N (100), --trace
  scale                   many flows with a heavy tail of sizes over one link;  --flows N (1000), --seed S (0)
  list                    the scenarios and their pass lines

  --controller NAME       for matrix, replay, plot, scale and list";

/// Why nothing was run, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("{USAGE}")]
    Usage,
    #[error("{0} needs a value that fits; see `godwit-sim help`")]
    Value(&'static str),
    #[error("no option is called {0}; see `godwit-sim help`")]
    Option(String),
    #[error("no scenario is called {0}; `godwit-sim list` names them")]
    Scenario(String),
    #[error(transparent)]
    Controller(#[from] UnknownController),
    #[error("the results can't be kept: {0}")]
    Results(#[from] io::Error),
}

/// All that can be said on the command line.
#[derive(Debug, Default)]
struct Options {
    subject: Option<String>,
    controller: Option<String>,
    seed: Option<u64>,
    seeds: Option<u64>,
    count: Option<u64>,
    flows: Option<usize>,
    threads: Option<usize>,
    results: Option<PathBuf>,
    out: Option<PathBuf>,
    fresh: bool,
    trace: bool,
}

/// Does what the arguments say; false if a pass line was missed or a check failed.
pub(crate) fn run(mut arguments: impl Iterator<Item = String>) -> Result<bool, CliError> {
    let command = arguments.next().ok_or(CliError::Usage)?;
    let options = Options::parse(arguments)?;
    match command.as_str() {
        "matrix" => Ok(matrix::run(&options.matrix()?)?),
        "replay" => options.replay(),
        "plot" => options.plot(),
        "random" => Ok(random::run(options.seed.unwrap_or(0), options.count.unwrap_or(100), options.trace)),
        "scale" => Ok(scale::run(options.contender()?, options.flows.unwrap_or(1000), options.seed.unwrap_or(0))),
        "list" => options.list(),
        _ => Err(CliError::Usage),
    }
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, CliError> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--controller" => options.controller = Some(value("--controller", arguments.next())?),
                "--seed" => options.seed = Some(value("--seed", arguments.next())?),
                "--seeds" => options.seeds = Some(value("--seeds", arguments.next())?),
                "--count" => options.count = Some(value("--count", arguments.next())?),
                "--flows" => options.flows = Some(value("--flows", arguments.next())?),
                "--threads" => options.threads = Some(value("--threads", arguments.next())?),
                "--results" => options.results = Some(value("--results", arguments.next())?),
                "--out" => options.out = Some(value("--out", arguments.next())?),
                "--fresh" => options.fresh = true,
                "--trace" => options.trace = true,
                subject if !subject.starts_with('-') && options.subject.is_none() => options.subject = Some(argument),
                _ => return Err(CliError::Option(argument)),
            }
        }
        Ok(options)
    }

    fn contender(&self) -> Result<Contender, UnknownController> {
        self.controller.as_deref().unwrap_or(Contender::DEFAULT_NAME).parse()
    }

    fn scenario(&self) -> Result<Scenario, CliError> {
        let name = self.subject.clone().ok_or(CliError::Usage)?;
        let scenario = catalogue::named(self.contender()?, &name).ok_or(CliError::Scenario(name))?;
        Ok(matrix::with_seed(&scenario, self.seed.unwrap_or(0)))
    }

    fn matrix(&self) -> Result<MatrixOptions, CliError> {
        let controller = self.controller.as_deref().unwrap_or(Contender::DEFAULT_NAME).replace([':', ','], "-");
        let default = PathBuf::from(format!("target/sim/{controller}.jsonl"));
        Ok(MatrixOptions {
            contender: self.contender()?,
            filter: self.subject.clone(),
            seeds: self.seeds.unwrap_or(5),
            threads: self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into)),
            results: self.results.clone().unwrap_or(default),
            fresh: self.fresh,
        })
    }

    fn replay(&self) -> Result<bool, CliError> {
        let scenario = self.scenario()?;
        let measured = match measured::run(&scenario, self.seed.unwrap_or(0), self.trace) {
            Ok(measured) => measured,
            Err(failure) => {
                println!("FAILED: {failure}");
                return Ok(false);
            }
        };
        println!(
            "utilisation {:.4}, queue {:.2} ms (p95 {:.2}), Jain {:.3}, 90 % after {:?} s, retransmitted {:.4}, dropped {:.4}",
            measured.utilisation(),
            measured.queue_mean_ms(),
            measured.queue_p95_ms(),
            measured.jain(),
            measured.seconds_to_90(),
            measured.retransmitted,
            measured.drops
        );
        let mut is_met = true;
        for line in &scenario.lines {
            let (value, is_line_met) = line.judge(&measured);
            println!("{} {line}: {value:.4}", if is_line_met { "met   " } else { "MISSED" });
            is_met &= is_line_met;
        }
        Ok(is_met)
    }

    fn plot(&self) -> Result<bool, CliError> {
        let scenario = self.scenario()?;
        let seed = self.seed.unwrap_or(0);
        match measured::run(&scenario, seed, false) {
            Ok(measured) => {
                let path = self.out.clone().unwrap_or_else(|| format!("{}-{seed}.svg", scenario.name).into());
                std::fs::write(&path, plot::svg(&scenario, &measured))?;
                println!("{}", path.display());
                Ok(true)
            }
            Err(failure) => {
                println!("FAILED: {failure}");
                Ok(false)
            }
        }
    }

    fn list(&self) -> Result<bool, CliError> {
        for scenario in catalogue::scenarios(self.contender()?) {
            let lines: Vec<String> = scenario.lines.iter().map(ToString::to_string).collect();
            println!("{:5} {:36} {}", scenario.number, scenario.name, lines.join("; "));
        }
        Ok(true)
    }
}

fn value<T: FromStr>(option: &'static str, argument: Option<String>) -> Result<T, CliError> {
    argument.and_then(|argument| argument.parse().ok()).ok_or(CliError::Value(option))
}
