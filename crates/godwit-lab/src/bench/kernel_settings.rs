//! Settings of the kernel inside the namespaces.

use crate::error::BenchError;
use crate::network::Host;

/// A TCP buffer holds so many times what the path and its queue do: half of a receive buffer counts as overhead, and a window that is
/// full of holes must hold another round.
const BUFFER_FACTOR: u64 = 6;
/// No smaller, whatever the path.
const BUFFER_BYTES_MIN: u64 = 64 << 20;

/// Makes TCP fit for a path that holds so many bytes, and every connection start afresh.
pub(crate) fn prepare(host: &Host, bytes_in_flight: u64) -> Result<(), BenchError> {
    let buffer = (BUFFER_FACTOR * bytes_in_flight).max(BUFFER_BYTES_MIN);
    set(host, format!("net.ipv4.tcp_rmem=4096 131072 {buffer}"))?;
    set(host, format!("net.ipv4.tcp_wmem=4096 65536 {buffer}"))?;
    set(host, "net.ipv4.tcp_no_metrics_save=1".to_owned())
}

/// What is set, for the record: name and value.
pub(crate) fn read(host: &Host) -> Vec<(String, String)> {
    const NAMES: [&str; 5] = [
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
        "net.ipv4.tcp_no_metrics_save",
        "net.ipv4.tcp_available_congestion_control",
        "net.ipv4.tcp_mtu_probing",
    ];
    let output = host.command("sysctl").args(NAMES).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().filter_map(setting).collect()
}

fn set(host: &Host, setting: String) -> Result<(), BenchError> {
    let status = host.command("sysctl").args(["-q", "-w", &setting]).status();
    if status.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(BenchError::Setting { setting, namespace: host.name().to_owned() })
}

fn setting(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    Some((name.trim().to_owned(), value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_words_with_single_spaces() {
        let (name, value) = super::setting("net.ipv4.tcp_rmem = 4096\t131072\t67108864").expect("a setting");
        assert_eq!((name.as_str(), value.as_str()), ("net.ipv4.tcp_rmem", "4096 131072 67108864"));
        assert_eq!(super::setting("sysctl: cannot stat"), None);
    }
}
