//! Packets that the kernel dropped because its queue towards the emulator was full.
//!
//! Source: proc_pid_net(5), net/core/net-procfs.c `dev_seq_printf_stats`.

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

fn transmit_dropped(table: &str, device: &str) -> Option<u64> {
    let row = |line: &str| Some(line.trim_start().strip_prefix(device)?.strip_prefix(':')?.to_owned());
    table.lines().find_map(row)?.split_whitespace().nth(TRANSMIT_DROPPED - 1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
