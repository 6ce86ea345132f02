//! `godwit-lab raw-sink` and `godwit-lab raw-source`: the two ends of UDP with nothing above it, started by `perf`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use godwit_lab::perf;

use crate::duration_argument::seconds;

/// Receives datagrams.
#[derive(Debug, Args)]
pub(crate) struct RawSinkArguments {
    #[arg(long)]
    listen: SocketAddr,
}

/// Sends datagrams.
#[derive(Debug, Args)]
pub(crate) struct RawSourceArguments {
    target: SocketAddr,
    /// In one system call
    #[arg(long)]
    segments: usize,
    #[arg(long, value_parser = seconds)]
    secs: Duration,
}

/// A socket failed.
#[derive(Debug, thiserror::Error)]
#[error("UDP failed: {0}")]
pub(crate) struct RawError(#[from] io::Error);

impl RawSinkArguments {
    pub(crate) fn run(&self) -> Result<(), RawError> {
        Ok(perf::raw_sink(self.listen)?)
    }
}

impl RawSourceArguments {
    pub(crate) fn run(&self) -> Result<(), RawError> {
        Ok(perf::raw_source(self.target, self.segments, self.secs)?)
    }
}
