//! All scenarios with several seeds each, on all cores, judged on the worst seed.

use std::io;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::catalogue;
use crate::controller::Contender;
use crate::failure::Failure;
use crate::measured;
use crate::results::{ResultsFile, RunResult, fingerprint, program_fingerprint};
use crate::scenario::Scenario;
use crate::table;

/// What to run.
#[derive(Clone, Debug)]
pub struct MatrixOptions {
    /// Whom to test.
    pub contender: Contender,
    /// Scenarios whose name or number contains this; all without.
    pub filter: Option<String>,
    /// Seeds 0 .. seeds.
    pub seeds: u64,
    /// Threads.
    pub threads: usize,
    /// Where the results are kept.
    pub results: PathBuf,
    /// Whether to forget what is kept there.
    pub fresh: bool,
}

/// Runs what has not been run yet, prints the table, and says whether every line is met by every seed.
///
/// # Errors
/// The results can't be kept.
pub fn run(options: &MatrixOptions) -> io::Result<bool> {
    let mut scenarios = catalogue::scenarios(options.contender);
    if let Some(filter) = &options.filter {
        scenarios.retain(|scenario| scenario.name.contains(filter.as_str()) || scenario.number == filter);
    }
    let program = program_fingerprint();
    let file = ResultsFile::open(&options.results, options.fresh)?;
    let prints: Vec<u64> = scenarios.iter().map(|scenario| fingerprint(program, scenario)).collect();
    let mut waiting: Vec<(usize, u64)> = (0..scenarios.len())
        .flat_map(|scenario| (0..options.seeds).map(move |seed| (scenario, seed)))
        .filter(|&(scenario, seed)| file.known(&scenarios[scenario].name, seed, prints[scenario]).is_none())
        .collect();
    // The longest first, so that no thread is left alone with one at the end.
    waiting.sort_by(|a, b| effort(&scenarios[b.0]).total_cmp(&effort(&scenarios[a.0])));
    if !waiting.is_empty() {
        eprintln!("{} of {} runs to do", waiting.len(), scenarios.len() as u64 * options.seeds);
    }
    let file = Mutex::new(file);
    let next = AtomicUsize::new(0);
    let fault = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| {
                while let Some(&(scenario, seed)) = waiting.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run_one(&scenarios[scenario], seed, prints[scenario]);
                    eprintln!("{:6.1} s  {} seed {seed}", result.wall_s, result.scenario);
                    if let Err(error) = file.lock().expect("no thread panicked with it").add(&result) {
                        *fault.lock().expect("no thread panicked with it") = Some(error);
                    }
                }
            });
        }
    });
    if let Some(error) = fault.into_inner().expect("all threads have ended") {
        return Err(error);
    }
    let file = ResultsFile::open(&options.results, false)?;
    let rows: Vec<Vec<&RunResult>> = scenarios
        .iter()
        .zip(&prints)
        .map(|(scenario, &print)| {
            (0..options.seeds).filter_map(|seed| file.known(&scenario.name, seed, print)).collect()
        })
        .collect();
    Ok(table::print(options.contender, &scenarios, &rows))
}

/// One run.
fn run_one(scenario: &Scenario, seed: u64, fingerprint: u64) -> RunResult {
    let began = Instant::now();
    let scenario_of_seed = with_seed(scenario, seed);
    let outcome = catch_unwind(|| measured::run(&scenario_of_seed, seed, false)).unwrap_or(Err(Failure::Panicked));
    RunResult::new(scenario, seed, fingerprint, &outcome, began.elapsed().as_secs_f64())
}

/// Seeds also move the starts against each other, as the real world does.
pub fn with_seed(scenario: &Scenario, seed: u64) -> Scenario {
    let mut scenario = scenario.clone();
    for (number, flow) in scenario.flows.iter_mut().enumerate() {
        flow.start += std::time::Duration::from_millis(13) * (seed as u32 * number as u32);
    }
    scenario
}

/// About how many packets a scenario simulates.
fn effort(scenario: &Scenario) -> f64 {
    scenario.usable_bits_per_s() * scenario.duration.as_secs_f64()
}
