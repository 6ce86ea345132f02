//! Peers side by side over one path: each in turn, several rounds.

pub(crate) mod content;
mod flow;
mod growth;
mod kernel_settings;
pub(crate) mod log;
mod proc;
pub(crate) mod process;
mod sent_again;
pub(crate) mod socket_table;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flow::{Flow, Place};
use watch::Watch;

use crate::error::{BenchError, TransferError};
use crate::network::{Counters, Network, NetworkConfig};
use crate::peer::{Peer, Programs};
use crate::results::{Outcome, PathDescription, PeerDescription, Run, ScenarioResults, Work};
use crate::scenario::{Scenario, Workload};
use crate::scratch;

/// Files are sent in less than this many times what the rate allows, or not at all.
const HEADROOM: f64 = 1.05;
/// Between two runs the path gets so many round trips, and at least [`PAUSE_MIN`], to become empty.
const PAUSE_ROUND_TRIPS: u32 = 3;
const PAUSE_MIN: Duration = Duration::from_millis(300);

/// What a user may choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who takes part, in this order.
    pub peers: Vec<Peer>,
    /// How often each of them.
    pub rounds: u32,
    /// Instead of the time that a scenario names.
    pub duration: Option<Duration>,
    /// The most that the transfer of a file may take.
    pub time_limit: Duration,
    /// Whether the path is measured first.
    pub must_calibrate: bool,
    /// Where the files lie while they are needed. Should be in memory.
    pub directory: PathBuf,
    /// Becomes true when all is to end soon.
    pub is_interrupted: Arc<AtomicBool>,
}

/// Runs a scenario: calibrates, then round by round every peer that is not missing, until it is interrupted: the run that was under way
/// does not count. `tell` hears about each run when it is over.
///
/// # Errors
/// There is no network, or it cannot be set up. A transfer that fails is a result, not an error.
pub fn run(scenario: &Scenario, options: &Options, mut tell: impl FnMut(&str)) -> Result<ScenarioResults, BenchError> {
    let programs = Programs::find().map_err(BenchError::This)?;
    let network = Network::start(&scenario.network)?;
    let (work, file_bytes) = work(scenario, options);
    let mut results = ScenarioResults {
        calibration: if options.must_calibrate { Some(network.calibrate()?) } else { None },
        settings: kernel_settings::read(network.left(0)),
        ..describe_scenario(scenario, work)
    };
    let scratch = scratch::directory(&options.directory)?;
    let file = make_file(scratch.path(), file_bytes)?;
    let bench = Bench { network: &network, file: &file, programs: &programs, directory: scratch.path(), options };
    let groups = groups(scenario, options);
    results.peers = describe_peers(groups.iter().flatten(), &programs);
    for peer in &results.peers {
        peer.missing.iter().for_each(|why| tell(&format!("{}: missing: {why}", peer.name)));
    }
    let is_missing = |peer: &Peer| programs.version(peer).is_err();
    let present: Vec<_> = groups.iter().filter(|group| !group.iter().any(|(peer, _)| is_missing(peer))).collect();
    for round in 0..options.rounds {
        for group in &present {
            let runs = bench.run_group(group, work, round)?;
            if options.is_interrupted.load(Ordering::Relaxed) {
                return Ok(results);
            }
            runs.iter().for_each(|run| tell(&one_line(run, &results.path)));
            results.runs.extend(runs);
        }
    }
    Ok(results)
}

/// What is known before anything was measured.
fn describe_scenario(scenario: &Scenario, work: Work) -> ScenarioResults {
    ScenarioResults {
        name: scenario.name.clone(),
        about: scenario.about.clone(),
        path: describe(&scenario.network),
        work,
        calibration: None,
        settings: Vec::new(),
        peers: Vec::new(),
        runs: Vec::new(),
    }
}

/// Flows that run at once: who, and when it starts.
type Group = Vec<(Peer, Duration)>;

fn groups(scenario: &Scenario, options: &Options) -> Vec<Group> {
    match &scenario.workload {
        Workload::Sharing { flows, .. } => {
            let known = flows.iter().filter_map(|flow| Some((flow.peer.parse().ok()?, flow.starts_after)));
            vec![known.collect()]
        }
        Workload::File { .. } | Workload::Timed { .. } => {
            options.peers.iter().map(|peer| vec![(peer.clone(), Duration::ZERO)]).collect()
        }
    }
}

/// The work, and how large a file it takes.
fn work(scenario: &Scenario, options: &Options) -> (Work, u64) {
    let rate = describe(&scenario.network).rate_bits_per_s;
    let enough = |duration: Duration| (rate / 8.0 * duration.as_secs_f64() * HEADROOM) as u64;
    match &scenario.workload {
        Workload::File { bytes } => (Work::File { bytes: *bytes }, *bytes),
        Workload::Timed { duration } => {
            let duration = options.duration.unwrap_or(*duration);
            (Work::Timed { seconds: duration.as_secs_f64() }, enough(duration))
        }
        Workload::Sharing { flows, duration } => {
            let duration = options.duration.unwrap_or(*duration);
            let last = flows.iter().map(|flow| flow.starts_after).max().unwrap_or_default();
            (Work::Sharing { seconds: duration.as_secs_f64() }, enough(last + duration))
        }
    }
}

fn describe(network: &NetworkConfig) -> PathDescription {
    let (forward, reverse) = (&network.forward, &network.reverse);
    PathDescription {
        rate_bits_per_s: forward.rate_bits_per_s.map_or(f64::INFINITY, |rate| rate as f64),
        rtt_s: (forward.delay + reverse.delay).as_secs_f64(),
        loss: 1.0 - (1.0 - forward.loss) * (1.0 - forward.burst_loss.mean),
        queue_bytes: forward.queue_bytes as u64,
    }
}

fn describe_peers<'a>(flows: impl Iterator<Item = &'a (Peer, Duration)>, programs: &Programs) -> Vec<PeerDescription> {
    let mut described: Vec<PeerDescription> = Vec::new();
    for (peer, _) in flows {
        let (name, about) = (peer.to_string(), peer.about().to_owned());
        if !described.iter().any(|known| known.name == name) {
            let version = programs.version(peer);
            let missing = version.as_ref().err().map(ToString::to_string);
            described.push(PeerDescription { name, about, version: version.ok(), missing });
        }
    }
    described
}

/// What all runs of a scenario have in common.
struct Bench<'a> {
    network: &'a Network,
    file: &'a Path,
    programs: &'a Programs,
    directory: &'a Path,
    options: &'a Options,
}

impl Bench<'_> {
    fn run_group(&self, group: &Group, work: Work, round: u32) -> Result<Vec<Run>, BenchError> {
        let config = self.network.config();
        std::thread::sleep(PAUSE_MIN.max((config.forward.delay + config.reverse.delay) * PAUSE_ROUND_TRIPS));
        for (place, (peer, _)) in group.iter().enumerate() {
            for host in [self.network.left(place), self.network.right(place)] {
                peer.tcp().map_or(Ok(()), |congestion| host.set_tcp_congestion(congestion.name()))?;
            }
        }
        Ok(self.transfer(group, work, round).unwrap_or_else(|(flow, error)| {
            let outcome = Outcome::Failed { reason: error.to_string() };
            vec![Run { flow, ..Run::new(group[flow].0.to_string(), round, outcome) }]
        }))
    }

    /// Runs the flows; which of them failed and why, if one cannot even be started.
    fn transfer(&self, group: &Group, work: Work, round: u32) -> Result<Vec<Run>, (usize, TransferError)> {
        let mut flows = Vec::new();
        for (number, (peer, _)) in group.iter().enumerate() {
            flows.push(Flow::prepare(peer, self.place(number)).map_err(|error| (number, error))?);
        }
        let starts = group.iter().map(|(_, starts_after)| *starts_after).collect();
        let mut watch = Watch::new(flows, starts, self.end(work));
        self.network.counters();
        watch.watch(&self.options.is_interrupted)?;
        let path: Counters = self.network.counters();
        Ok(watch.finish(round, round == 0, &path))
    }

    fn place(&self, number: usize) -> Place<'_> {
        let (left, right) = (self.network.left(number), self.network.right(number));
        let directory = self.directory.join(format!("flow-{number}"));
        Place { left, right, file: self.file, programs: self.programs, directory }
    }

    /// How long after the start of the last flow it is over.
    fn end(&self, work: Work) -> Duration {
        match work {
            Work::File { .. } => self.options.time_limit,
            Work::Timed { seconds } | Work::Sharing { seconds } => Duration::from_secs_f64(seconds),
        }
    }
}

fn one_line(run: &Run, path: &PathDescription) -> String {
    let Run { peer, round, seconds, .. } = run;
    let rate = run.overlap_bits_per_s.unwrap_or_else(|| run.goodput_bits_per_s()) / 1e6;
    let ended = match &run.outcome {
        Outcome::Complete { verified: true } => "complete, same bytes".to_owned(),
        Outcome::Complete { verified: false } => "complete".to_owned(),
        Outcome::Stopped => "stopped".to_owned(),
        Outcome::Failed { reason } => return format!("{peer} round {round}: FAILED: {reason}"),
    };
    let doubt = if run.is_valid() { "" } else { ", NOT COUNTED: its TCP is not what was asked for" };
    format!("{peer} round {round}: {rate:.1} Mbit/s, ratio {:.3}, {seconds:.3} s, {ended}{doubt}", run.ratio(path))
}

/// The file, alone in a directory that every peer may serve.
fn make_file(directory: &Path, bytes: u64) -> Result<PathBuf, BenchError> {
    let served = directory.join("served");
    let path = served.join("file");
    let made = fs::create_dir(served).and_then(|()| content::write(&path, bytes));
    made.map(|()| path.clone()).map_err(|source| BenchError::Write { path, source })
}
