//! Arguments, and what they start.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use godwit_lab::scenario;

/// Real kernels over an emulated path: network namespaces joined by a link emulator, and peers side by side.
#[derive(Debug, Parser)]
#[command(name = "godwit-lab", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name the scenarios.
    List,
}

/// Does what the arguments say.
pub(crate) fn run() -> ExitCode {
    match Cli::parse().command {
        Command::List => {
            for scenario in scenario::all() {
                println!("{:24} {}", scenario.name, scenario.about);
            }
            ExitCode::SUCCESS
        }
    }
}
