//! Both ends of quinn's transfers: `quinn-serve` and `quinn-get` of files, started by `run`; `quinn-sink` and `quinn-source` of bytes from
//! memory, started by `perf`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use godwit_lab::error::QuicError;
use godwit_lab::peer::Congestion;
use godwit_lab::quic;

use crate::duration_argument::seconds;

/// Sends a file to whoever asks.
#[derive(Debug, Args)]
pub(crate) struct QuinnServeArguments {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    congestion: Congestion,
    /// Where to leave the certificate
    #[arg(long)]
    certificate: PathBuf,
    file: PathBuf,
}

/// Receives a file.
#[derive(Debug, Args)]
pub(crate) struct QuinnGetArguments {
    server: SocketAddr,
    /// The server's
    #[arg(long)]
    certificate: PathBuf,
    target: PathBuf,
}

/// Receives over QUIC.
#[derive(Debug, Args)]
pub(crate) struct QuinnSinkArguments {
    #[arg(long)]
    listen: SocketAddr,
    /// Where to leave the certificate
    #[arg(long)]
    certificate: PathBuf,
}

/// Sends over QUIC.
#[derive(Debug, Args)]
pub(crate) struct QuinnSourceArguments {
    server: SocketAddr,
    /// The server's
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    congestion: Congestion,
    #[arg(long, value_parser = seconds)]
    secs: Duration,
}

impl QuinnServeArguments {
    pub(crate) fn run(&self) -> Result<(), QuicError> {
        quic::serve(self.listen, self.congestion, &self.certificate, &self.file)
    }
}

impl QuinnGetArguments {
    pub(crate) fn run(&self) -> Result<(), QuicError> {
        quic::get(self.server, &self.certificate, &self.target)
    }
}

impl QuinnSinkArguments {
    pub(crate) fn run(&self) -> Result<(), QuicError> {
        quic::sink(self.listen, &self.certificate)
    }
}

impl QuinnSourceArguments {
    pub(crate) fn run(&self) -> Result<(), QuicError> {
        quic::source(self.server, self.congestion, &self.certificate, self.secs)
    }
}
