//! `godwit perf`: what a transport carries between two hosts, without files and without HTTP.
//!
//! Any number of connections, each for itself: the client says on it what it is about to send ([`protocol`]), then sends bytes that mean
//! nothing until the server has had enough; the server reports several times a second what has arrived, on the same
//! connection. What counts is what the server says: bytes that lie in a buffer have not been carried.

mod connection;
mod connector;
mod cpu_time;
mod error;
mod exchange;
mod lines;
mod many;
mod outcome;
mod protocol;
mod receiver;
mod send;
mod sender;
mod serve;
mod table;
mod url;

pub(crate) use error::PerfError;
pub(crate) use many::MANY_MAX;
pub(crate) use url::PerfUrlError;

use super::warn_over_tcp;
use crate::cli::{PerfArgs, PerfCommand, SendingArgs};
use crate::error::CommandError;
use crate::policy::udt_config;
use crate::signals::Signals;
use many::ManyConfig;
use send::SendConfig;
use serve::ServeConfig;

/// Connections of one test, and by default of a server.
pub(crate) const CONNECTIONS_MAX: usize = 128;

/// Runs one end.
pub(super) async fn run(
    args: PerfArgs,
    sending: &SendingArgs,
    quiet: bool,
    signals: Signals,
) -> Result<(), CommandError> {
    match args.command {
        PerfCommand::Serve(args) => serve::run(ServeConfig::new(args)?, quiet, signals).await,
        PerfCommand::Send(args) => {
            let config = SendConfig::new(args, sending)?;
            warn_over_tcp(sending, quiet, std::iter::once(config.transport()));
            send::run(config, quiet, signals).await
        }
        PerfCommand::Many(args) => many::run(ManyConfig::new(args, udt_config(sending, None)?)?, quiet, signals).await,
    }
}
