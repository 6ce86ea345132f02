//! One JSON line per run in a file: what a matrix has done already, and what the table is made of.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::measured::Measured;
use crate::scenario::Scenario;

/// What one run of one scenario with one seed gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Of the program and the scenario: a result of another program does not count.
    pub fingerprint: u64,
    /// Why the run is invalid, if it is; then nothing else means anything.
    pub failure: Option<String>,
    /// Utilisation by flow.
    pub shares: Vec<f64>,
    /// Mean queue, milliseconds.
    pub queue_mean_ms: f64,
    /// Its 95th percentile.
    pub queue_p95_ms: f64,
    /// Jain's index.
    pub jain: f64,
    /// Seconds from the first data packet to 90 % of the rate.
    pub seconds_to_90: Option<f64>,
    /// Retransmitted share of the first flow's packets.
    pub retransmitted: f64,
    /// Dropped share at the bottleneck after the warm-up.
    pub drops: f64,
    /// The pass lines, in the scenario's order: what was reached, and whether it is enough.
    pub lines: Vec<(f64, bool)>,
    /// Simulated steps and packets, and the seconds that they took.
    pub steps: u64,
    /// See above.
    pub packets: u64,
    /// See above.
    pub wall_s: f64,
}

impl RunResult {
    /// Of a run, whichever way it went.
    pub fn new(
        scenario: &Scenario,
        seed: u64,
        fingerprint: u64,
        outcome: &Result<Measured, Failure>,
        wall_s: f64,
    ) -> Self {
        let mut result = Self {
            scenario: scenario.name.clone(),
            seed,
            fingerprint,
            failure: outcome.as_ref().err().map(ToString::to_string),
            shares: Vec::new(),
            queue_mean_ms: 0.0,
            queue_p95_ms: 0.0,
            jain: 0.0,
            seconds_to_90: None,
            retransmitted: 0.0,
            drops: 0.0,
            lines: vec![(0.0, false); scenario.lines.len()],
            steps: 0,
            packets: 0,
            wall_s,
        };
        if let Ok(measured) = outcome {
            result.shares = (0..scenario.flows.len()).map(|flow| measured.share(flow)).collect();
            result.queue_mean_ms = measured.queue_mean_ms();
            result.queue_p95_ms = measured.queue_p95_ms();
            result.jain = measured.jain();
            result.seconds_to_90 = measured.seconds_to_90();
            result.retransmitted = measured.retransmitted;
            result.drops = measured.drops;
            // JSON has no infinity.
            let finite = |(value, is_met): (f64, bool)| (value.clamp(-1e9, 1e9), is_met);
            result.lines = scenario.lines.iter().map(|line| finite(line.judge(measured))).collect();
            (result.steps, result.packets) = (measured.steps, measured.packets);
        }
        result
    }

    /// Utilisation of all flows.
    pub fn utilisation(&self) -> f64 {
        self.shares.iter().sum()
    }
}

/// A file of results that grows run by run.
#[derive(Debug)]
pub struct ResultsFile {
    file: File,
    known: HashMap<(String, u64, u64), RunResult>,
}

impl ResultsFile {
    /// Opens the file, with what is in it; `fresh` empties it first.
    ///
    /// # Errors
    /// It can't be read or written.
    pub fn open(path: &Path, fresh: bool) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut known = HashMap::new();
        if !fresh && let Ok(file) = File::open(path) {
            for line in BufReader::new(file).lines() {
                // The last line of a run that was interrupted may be cut off; it is run again.
                if let Ok(result) = serde_json::from_str::<RunResult>(&line?) {
                    known.insert((result.scenario.clone(), result.seed, result.fingerprint), result);
                }
            }
        }
        let file = OpenOptions::new().create(true).append(!fresh).write(true).truncate(fresh).open(path)?;
        Ok(Self { file, known })
    }

    /// The result of a run that has been made already.
    pub fn known(&self, scenario: &str, seed: u64, fingerprint: u64) -> Option<&RunResult> {
        self.known.get(&(scenario.to_owned(), seed, fingerprint))
    }

    /// Adds one.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn add(&mut self, result: &RunResult) -> io::Result<()> {
        let mut line = serde_json::to_string(result)?;
        line.push('\n');
        self.file.write_all(line.as_bytes())
    }
}

/// A number that changes when the program or the scenario does.
pub fn fingerprint(program: u64, scenario: &Scenario) -> u64 {
    hash(program, format!("{scenario:?}").as_bytes())
}

/// The same of this program, read from its file.
pub fn program_fingerprint() -> u64 {
    let contents = std::env::current_exe().and_then(fs::read).unwrap_or_default();
    hash(0, &contents)
}

/// FNV-1a: stable from one build to the next, which the standard library's is not promised to be.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(start ^ 0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}
