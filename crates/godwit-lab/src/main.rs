//! `godwit-lab`: real kernels over an emulated path.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::run()
}
