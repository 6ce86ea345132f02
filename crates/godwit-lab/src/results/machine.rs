//! Where and how the numbers came about: without this they mean nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// A machine, and the state it was in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// UTC.
    pub date: String,
    /// As it was typed, the program's directory aside.
    pub command: String,
    /// The commit of this program's working directory.
    pub commit: String,
    /// The processor.
    pub cpu: String,
    /// How many of them.
    pub cores: usize,
    /// Its name and release.
    pub kernel: String,
    /// Load averages over 1, 5 and 15 minutes, before the first run.
    pub load_before: String,
    /// The largest receive buffer that a socket may ask for, in bytes.
    pub rmem_max: String,
    /// The largest send buffer that a socket may ask for, in bytes.
    pub wmem_max: String,
    /// Where the files are that are read and written.
    pub file_system: String,
}

impl Machine {
    /// This one, now, with files below `directory`.
    pub fn describe(directory: &Path) -> Self {
        let command: Vec<String> = std::env::args().skip(1).collect();
        Self {
            date: output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
            command: format!("godwit-lab {}", command.join(" ")),
            commit: output("git", &["describe", "--always", "--dirty"]),
            cpu: cpu_model(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: output("uname", &["-sr"]),
            load_before: read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
            rmem_max: read("/proc/sys/net/core/rmem_max"),
            wmem_max: read("/proc/sys/net/core/wmem_max"),
            file_system: output("stat", &["-f", "-c", "%T", &directory.to_string_lossy()]),
        }
    }
}

fn cpu_model() -> String {
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    model.unwrap_or("unknown").trim().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
