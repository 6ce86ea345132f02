//! `godwit-lab quinn-serve` and `godwit-lab quinn-get`: the two ends of the peer `quinn`, started by `run`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use godwit_lab::error::QuicError;
use godwit_lab::peer::Congestion;
use godwit_lab::quic;

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
