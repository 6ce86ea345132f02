//! One run of this program under valgrind's callgrind.

use std::error::Error;
use std::process::{Command, Stdio};

use crate::transfer::{Case, ROLE, Side};

/// Whether valgrind can be run here.
pub(crate) fn is_installed() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// The instructions that one side of a transfer of so many data packets executes, from the handshake on.
pub(crate) fn count(case: Case, side: Side, packets: u64) -> Result<u64, Box<dyn Error>> {
    let out = std::env::temp_dir().join(format!("godwit-instructions-{}", std::process::id()));
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(format!("--toggle-collect=*{}*", side.function()))
        .arg(std::env::current_exe()?)
        .args([ROLE, case.name(), &packets.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(format!("{} under valgrind: {}", case.name(), String::from_utf8_lossy(&output.stderr)).into());
    }
    let profile = std::fs::read_to_string(&out)?;
    std::fs::remove_file(&out)?;
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: "));
    let total = total.ok_or("callgrind wrote no total")?.trim().parse()?;
    if total == 0 { Err(format!("callgrind saw nothing of {}", side.function()).into()) } else { Ok(total) }
}
