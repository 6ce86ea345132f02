//! What the kernel tells under /proc: processes with their descendants, open ports, counters of a namespace.

use std::fs;

use rustix::param::clock_ticks_per_second;

/// What is known of a process from `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ProcessStat {
    pub(crate) pid: i32,
    parent: i32,
    /// Its own, and that of its children that it has waited for, in clock ticks.
    ticks: u64,
}

/// The processes that descend from `root`, itself included, parents before children.
pub(crate) fn tree(root: i32) -> Vec<ProcessStat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let all: Vec<_> =
        pids.filter_map(|pid| parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).collect();
    let mut tree: Vec<ProcessStat> = all.iter().copied().filter(|process| process.pid == root).collect();
    let mut looked_at = 0;
    while let Some(parent) = tree.get(looked_at).map(|process| process.pid) {
        tree.extend(all.iter().filter(|process| process.parent == parent));
        looked_at += 1;
    }
    tree
}

/// CPU time of processes, in seconds.
pub(crate) fn cpu_s(processes: &[ProcessStat]) -> f64 {
    processes.iter().map(|process| process.ticks).sum::<u64>() as f64 / clock_ticks_per_second() as f64
}

/// The highest resident size that a living process has had, in bytes.
pub(crate) fn resident_bytes_max(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.unwrap_or(0u64) * 1024
}

/// Whether a port is open in the namespace of a process: listening, for TCP.
pub(crate) fn is_port_open(pid: u32, protocol: &str, port: u16) -> bool {
    ["", "6"].iter().any(|version| {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{protocol}{version}")).unwrap_or_default();
        has_port(&table, port, protocol == "tcp")
    })
}

/// A counter in the format of `/proc/net/snmp`: pairs of lines, names and values.
pub(crate) fn snmp_counter(table: &str, group: &str, name: &str) -> u64 {
    let mut lines = table.lines().filter_map(|line| line.strip_prefix(group)?.strip_prefix(": "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let found = names.split(' ').zip(values.split(' ')).find(|(candidate, _)| *candidate == name);
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// The name of a process may have spaces and parentheses in it; it ends at the last one.
fn parse_stat(line: &str) -> Option<ProcessStat> {
    let (head, tail) = line.rsplit_once(')')?;
    let pid = head.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    // Counted from the state, which is field 3 in proc(5): parent 4, then utime, stime, cutime and cstime from 14.
    let parent = fields.get(1)?.parse().ok()?;
    let ticks = fields.get(11..15)?.iter().map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
    Some(ProcessStat { pid, parent, ticks })
}

/// Each line: number, local address in hexadecimal with the port, remote address, state (0A is listening).
fn has_port(table: &str, port: u16, must_listen: bool) -> bool {
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_local = fields.get(1).is_some_and(|local| local.ends_with(&suffix));
        is_local && (!must_listen || fields.get(3) == Some(&"0A"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_may_be_strange() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 1 0 5 6 7";
        assert_eq!(parse_stat(line), Some(ProcessStat { pid: 42, parent: 7, ticks: 124 }));
        assert_eq!((parse_stat("42 (cut"), parse_stat("")), (None, None));
    }

    #[test]
    fn a_process_belongs_to_its_own_tree_and_uses_memory() {
        let this = i32::try_from(std::process::id()).expect("process ids are small");
        assert!(tree(this).iter().any(|process| process.pid == this));
        assert!(resident_bytes_max(this) > 0);
    }

    #[test]
    fn only_a_listening_tcp_port_is_open() {
        let table = "  sl  local_address rem_address   st tx_queue\n   0: 0100000A:238C 00000000:0000 0A 0\n   \
                     1: 0100000A:1F90 0200000A:D431 01 0\n";
        assert!(has_port(table, 9100, true));
        assert!(!has_port(table, 8080, true) && has_port(table, 8080, false));
        assert!(!has_port(table, 54321, false));
    }

    #[test]
    fn counters_stand_below_their_names() {
        let table = "Tcp: RtoMin OutSegs RetransSegs\nTcp: 200 1000 25\nUdp: InDatagrams RcvbufErrors\nUdp: 5 3\nUdpLite: RcvbufErrors\nUdpLite: 9\n";
        assert_eq!((snmp_counter(table, "Tcp", "RetransSegs"), snmp_counter(table, "Udp", "RcvbufErrors")), (25, 3));
        assert_eq!(snmp_counter(table, "Tcp", "NoSuch"), 0);
    }
}
