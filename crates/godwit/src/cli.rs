//! The arguments as they are typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use godwit_files::client::DOWNLOAD_CONNECTIONS_MAX;
use godwit_udt::ControllerKind;

use crate::commands::perf;
use crate::exit_code;
use crate::policy::{parse_policy, parse_rate};

/// Moves files far: HTTP over UDT, which fills long and lossy paths, and the same over TCP.
#[derive(Debug, Parser)]
#[command(name = "godwit", version, max_term_width = 120, after_help = exit_code::HELP)]
pub(crate) struct Cli {
    /// Prints errors only: no progress, no summary
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Logs what happens on stderr; -vv and -vvv log more. GODWIT_LOG or RUST_LOG override it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) sending: SendingArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How this side sends: for `get` that is the server's business, for `put` the client's.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct SendingArgs {
    /// How this side sends over UDT: native (libudt's own), fair (fills lossy paths, small queue), low (what others
    /// leave), high (the weight of four), fixed:RATE, cubic (as TCP). The side that sends the file decides: `serve` for downloads,
    /// `put` for uploads. Over TCP the kernel decides [default: fair]
    #[arg(long, global = true, value_name = "POLICY", value_parser = parse_policy, env = "GODWIT_POLICY")]
    pub(crate) policy: Option<ControllerKind>,
    /// No connection of this side sends faster, over UDT or TCP; in bits per second, as in 500k or 20M
    #[arg(long, global = true, value_name = "RATE", value_parser = parse_rate, env = "GODWIT_MAX_RATE")]
    pub(crate) max_rate: Option<u64>,
    /// Does not yield below this while the path loses less than 10 % beyond its random loss; over UDT with the policies
    /// fair, high and fixed:RATE
    #[arg(long, global = true, value_name = "RATE", value_parser = parse_rate, env = "GODWIT_MIN_RATE")]
    pub(crate) min_rate: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves a directory over UDT and TCP
    #[command(after_help = exit_code::HELP)]
    Serve(ServeArgs),
    /// Downloads files, going on where an earlier download ended, and verifies them
    #[command(after_help = exit_code::HELP)]
    Get(GetArgs),
    /// Uploads files to a server that allows it
    #[command(after_help = exit_code::HELP)]
    Put(PutArgs),
    /// Lists a directory of a server
    #[command(after_help = exit_code::HELP)]
    Ls(LsArgs),
    /// Pipes raw bytes over UDT: one connection, one direction, then exit
    ///
    /// `godwit cat udt://HOST:PORT < file` sends its stdin; `godwit cat --listen ADDR:PORT > file` writes what comes to its
    /// stdout. The other end may be any program that speaks UDT 4. There is no digest: compare one yourself.
    #[command(after_help = exit_code::HELP)]
    Cat(CatArgs),
    /// Measures what UDT or TCP carries between two hosts, without files and without HTTP
    #[command(after_help = exit_code::HELP, disable_help_subcommand = true)]
    Perf(PerfArgs),
    /// Shows a download over a path that loses packets under --policy (here by default fair) and under libudt's own
    /// control, all on this machine, in about 10 s
    #[command(after_help = exit_code::HELP)]
    Demo,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The directory; nothing outside of it is ever served or written [default: .]
    pub(crate) dir: Option<PathBuf>,
    /// Where to listen: udt://ADDR:PORT or http://ADDR:PORT, port 0 for any free one. Repeat it, or give several
    /// [default: UDT and TCP on port 9000, on all IPv4 and IPv6 addresses]
    #[arg(long, value_name = "URL", num_args = 1.., env = "GODWIT_LISTEN", value_delimiter = ',')]
    pub(crate) listen: Vec<String>,
    /// Lets everyone who reaches the server store files in DIR
    #[arg(long)]
    pub(crate) allow_upload: bool,
    /// The largest file that may be uploaded, as in 500M or 64G
    #[arg(long, value_name = "SIZE", default_value = "64G", value_parser = parse_size, env = "GODWIT_MAX_UPLOAD_SIZE")]
    pub(crate) max_upload_size: u64,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one, env = "GODWIT_MAX_CONNECTIONS")]
    pub(crate) max_connections: usize,
    /// Connections at once from one IP address
    #[arg(
        long, value_name = "N", default_value_t = 512, value_parser = at_least_one,
        env = "GODWIT_MAX_CONNECTIONS_PER_ADDRESS"
    )]
    pub(crate) max_connections_per_address: usize,
    /// UDT handshakes begun and not finished, per listener
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = at_least_one, env = "GODWIT_MAX_HALF_OPEN")]
    pub(crate) max_half_open: usize,
    /// Connections that wait for being accepted, per listener
    #[arg(
        long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..),
        env = "GODWIT_ACCEPT_BACKLOG"
    )]
    pub(crate) accept_backlog: u32,
    /// How long the head of a request may take, as in 15s or 1m
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_time, env = "GODWIT_HEAD_TIMEOUT")]
    pub(crate) head_timeout: Duration,
    /// How long a connection may do nothing, as in 60s or 5m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time, env = "GODWIT_IDLE_TIMEOUT")]
    pub(crate) idle_timeout: Duration,
    /// Sockets that share each UDP port, so that many connections use as many cores [default: one per core, at most 16]
    #[arg(long, value_name = "N", value_parser = at_least_one, env = "GODWIT_UDT_SOCKETS")]
    pub(crate) udt_sockets: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// What to download: udt://HOST:PORT/PATH or http://HOST:PORT/PATH
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// The file to write, or a directory that exists [default: the last part of the URL, here]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Replaces an existing file
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Fails (exit code 4) when the server gives no SHA-256 to verify the file with
    #[arg(long)]
    pub(crate) require_digest: bool,
    /// Fetches each file over so many connections side by side, each from a socket of its own. A single one fills a long lossy path, and
    /// several take the shares of several
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = download_connections, env = "GODWIT_CONNECTIONS")]
    pub(crate) connections: usize,
    /// How often in a row to go on after a network error without any progress; 0 for never
    #[arg(long, value_name = "N", default_value_t = 5, env = "GODWIT_RETRIES")]
    pub(crate) retries: u32,
}

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// What to upload
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Where to: a directory's URL (ending in /), or with one FILE the URL that it gets
    #[arg(required = true)]
    pub(crate) url: String,
    /// Replaces a file that is there already
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// The directory to list
    pub(crate) url: String,
    /// Prints JSON: an array of {name, type, mtime, size}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[group(id = "end", required = true, multiple = false)]
pub(crate) struct CatArgs {
    /// Connects there and sends stdin
    pub(crate) url: Option<String>,
    /// Listens there, for one connection, and writes what it sends to stdout; port 0 for any free one
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PerfArgs {
    #[command(subcommand)]
    pub(crate) command: PerfCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PerfCommand {
    /// Receives: takes tests from everyone, several at once, until a signal comes
    #[command(after_help = exit_code::HELP)]
    Serve(PerfServeArgs),
    /// Sends to `godwit perf serve`, and tells what arrived there
    ///
    /// A line each second; then the goodput, the CPU time of both ends, the packets that were sent again and the round-trip time. What
    /// counts is what arrived. Ctrl-C ends the test with the result so far. --policy is this side's.
    #[command(after_help = exit_code::HELP)]
    Send(PerfSendArgs),
    /// Downloads a file of `godwit serve` over many connections at once, to nowhere, and tells how fast and how fair that was
    ///
    /// With --idle it makes the connections and leaves them alone, and tells how long the handshake of one more takes meanwhile. The
    /// server has to let so many in: --max-connections, --max-connections-per-address, --idle-timeout.
    #[command(after_help = exit_code::HELP)]
    Many(PerfManyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PerfServeArgs {
    /// Where to listen: udt://ADDR:PORT or tcp://ADDR:PORT, port 0 for any free one. Repeat it, or give several
    /// [default: UDT and TCP on port 9001, on all IPv4 and IPv6 addresses]
    #[arg(long, value_name = "URL", num_args = 1.., value_delimiter = ',')]
    pub(crate) listen: Vec<String>,
    /// Connections at once, of all tests together
    #[arg(long, value_name = "N", default_value_t = perf::CONNECTIONS_MAX, value_parser = at_least_one)]
    pub(crate) max_connections: usize,
    /// Sockets that share each UDP port, so that many connections use as many cores [default: one per core, at most 16]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) udt_sockets: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct PerfSendArgs {
    /// Where to: udt://HOST:PORT or tcp://HOST:PORT, port 9001 if there is none
    pub(crate) url: String,
    /// How long, from the first byte's arrival on, as in 10 or 500ms; at most 24h
    #[arg(long, value_name = "N", default_value = "10", value_parser = parse_time)]
    pub(crate) secs: Duration,
    /// How many bytes instead, of all connections together, as in 500M or 10G
    #[arg(long, value_name = "N", value_parser = parse_bytes, conflicts_with = "secs")]
    pub(crate) bytes: Option<u64>,
    /// Connections side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = connections)]
    pub(crate) connections: usize,
    /// Sends each datagram by itself (no UDP segmentation offload), as where a device refuses that; over UDT
    #[arg(long)]
    pub(crate) no_gso: bool,
    /// Prints one JSON object at the end, and the lines of each second on stderr
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PerfManyArgs {
    /// What to download: udt://HOST:PORT/PATH, a file that is not empty
    pub(crate) url: String,
    /// Connections side by side
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = many_connections)]
    pub(crate) connections: usize,
    /// UDP sockets that they are made from: a server sees each as a peer of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = many_connections)]
    pub(crate) sockets: usize,
    /// Transfers nothing, and keeps the connections so long, as in 60s
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) idle: Option<Duration>,
    /// Prints the result on one line
    #[arg(long)]
    pub(crate) json: bool,
}

fn many_connections(text: &str) -> Result<usize, String> {
    at_most(text, perf::MANY_MAX)
}

fn connections(text: &str) -> Result<usize, String> {
    at_most(text, perf::CONNECTIONS_MAX)
}

fn download_connections(text: &str) -> Result<usize, String> {
    at_most(text, DOWNLOAD_CONNECTIONS_MAX)
}

fn at_most(text: &str, max: usize) -> Result<usize, String> {
    let number = at_least_one(text)?;
    if number <= max { Ok(number) } else { Err(format!("at most {max}")) }
}

/// Bytes that are to be sent: one at least.
fn parse_bytes(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("must be more than 0".into()),
        bytes => Ok(bytes),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("not a whole number".into()),
    }
}

/// Bytes: a number with K, M, G or T behind it for powers of 1024.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|unit: char| !unit.is_ascii_digit());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KIB" => 10,
        "M" | "MIB" => 20,
        "G" | "GIB" => 30,
        "T" | "TIB" => 40,
        _ => return Err("unknown unit: use K, M, G or T".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "not a size: write it as in 500M or 64G")?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".into())
}

/// A number with ms, s, m or h behind it; seconds without. Not zero.
fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|unit: char| !unit.is_ascii_digit());
    let milliseconds = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err("unknown unit: use ms, s, m or h".into()),
    };
    let number: u32 = digits.parse().map_err(|_| "not a time: write it as in 15s or 2m")?;
    if number == 0 {
        return Err("must be more than 0".into());
    }
    Ok(Duration::from_millis(u64::from(number) * milliseconds))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!((parse_size("7"), parse_size("64G"), parse_size("1kib")), (Ok(7), Ok(64 << 30), Ok(1024)));
        assert!(parse_size("").is_err() && parse_size("G").is_err() && parse_size("1X").is_err());
        assert!(parse_size("99999999999T").is_err() && parse_size("-1").is_err());
        assert_eq!(parse_time("15s"), Ok(Duration::from_secs(15)));
        assert_eq!((parse_time("2m"), parse_time("3")), (Ok(Duration::from_secs(120)), Ok(Duration::from_secs(3))));
        assert!(parse_time("0").is_err() && parse_time("s").is_err() && parse_time("1d").is_err());
    }

    #[test]
    fn every_help_lists_every_exit_code() {
        let mut command = Cli::command();
        let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        let mut helps = vec![command.render_help().to_string()];
        for name in names {
            let command = command.find_subcommand_mut(&name).expect("just listed");
            helps.push(command.render_help().to_string());
            helps.extend(command.get_subcommands_mut().map(|command| command.render_help().to_string()));
        }
        for help in helps {
            for code in ["0", "1", "2", "3", "4", "130", "143"] {
                assert!(
                    help.lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))),
                    "{code} in {help}"
                );
            }
        }
    }
}
