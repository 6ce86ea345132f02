//! Settings of the kernel inside the namespaces.

use crate::network::Host;

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
