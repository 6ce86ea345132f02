//! What a packet costs in the protocol's cores, in instructions: `cargo bench -p godwit-proto --bench instructions`.
//!
//! The program runs itself under callgrind, once for each path and length; the difference between a long and a short
//! transfer, divided by the packets between them, is the cost in steady state. Counts repeat where wall time does not, so they
//! are compared with the ones that docs/instructions.md keeps. `-- --store` writes that file anew.

mod callgrind;
mod figures;
mod transfer;

use std::process::{Command, ExitCode};

use crate::figures::{Figure, Figures};
use crate::transfer::{Case, Side};

/// Data packets of the short and of the long transfer: both beyond the start-up.
const PACKETS: [u64; 2] = [15_000, 30_000];
/// How much more a path may cost than what is stored before the comparison fails.
const TOLERANCE: f64 = 0.10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [transfer::ROLE, case, packets] => {
            transfer::run(Case::named(case).expect("the parent names a case"), packets.parse().expect("a number"));
            ExitCode::SUCCESS
        }
        ["--bench"] => report(compare()),
        ["--store", "--bench"] | ["--bench", "--store"] => report(store()),
        // `cargo test --all-targets` runs this, too.
        [] => {
            println!("nothing counted: run `cargo bench -p godwit-proto --bench instructions`");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("only `-- --store` is known: count, and write docs/instructions.md");
            ExitCode::from(2)
        }
    }
}

fn report(outcome: Result<bool, Box<dyn std::error::Error>>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the instructions were not counted: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Counts, prints each path beside what is stored; false if one is dearer than it may be.
fn compare() -> Result<bool, Box<dyn std::error::Error>> {
    if !callgrind::is_installed() {
        println!("skipped: valgrind is not installed");
        return Ok(true);
    }
    let stored = Figures::load()?;
    let toolchain = toolchain()?;
    let is_comparable = stored.toolchain == toolchain;
    println!("instructions per data packet, {toolchain}; stored: {}", stored.toolchain);
    let mut dearer = 0;
    for figure in count()? {
        let Some(before) = stored.of(&figure.path) else {
            println!("{:<16} {:>7.0}   not stored yet", figure.path, figure.instructions);
            continue;
        };
        let change = figure.instructions / before - 1.0;
        println!(
            "{:<16} {:>7.0}   stored {before:>7.0}   {:>+6.1} %",
            figure.path,
            figure.instructions,
            100.0 * change
        );
        dearer += u32::from(change > TOLERANCE);
    }
    if dearer > 0 {
        println!("{dearer} more than {:.0} % dearer than docs/instructions.md says", 100.0 * TOLERANCE);
        println!("if that buys something: cargo bench -p godwit-proto --bench instructions -- --store");
    }
    if !is_comparable {
        println!("another toolchain than the stored one: nothing is judged");
    }
    Ok(dearer == 0 || !is_comparable)
}

fn store() -> Result<bool, Box<dyn std::error::Error>> {
    let figures = Figures { toolchain: toolchain()?, figures: count()? };
    figures.save()?;
    print!("{figures}");
    Ok(true)
}

fn count() -> Result<Vec<Figure>, Box<dyn std::error::Error>> {
    let mut figures = Vec::new();
    for case in Case::ALL {
        for side in Side::ALL {
            let [short, long] = PACKETS.map(|packets| callgrind::count(case, side, packets));
            let (short, long) = (short?, long?);
            let instructions = (long - short) as f64 / (PACKETS[1] - PACKETS[0]) as f64;
            figures.push(Figure { path: format!("{}, {}", case.name(), side.name()), instructions });
        }
    }
    Ok(figures)
}

/// Which compiler made this, as far as it can be told afterwards: counts of another one are no regression.
fn toolchain() -> Result<String, Box<dyn std::error::Error>> {
    let output = Command::new("rustc").arg("--version").output()?;
    Ok(format!("{} on {}", String::from_utf8(output.stdout)?.trim(), std::env::consts::ARCH))
}
