//! `godwit-lab shell`

use std::io;
use std::process::Command;

use clap::{Args, ValueEnum};
use godwit_lab::network::{self, Counters, DirectionCounters, Host, IprouteError, Network, NetworkError, Side};

use crate::path_arguments::{PathArguments, PathError};

/// Where the user has not chosen one.
const SHELL: &str = "/bin/sh";

/// A shell at one end of a path. The addresses of both ends are $LEFT and $RIGHT
#[derive(Debug, Args)]
pub(crate) struct ShellArguments {
    #[command(flatten)]
    path: PathArguments,
    /// Go to a side of the network that another `godwit-lab shell` keeps up
    #[arg(long, value_enum, conflicts_with_all = ["scenario", "path"])]
    side: Option<Place>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Place {
    Left,
    Right,
}

/// Why there is no shell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShellError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Iproute(#[from] IprouteError),
    #[error("no network is up; `godwit-lab shell SCENARIO` makes one")]
    NoNetwork,
    #[error("cannot run a shell: {0}")]
    Shell(#[source] io::Error),
}

/// Runs a shell until it ends. The exit code of its last command is nobody's business.
pub(crate) fn run(arguments: &ShellArguments) -> Result<(), ShellError> {
    if let Some(side) = arguments.side {
        let host = network::running_host(side.into())?.ok_or(ShellError::NoNetwork)?;
        println!("in {host}");
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &host, &shell()]);
        return wait_for(&mut inside);
    }
    let network = Network::start(&arguments.path.network()?)?;
    introduce(&network);
    let host = network.left(0);
    let mut inside = host.command(shell());
    inside.env("LEFT", host.addr().to_string()).env("RIGHT", network.right(0).addr().to_string());
    wait_for(&mut inside)?;
    print_counters(&network.counters());
    Ok(())
}

fn wait_for(command: &mut Command) -> Result<(), ShellError> {
    command.status().map(drop).map_err(ShellError::Shell)
}

fn shell() -> String {
    std::env::var("SHELL").unwrap_or_else(|_| SHELL.to_owned())
}

fn introduce(network: &Network) {
    println!("The path is up until this shell ends. The hosts, and how to run something there:");
    for side in [Side::Left, Side::Right] {
        let line = |host: &Host| format!("  {:5}  {}  ip netns exec {} COMMAND", side.name(), host.addr(), host.name());
        network.hosts(side).iter().for_each(|host| println!("{}", line(host)));
    }
    println!("This shell is on the left; another terminal gets the right with `godwit-lab shell --side right`.");
}

fn print_counters(counters: &Counters) {
    print_direction("left to right", &counters.forward);
    print_direction("right to left", &counters.reverse);
    if let Err(invalid) = counters.check() {
        println!("{invalid}");
    }
}

fn print_direction(name: &str, direction: &DirectionCounters) {
    println!(
        "{name}: {} packets, {} bytes arrived; {} lost, {} dropped by the queue, {} by the policer; \
         queue {:.1} ms (mean), {:.1} ms (p95)",
        direction.left_packets,
        direction.left_bytes,
        direction.lost,
        direction.queue_dropped,
        direction.policed,
        direction.queue_delay_mean.as_secs_f64() * 1e3,
        direction.queue_delay_p95.as_secs_f64() * 1e3
    );
}

impl From<Place> for Side {
    fn from(place: Place) -> Self {
        match place {
            Place::Left => Self::Left,
            Place::Right => Self::Right,
        }
    }
}
