//! Diagnostics on stderr: `GODWIT_LOG`, else `RUST_LOG`, else `-v` and `-q`.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::stderr;

/// Starts logging. What the environment asks for is a filter in the syntax of `tracing_subscriber::EnvFilter`, such as
/// `info,godwit_udt=debug`; a malformed one is reported and ignored.
pub(crate) fn start(quiet: bool, verbose: u8) {
    let default = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let asked =
        ["GODWIT_LOG", "RUST_LOG"].iter().find_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()));
    let filter = asked.map(|text| {
        EnvFilter::try_new(&text).unwrap_or_else(|error| {
            stderr::say(format_args!("godwit: ignoring the log filter from the environment: {error}"));
            EnvFilter::new(default)
        })
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new(default)))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
