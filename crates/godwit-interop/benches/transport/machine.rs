//! Where and how the numbers came about: without this they mean nothing.

use std::process::Command;

use godwit_interop::Library;
use serde_json::{Value, json};

/// Date, command, processor, kernel, load before the run, socket buffer limits.
pub(crate) fn describe(library: Library) -> Value {
    json!({
        "date": output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "command": command(),
        "cpu": cpu_model(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": output("uname", &["-sr"]),
        "load_before": read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
        "rmem_max": read("/proc/sys/net/core/rmem_max"),
        "wmem_max": read("/proc/sys/net/core/wmem_max"),
        "commit": output("git", &["describe", "--always", "--dirty"]),
        "libudt": library.to_string(),
    })
}

/// The command as a user would type it.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let separator = if arguments.is_empty() { "" } else { " -- " };
    format!("cargo bench -p godwit-interop{separator}{}", arguments.join(" "))
}

fn cpu_model() -> String {
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    model.unwrap_or("unknown").trim().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
