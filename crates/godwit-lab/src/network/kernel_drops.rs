//! Packets that the kernel dropped because its queue towards the emulator was full, or the one from the emulator to the core that handles them.
//!
//! Source: proc_pid_net(5), net/core/net-procfs.c `dev_seq_printf_stats` and `softnet_seq_show`.

use std::fs::File;
use std::io::{self, Read, Seek};

use super::device::DEVICE;
use super::namespace::Namespace;

/// The column of packets that were not transmitted, counted from the interface's name on.
const TRANSMIT_DROPPED: usize = 12;

/// The drops of one host's device.
#[derive(Debug)]
pub(crate) struct KernelDrops {
    /// Kept open: a table shows the namespace in which it was opened, whichever thread reads it later.
    table: File,
    seen: u64,
}

impl KernelDrops {
    pub(crate) fn open(namespace: &Namespace) -> io::Result<Self> {
        let table = namespace.run(|| File::open("/proc/thread-self/net/dev"))??;
        Ok(Self { table, seen: 0 })
    }

    /// Drops since the last call.
    pub(crate) fn take(&mut self) -> io::Result<u64> {
        let mut table = String::new();
        self.table.rewind()?;
        self.table.read_to_string(&mut table)?;
        let dropped = transmit_dropped(&table, DEVICE).ok_or(io::ErrorKind::InvalidData)?;
        let since = dropped - self.seen;
        self.seen = dropped;
        Ok(since)
    }
}

/// The drops of the queues in front of the cores that handle what arrives. They are the whole machine's: other programs' packets count, too.
#[derive(Debug)]
pub(crate) struct BacklogDrops {
    seen: u64,
}

impl BacklogDrops {
    pub(crate) fn new() -> Self {
        let mut drops = Self { seen: 0 };
        drops.take();
        drops
    }

    /// Drops since the last call; none where the kernel does not tell.
    pub(crate) fn take(&mut self) -> u64 {
        let table = std::fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
        let dropped = backlog_dropped(&table);
        let since = dropped.saturating_sub(self.seen);
        self.seen = dropped;
        since
    }
}

/// One line per core, in hexadecimal: packets handled, packets dropped, and more.
fn backlog_dropped(table: &str) -> u64 {
    let dropped = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    table.lines().filter_map(dropped).sum()
}

fn transmit_dropped(table: &str, device: &str) -> Option<u64> {
    let row = |line: &str| Some(line.trim_start().strip_prefix(device)?.strip_prefix(':')?.to_owned());
    table.lines().find_map(row)?.split_whitespace().nth(TRANSMIT_DROPPED - 1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_all_cores_add_up() {
        assert_eq!(backlog_dropped("02fa1bfb 00000010 00000005 00000000\n02936009 00000001 00000006 00000000\n"), 17);
        assert_eq!(backlog_dropped(""), 0);
    }

    #[test]
    fn the_right_column_of_the_right_row() {
        let table = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n\
            \x20   lo:     1       2    3    4    5     6          7         8       9      10   11   12   13    14      15         16\n\
            \x20 path:    21      22   23   24   25    26         27        28      29      30   31   32   33    34      35         36\n";
        assert_eq!(transmit_dropped(table, "lo"), Some(12));
        assert_eq!(transmit_dropped(table, "path"), Some(32));
        assert_eq!(transmit_dropped(table, "pat"), None);
    }
}
