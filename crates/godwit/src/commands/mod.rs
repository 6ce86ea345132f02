//! One module per command: from its configuration to what it prints.

pub(crate) mod cat;
pub(crate) mod demo;
mod get;
mod ls;
pub(crate) mod perf;
mod put;
mod serve;

use std::time::Duration;

use godwit_http::{Client, ClientConfig, Transport};
use godwit_udt::ControllerKind;

use crate::cli::{Cli, Command, SendingArgs};
use crate::config::{GetConfig, PutConfig, ServeConfig};
use crate::error::CommandError;
use crate::policy::udt_config;
use crate::signals::Signals;
use crate::stderr;

/// For telling peers that we leave: a UDT peer would wait for us otherwise.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);
/// The same for a client whose requests are answered: two shutdowns go out. A server that misses both of them keeps an idle
/// connection for a while, which is not worth a user's time.
const CLIENT_FAREWELL_TIME_MAX: Duration = Duration::from_millis(15);

/// Runs the command until it is done or a signal ends it.
pub(crate) async fn run(cli: Cli, mut signals: Signals) -> Result<(), CommandError> {
    let quiet = cli.quiet;
    let sending = cli.sending;
    let udt = udt_config(&sending, None)?;
    let tcp_max_rate_bits_per_s = sending.max_rate;
    // Connections side by side are for more cores, and a server tells their packets apart by the port that they come from.
    let udt_sockets = if let Command::Get(args) = &cli.command { args.connections } else { 1 };
    let client =
        Client::new(ClientConfig { udt: udt.clone(), udt_sockets, tcp_max_rate_bits_per_s, ..ClientConfig::default() });
    let done = match cli.command {
        Command::Serve(args) => {
            let mut config = ServeConfig::try_from(args)?;
            config.server.udt = udt;
            config.server.tcp_max_rate_bits_per_s = tcp_max_rate_bits_per_s;
            warn_over_tcp(&sending, quiet, config.listen.iter().map(|url| url.transport));
            serve::run(config, quiet, signals).await
        }
        Command::Get(args) => {
            let config = GetConfig::try_from(args)?;
            warn_over_tcp(&sending, quiet, config.downloads.iter().map(|(url, _)| url.transport()));
            stoppable(get::run(&client, config, quiet), &mut signals).await
        }
        Command::Put(args) => {
            let config = PutConfig::try_from(args)?;
            warn_over_tcp(&sending, quiet, config.uploads.iter().map(|(_, url)| url.transport()));
            stoppable(put::run(&client, config, quiet), &mut signals).await
        }
        Command::Ls(args) => stoppable(ls::run(&client, &args), &mut signals).await,
        Command::Demo => {
            let ours = SendingArgs { policy: sending.policy.or(Some(ControllerKind::Fair)), ..sending };
            let native = SendingArgs { policy: Some(ControllerKind::Native), min_rate: None, ..sending };
            let controls = [udt_config(&ours, None)?, udt_config(&native, None)?];
            stoppable(demo::run(quiet, controls), &mut signals).await
        }
        Command::Perf(args) => perf::run(args, &sending, quiet, signals).await,
        Command::Cat(args) => {
            let udt = udt_config(&sending, Some(cat::LINGER))?;
            cat::run(args.try_into()?, &udt, quiet, &mut signals).await
        }
    };
    let _ = tokio::time::timeout(CLIENT_FAREWELL_TIME_MAX, client.close()).await;
    done
}

/// Says what does not apply if everything goes over TCP.
fn warn_over_tcp(sending: &SendingArgs, quiet: bool, mut transports: impl Iterator<Item = Transport>) {
    let is_ignored = sending.policy.is_some() || sending.min_rate.is_some();
    if is_ignored && !quiet && transports.all(|transport| transport == Transport::Tcp) {
        stderr::say(
            "warning: --policy and --min-rate have no effect over TCP, where the kernel decides how fast to send; \
             they need udt:// instead of http://",
        );
    }
}

/// Gives a command up when a signal comes. Dropping a transfer keeps what it has stored.
async fn stoppable<T>(
    command: impl Future<Output = Result<T, CommandError>>,
    signals: &mut Signals,
) -> Result<T, CommandError> {
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
