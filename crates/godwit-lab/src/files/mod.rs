//! How fast a file gets from the page cache of one process's kernel to the memory file system of another's, over the loopback: our
//! program with its verification beside curl and nginx without any.
//!
//! The loopback is that of a network namespace of its own, where TCP can be told its congestion control without touching the machine's.

mod downloader;
mod result;
mod transfer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

pub use downloader::{Downloader, UnknownDownloader};
pub use result::{Download, FilesResults, FilesRun, FilesTable};

use crate::bench::content;
use crate::error::BenchError;
use crate::network::{NetworkError, loopback_host};
use crate::peer::{Programs, Site};
use crate::results::Machine;
use crate::scratch;
use transfer::transfer;

/// A file must have been left alone for so long before `godwit serve` remembers its SHA-256: the settle time, and some.
const SETTLE_TIME: Duration = Duration::from_millis(2500);

/// What a user may choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who downloads, in this order.
    pub downloaders: Vec<Downloader>,
    /// How often each of them.
    pub rounds: u32,
    /// Of the file.
    pub bytes: u64,
    /// Where the served file lies while it is needed.
    pub served: PathBuf,
    /// Where it is downloaded to: should be in memory.
    pub received: PathBuf,
    /// Becomes true when all is to end soon.
    pub is_interrupted: Arc<AtomicBool>,
}

/// Runs everybody in turn, round by round, until it is interrupted. `tell` hears about each run when it is over.
///
/// # Errors
/// There is no namespace, or no room for the file. A transfer that fails is a result, not an error.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<FilesResults, BenchError> {
    let programs = Programs::find().map_err(BenchError::This)?;
    let host = loopback_host().map_err(|error| BenchError::Network(NetworkError::Iproute(error)))?;
    let served = scratch::directory(&options.served)?;
    let received = scratch::directory(&options.received)?;
    let file = served.path().join("file");
    make(&file, options.bytes).map_err(|source| BenchError::Write { path: file.clone(), source })?;
    let mut results = FilesResults {
        machine: Machine::describe(&options.received),
        bytes: options.bytes,
        served_from: options.served.clone(),
        runs: Vec::new(),
    };
    let (scratch, target) = (received.path().join("scratch"), received.path().join("target"));
    let site =
        Site { left: &host, right: &host, file: &file, received: &target, scratch: &scratch, programs: &programs };
    sleep(SETTLE_TIME);
    for round in 0..options.rounds {
        for &downloader in &options.downloaders {
            if options.is_interrupted.load(Ordering::Relaxed) {
                return Ok(results);
            }
            let run = download(downloader, &site, round)?;
            tell(&run.to_string());
            results.runs.push(run);
        }
    }
    Ok(results)
}

fn download(downloader: Downloader, site: &Site, round: u32) -> Result<FilesRun, BenchError> {
    if let Some(congestion) = downloader.tcp() {
        site.left.set_tcp_congestion(congestion.name())?;
    }
    for directory in [site.scratch, site.received] {
        scratch::renew(directory).map_err(|source| BenchError::Write { path: directory.to_owned(), source })?;
    }
    // All bytes are compared once; later the length is enough, and whatever our own program verifies.
    Ok(FilesRun::new(downloader, round, transfer(downloader, site, round == 0)))
}

/// Writes the file, so that all of it is in the page cache and the disk has nothing left to do with it.
fn make(path: &Path, bytes: u64) -> io::Result<()> {
    content::write(path, bytes)?;
    File::open(path)?.sync_all()
}
