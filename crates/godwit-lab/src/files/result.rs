//! What was measured, as it is kept in JSON, and as a table.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Downloader;
use crate::error::TransferError;
use crate::results::{Machine, Measured, Spread, show};

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
    /// What it came to.
    #[serde(flatten)]
    pub download: Download,
    /// Why it failed.
    pub failed: Option<String>,
}

/// What a download came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Download {
    /// From the start of the client's process to its end; of the server's process meanwhile, and of the whole client's.
    #[serde(flatten)]
    pub measured: Measured,
    /// The server's highest resident size.
    pub sender_resident_bytes: u64,
    /// The client's highest resident size.
    pub receiver_resident_bytes: u64,
    /// Read back from the kernel, of the server's TCP connections.
    pub congestion: Vec<String>,
}

/// Medians, and ratios of medians to curl's.
#[derive(Debug)]
pub struct FilesTable<'a>(pub &'a FilesResults);

impl FilesRun {
    pub(super) fn new(downloader: Downloader, round: u32, transfer: Result<Download, TransferError>) -> Self {
        match transfer {
            Ok(download) => {
                let failed = wrong_congestion(downloader, &download.congestion);
                Self { downloader, round, download, failed }
            }
            Err(error) => Self { downloader, round, download: Download::default(), failed: Some(error.to_string()) },
        }
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
    fn spread(&self, downloader: Downloader, value: fn(&Download) -> f64) -> Option<Spread> {
        let runs = self.runs.iter().filter(|run| run.downloader == downloader && run.failed.is_none());
        Spread::of(runs.map(|run| value(&run.download)))
    }
}

impl fmt::Display for FilesRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:11}", self.downloader)?;
        if let Some(why) = &self.failed {
            return write!(f, " FAILED: {why}");
        }
        let Download { measured, sender_resident_bytes, receiver_resident_bytes, congestion } = &self.download;
        write!(
            f,
            " {:7.2} Gbit/s in {:.3} s, CPU s/GB out {:.3}, in {:.3}, MB out {:.1}, in {:.1} {}",
            measured.goodput_bits_per_s() / 1e9,
            measured.seconds,
            measured.sender_cpu_s_per_gb(),
            measured.receiver_cpu_s_per_gb(),
            *sender_resident_bytes as f64 / 1e6,
            *receiver_resident_bytes as f64 / 1e6,
            congestion.join(" ")
        )
    }
}

impl fmt::Display for FilesTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(results) = *self;
        let goodput = |downloader| results.spread(downloader, |download| download.measured.goodput_bits_per_s());
        let curl = goodput(Downloader::CurlCubic);
        writeln!(f, "| {} bytes | Gbit/s | to curl | CPU s/GB out | in | peak MB out | in |", results.bytes)?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for downloader in Downloader::ALL {
            let Some(own) = goodput(downloader) else { continue };
            let rate = show(Some(own), 1e-9, 2);
            let ratio = curl.map_or_else(String::new, |curl| format!("{:.2}", own.median / curl.median));
            let cost = |value| show(results.spread(downloader, value), 1.0, 3);
            let cpu_out = cost(|download| download.measured.sender_cpu_s_per_gb());
            let cpu_in = cost(|download| download.measured.receiver_cpu_s_per_gb());
            let memory = |value| show(results.spread(downloader, value), 1e-6, 0);
            let memory_out = memory(|download| download.sender_resident_bytes as f64);
            let memory_in = memory(|download| download.receiver_resident_bytes as f64);
            writeln!(f, "| {downloader} | {rate} | {ratio} | {cpu_out} | {cpu_in} | {memory_out} | {memory_in} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(downloader: Downloader, seconds: f64, congestion: &str) -> FilesRun {
        let measured = Measured { bytes: 1_000_000_000, seconds, sender_cpu_s: 0.5, receiver_cpu_s: 1.0 };
        let download = Download {
            measured,
            sender_resident_bytes: 8_000_000,
            receiver_resident_bytes: 9_000_000,
            congestion: congestion.split_whitespace().map(str::to_owned).collect(),
        };
        FilesRun::new(downloader, 0, Ok(download))
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
