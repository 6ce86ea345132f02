//! `godwit-sim`: the matrix, one scenario of it, random scenarios, many flows, and plots.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    match cli::run(std::env::args().skip(1)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("godwit-sim: {error}");
            ExitCode::from(2)
        }
    }
}
