//! One module per command: from its configuration to what it prints.

pub(crate) mod cat;
pub(crate) mod demo;
mod get;
mod ls;
mod put;
mod serve;

use std::time::Duration;

use godwit_http::{Client, ClientConfig};

use crate::cli::{Cli, Command};
use crate::config::ServeConfig;
use crate::error::CommandError;
use crate::policy::udt_config;
use crate::signals::Signals;

/// For telling peers that we leave: a UDT peer would wait for us otherwise.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);

/// Runs the command until it is done or a signal ends it.
pub(crate) async fn run(cli: Cli, mut signals: Signals) -> Result<(), CommandError> {
    let quiet = cli.quiet;
    let udt = udt_config(cli.policy, cli.max_rate);
    let client = Client::new(ClientConfig { udt: udt.clone(), ..ClientConfig::default() });
    let done = match cli.command {
        Command::Serve(args) => {
            let mut config = ServeConfig::try_from(args)?;
            config.server.udt = udt;
            serve::run(config, quiet, signals).await
        }
        Command::Get(args) => stoppable(get::run(&client, args.try_into()?, quiet), &mut signals).await,
        Command::Put(args) => stoppable(put::run(&client, args.try_into()?, quiet), &mut signals).await,
        Command::Ls(args) => stoppable(ls::run(&client, &args), &mut signals).await,
        Command::Demo => stoppable(demo::run(quiet, udt), &mut signals).await,
        Command::Cat(args) => cat::run(args.try_into()?, quiet, &mut signals).await,
    };
    let _ = tokio::time::timeout(FAREWELL_TIME_MAX, client.close()).await;
    done
}

/// Gives a command up when a signal comes. Dropping a transfer keeps what it has stored.
async fn stoppable(
    command: impl Future<Output = Result<(), CommandError>>,
    signals: &mut Signals,
) -> Result<(), CommandError> {
    tokio::select! {
        biased;
        signal = signals.next() => Err(CommandError::Stopped(signal)),
        done = command => done,
    }
}

/// Collects the failures of several transfers: each is reported when it happens, the first decides the exit code.
#[derive(Default)]
struct Failures {
    failed: usize,
    first: Option<CommandError>,
}

impl Failures {
    fn add(&mut self, error: CommandError, all: usize) {
        self.failed += 1;
        if all > 1 {
            error.report();
        }
        self.first.get_or_insert(error);
    }

    fn result(self, all: usize) -> Result<(), CommandError> {
        match self.first {
            None => Ok(()),
            Some(error) if all == 1 => Err(error),
            Some(error) => Err(CommandError::Several { failed: self.failed, all, first: Box::new(error) }),
        }
    }
}
