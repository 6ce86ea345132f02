//! How fast transports are where nothing but the machine limits them: memory to memory, each end a process, in turn.
//!
//! On the loopback, or between two namespaces that a pair of veth devices joins. No emulator, no files, no HTTP: what is compared is the cost of
//! a byte. Beside them runs what the kernel itself does with UDP in segmented sends: the ceiling for whoever uses UDP.

mod contender;
mod place;
mod raw;
mod result;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use contender::{Contender, UnknownContender};
pub use place::{Place, PlaceError};
pub use raw::{sink as raw_sink, source as raw_source};
pub use result::{PerfResults, PerfRun, PerfTable};

use crate::bench::process::{Awaited, Process};
use crate::error::{BenchError, TransferError};
use crate::network::Side;
use crate::peer::{Launch, Programs};
use crate::results::{Machine, Measured};
use crate::scratch;
use place::Ground;

/// How long a receiver may take to listen.
const LISTEN_TIME_MAX: Duration = Duration::from_secs(10);
/// Beyond the time that a transfer is to take: connecting, and telling what it came to.
const GRACE: Duration = Duration::from_secs(20);

/// What a user may choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who takes part, in this order.
    pub contenders: Vec<Contender>,
    /// How often each of them.
    pub rounds: u32,
    /// Of one transfer.
    pub duration: Duration,
    /// Where they meet.
    pub place: Place,
    /// Where logs lie while they are needed.
    pub directory: PathBuf,
    /// Becomes true when all is to end soon.
    pub is_interrupted: Arc<AtomicBool>,
}

/// Runs everybody in turn, round by round, until it is interrupted. `tell` hears about each run when it is over.
///
/// # Errors
/// The place cannot be made. A transfer that fails is a result, not an error.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<PerfResults, BenchError> {
    let programs = Programs::find().map_err(BenchError::This)?;
    let ground = Ground::prepare(options.place)?;
    let scratch = scratch::directory(&options.directory)?;
    let mut results = PerfResults {
        machine: Machine::describe(&options.directory),
        place: options.place,
        seconds: options.duration.as_secs_f64(),
        runs: Vec::new(),
    };
    for round in 0..options.rounds {
        for &contender in &options.contenders {
            if options.is_interrupted.load(Ordering::Relaxed) {
                return Ok(results);
            }
            let transfer = transfer(contender, options, &programs, &ground, scratch.path());
            let run = PerfRun::new(contender, round, transfer);
            tell(&run.to_string());
            results.runs.push(run);
        }
    }
    Ok(results)
}

fn transfer(
    contender: Contender,
    options: &Options,
    programs: &Programs,
    ground: &Ground,
    scratch: &Path,
) -> Result<Measured, TransferError> {
    let start = |side: Side, program: PathBuf, arguments: Vec<String>| {
        let launch = Launch::bare(side, ground.command(side, program), scratch).args(arguments);
        Process::start(launch, scratch.join(side.name()))
    };
    let program = contender.program(programs);
    let mut receiver = start(Side::Right, program.clone(), contender.receive(ground.address(Side::Right), scratch))?;
    let address = receiver.wait_for(Awaited::Port, LISTEN_TIME_MAX, |log| contender.listening_at(log))?;
    let mut sender = start(Side::Left, program, contender.send(&address, options.duration, scratch))?;
    // Whoever of the two knows the result says it before it ends.
    let teller = if contender.is_told_by_sender() { &mut sender } else { &mut receiver };
    let (bytes, seconds) = teller.wait_for(Awaited::Result, options.duration + GRACE, |log| contender.result(log))?;
    sender.finish()?;
    receiver.finish()?;
    Ok(Measured { bytes, seconds, sender_cpu_s: sender.usage().cpu_s, receiver_cpu_s: receiver.usage().cpu_s })
}
