//! What was measured, as it is kept in JSON, and as a table.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Downloader;
use super::transfer::Measured;
use crate::error::TransferError;
use crate::results::{Machine, Spread};

/// One start of `godwit-lab files`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilesResults {
    /// Where and how.
    pub machine: Machine,
    /// Of the file.
    pub bytes: u64,
    /// The directory from which it was served.
    pub served_from: PathBuf,
    /// In the order in which they ran.
    pub runs: Vec<FilesRun>,
}

/// One download. Of a failed one all numbers are 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilesRun {
    /// Whose.
    pub downloader: Downloader,
    /// From 0.
    pub round: u32,
    /// What arrived.
    pub bytes: u64,
    /// From the start of the client's process to its end.
    pub seconds: f64,
    /// CPU time of the server meanwhile.
    pub sender_cpu_s: f64,
    /// CPU time of the client, from its start to its end.
    pub receiver_cpu_s: f64,
    /// The server's highest resident size.
    pub sender_resident_bytes: u64,
    /// The client's highest resident size.
    pub receiver_resident_bytes: u64,
    /// Read back from the kernel, of the server's TCP connections.
    pub congestion: Vec<String>,
    /// Why it failed.
    pub failed: Option<String>,
}

/// Medians, and ratios of medians to curl's.
#[derive(Debug)]
pub struct FilesTable<'a>(pub &'a FilesResults);

impl FilesRun {
    pub(super) fn new(downloader: Downloader, round: u32, transfer: Result<Measured, TransferError>) -> Self {
        let mut run = Self {
            downloader,
            round,
            bytes: 0,
            seconds: 0.0,
            sender_cpu_s: 0.0,
            receiver_cpu_s: 0.0,
            sender_resident_bytes: 0,
            receiver_resident_bytes: 0,
            congestion: Vec::new(),
            failed: None,
        };
        match transfer {
            Ok(measured) => {
                run.bytes = measured.bytes;
                run.seconds = measured.seconds;
                (run.sender_cpu_s, run.receiver_cpu_s) = (measured.sender_cpu_s, measured.receiver_cpu_s);
                run.sender_resident_bytes = measured.sender_resident_bytes;
                run.receiver_resident_bytes = measured.receiver_resident_bytes;
                run.failed = wrong_congestion(downloader, &measured.congestion);
                run.congestion = measured.congestion;
            }
            Err(error) => run.failed = Some(error.to_string()),
        }
        run
    }

    /// The goodput, in bits per second.
    pub fn goodput_bits_per_s(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds.max(1e-9)
    }

    fn sender_cpu_s_per_gb(&self) -> f64 {
        self.sender_cpu_s * 1e9 / self.bytes.max(1) as f64
    }

    fn receiver_cpu_s_per_gb(&self) -> f64 {
        self.receiver_cpu_s * 1e9 / self.bytes.max(1) as f64
    }
}

/// Connections that were too short to be seen prove nothing.
fn wrong_congestion(downloader: Downloader, seen: &[String]) -> Option<String> {
    let wanted = downloader.tcp()?.name();
    let wrong = seen.iter().find(|name| *name != wanted)?;
    Some(format!("TCP used {wrong}, not {wanted}"))
}

impl FilesResults {
    /// Least, middle and greatest of what the runs of one came to.
    fn spread(&self, downloader: Downloader, value: impl Fn(&FilesRun) -> f64) -> Option<Spread> {
        let runs = self.runs.iter().filter(|run| run.downloader == downloader && run.failed.is_none());
        Spread::of(runs.map(value))
    }
}

impl fmt::Display for FilesRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:11}", self.downloader)?;
        if let Some(why) = &self.failed {
            return write!(f, " FAILED: {why}");
        }
        write!(
            f,
            " {:7.2} Gbit/s in {:.3} s, CPU s/GB out {:.3}, in {:.3}, MB out {:.1}, in {:.1} {}",
            self.goodput_bits_per_s() / 1e9,
            self.seconds,
            self.sender_cpu_s_per_gb(),
            self.receiver_cpu_s_per_gb(),
            self.sender_resident_bytes as f64 / 1e6,
            self.receiver_resident_bytes as f64 / 1e6,
            self.congestion.join(" ")
        )
    }
}

impl fmt::Display for FilesTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(results) = *self;
        let curl = results.spread(Downloader::CurlCubic, FilesRun::goodput_bits_per_s);
        writeln!(f, "| {} bytes | Gbit/s | to curl | CPU s/GB out | in | peak MB out | in |", results.bytes)?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for downloader in Downloader::ALL {
            let spread = |value: fn(&FilesRun) -> f64| results.spread(downloader, value);
            let Some(rate) = spread(|run| run.goodput_bits_per_s() / 1e9) else { continue };
            let ratio = curl.map_or_else(String::new, |curl| format!("{:.2}", rate.median * 1e9 / curl.median));
            let cost = |value| spread(value).map_or_else(String::new, |spread| format!("{spread:.3}"));
            let memory = |value| spread(value).map_or_else(String::new, |spread| format!("{spread:.0}"));
            let (cpu_out, cpu_in) = (cost(FilesRun::sender_cpu_s_per_gb), cost(FilesRun::receiver_cpu_s_per_gb));
            let memory_out = memory(|run| run.sender_resident_bytes as f64 / 1e6);
            let memory_in = memory(|run| run.receiver_resident_bytes as f64 / 1e6);
            writeln!(f, "| {downloader} | {rate:.2} | {ratio} | {cpu_out} | {cpu_in} | {memory_out} | {memory_in} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(downloader: Downloader, seconds: f64, congestion: &str) -> FilesRun {
        let measured = Measured {
            bytes: 1_000_000_000,
            seconds,
            sender_cpu_s: 0.5,
            receiver_cpu_s: 1.0,
            sender_resident_bytes: 8_000_000,
            receiver_resident_bytes: 9_000_000,
            congestion: congestion.split_whitespace().map(str::to_owned).collect(),
        };
        FilesRun::new(downloader, 0, Ok(measured))
    }

    #[test]
    fn the_table_compares_medians_with_curls() {
        let results = FilesResults {
            machine: Machine::default(),
            bytes: 1_000_000_000,
            served_from: "/var/tmp".into(),
            runs: vec![run(Downloader::Godwit, 1.0, ""), run(Downloader::CurlCubic, 0.5, "cubic")],
        };
        let table = FilesTable(&results).to_string();
        assert!(table.contains("| godwit | 8.00 | 0.50 | 0.500 | 1.000 | 8 | 9 |"), "{table}");
        assert!(table.contains("| curl-cubic | 16.00 | 1.00 |"), "{table}");
        let text = serde_json::to_string(&results).expect("results have string keys only");
        assert_eq!(serde_json::from_str::<FilesResults>(&text).expect("it was just written"), results);
    }

    #[test]
    fn a_run_under_another_control_does_not_count() {
        assert!(run(Downloader::CurlCubic, 1.0, "bbr").failed.is_some());
        assert!(run(Downloader::CurlCubic, 1.0, "cubic").failed.is_none());
        assert!(run(Downloader::Godwit, 1.0, "").failed.is_none());
    }
}
