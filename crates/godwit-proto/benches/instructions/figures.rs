//! docs/instructions.md: the figures that later ones are compared with.

use std::fmt;
use std::path::PathBuf;

/// What one path costs.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) path: String,
    /// Per data packet of the transfer, whatever else (ACKs, timers) had to be done for it.
    pub(crate) instructions: f64,
}

/// All of them, of one toolchain.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) toolchain: String,
    pub(crate) figures: Vec<Figure>,
}

const TOOLCHAIN: &str = "Counted with: ";

impl Figures {
    pub(crate) fn load() -> Result<Self, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(file())?;
        let toolchain = text.lines().find_map(|line| line.strip_prefix(TOOLCHAIN)).unwrap_or("nothing");
        Ok(Self { toolchain: toolchain.to_owned(), figures: text.lines().filter_map(figure).collect() })
    }

    pub(crate) fn save(&self) -> std::io::Result<()> {
        std::fs::write(file(), self.to_string())
    }

    pub(crate) fn of(&self, path: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.path == path).map(|figure| figure.instructions)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "# Instructions per packet\n")?;
        writeln!(
            out,
            "What the protocol's cores cost, without the kernel and without the driver: both ends of one connection in virtual"
        )?;
        writeln!(
            out,
            "time, counted by callgrind. `cargo bench -p godwit-proto --bench instructions` counts again and compares, CI does so on each"
        )?;
        writeln!(
            out,
            "change and fails beyond 10 % more on the same toolchain; with `-- --store` it writes this file.\n"
        )?;
        writeln!(out, "{TOOLCHAIN}{}\n", self.toolchain)?;
        writeln!(out, "| path | instructions |\n|---|---|")?;
        for Figure { path, instructions } in &self.figures {
            writeln!(out, "| {path} | {instructions:.0} |")?;
        }
        writeln!(
            out,
            "\n`bulk`: 10 Gbit/s, 1 ms, runs of up to 44 packets. `paced`: 300 Mbit/s, 20 ms, each datagram comes alone. `lossy`: 1 Gbit/s, 20 ms,"
        )?;
        writeln!(
            out,
            "1 % random loss, runs. The policy is `fair`, and the application's write and read are part of it."
        )
    }
}

fn figure(line: &str) -> Option<Figure> {
    let (path, instructions) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
    Some(Figure { path: path.to_owned(), instructions: instructions.parse().ok()? })
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/instructions.md"))
}
