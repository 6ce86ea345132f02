//! What went through the UDP sockets of an endpoint, as the drivers counted it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::socket_buffers::Granted;

/// Every batch takes the lock of the table that they share, and nobody has seen more cores than these at it.
const SOCKETS_PER_CORE_MAX: usize = 16;

/// How to use the kernel's socket. All values are valid; [`SocketStats`] tells what buffers were granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// Receive buffer in bytes. Default 8 MiB: a libudt sender works in bursts of 8 ms (specification section 3.2), which
    /// at 1 Gbit/s are 1 MB of payload and, with the kernel's bookkeeping per packet, more than twice that.
    pub receive_buffer_bytes: usize,
    /// Send buffer in bytes. Default 4 MiB.
    pub send_buffer_bytes: usize,
    /// Whether runs of datagrams go through the kernel as one where it takes them (UDP segmentation offload, GSO). Default true;
    /// without, each datagram is a packet of its own all the way, as on a path that refuses them.
    pub segmentation_offload: bool,
    /// Sockets on the port, each with a driver and with buffers of its own, 1 to 64; the kernel spreads peers over them by their
    /// addresses. More than one, at most one per core, let a server use several cores for many connections, where the kernel
    /// can do that (Linux); elsewhere there is one. Default 1.
    pub sockets: usize,
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self { receive_buffer_bytes: 8 << 20, send_buffer_bytes: 4 << 20, segmentation_offload: true, sockets: 1 }
    }
}

/// How many sockets let a server use every core: one per core, at most 16.
#[must_use]
pub fn sockets_per_core() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(SOCKETS_PER_CORE_MAX))
}

/// One reading of the counters of an endpoint's sockets, all together. They count from when the endpoint was bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStats {
    /// Bytes of receive buffer that the configuration asked for.
    pub receive_buffer_bytes_asked: usize,
    /// Bytes of receive buffer that the kernel granted.
    pub receive_buffer_bytes: usize,
    /// Bytes of send buffer that the configuration asked for.
    pub send_buffer_bytes_asked: usize,
    /// Bytes of send buffer that the kernel granted.
    pub send_buffer_bytes: usize,
    /// Datagrams that arrived.
    pub received_datagrams: u64,
    /// Bytes of UDP payload that arrived.
    pub received_bytes: u64,
    /// Receive calls that brought something.
    pub receive_calls: u64,
    /// Datagrams handed to the kernel.
    pub sent_datagrams: u64,
    /// Bytes of UDP payload handed to the kernel.
    pub sent_bytes: u64,
    /// Send calls that succeeded.
    pub send_calls: u64,
    /// Times that a path refused a segmented send; its datagrams go one by one since.
    pub offload_refusals: u64,
    /// Datagrams refused because a device's queue was full (ENOBUFS).
    pub send_no_buffer: u64,
    /// Datagrams refused for another reason: no route, a firewall. They count as lost.
    pub send_errors: u64,
    /// Times that a datagram was larger than its path's MTU (EMSGSIZE).
    pub send_too_large: u64,
    /// Datagrams shorter than a UDT header, or for no connection of ours while nobody uses the side channel.
    pub unclaimed_datagrams: u64,
    /// Datagrams for the side channel that its full queue refused.
    pub side_channel_drops: u64,
    /// Datagrams that arrived at another socket of the port than that of their connection's driver, and were handed over.
    pub stray_datagrams: u64,
    /// Datagrams that the kernel dropped because the receive buffer was full; `None` where the system does not tell.
    pub kernel_drops: Option<u64>,
}

impl SocketStats {
    /// Of two sockets together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            receive_buffer_bytes_asked: self.receive_buffer_bytes_asked + other.receive_buffer_bytes_asked,
            receive_buffer_bytes: self.receive_buffer_bytes + other.receive_buffer_bytes,
            send_buffer_bytes_asked: self.send_buffer_bytes_asked + other.send_buffer_bytes_asked,
            send_buffer_bytes: self.send_buffer_bytes + other.send_buffer_bytes,
            received_datagrams: self.received_datagrams + other.received_datagrams,
            received_bytes: self.received_bytes + other.received_bytes,
            receive_calls: self.receive_calls + other.receive_calls,
            sent_datagrams: self.sent_datagrams + other.sent_datagrams,
            sent_bytes: self.sent_bytes + other.sent_bytes,
            send_calls: self.send_calls + other.send_calls,
            offload_refusals: self.offload_refusals + other.offload_refusals,
            send_no_buffer: self.send_no_buffer + other.send_no_buffer,
            send_errors: self.send_errors + other.send_errors,
            send_too_large: self.send_too_large + other.send_too_large,
            unclaimed_datagrams: self.unclaimed_datagrams + other.unclaimed_datagrams,
            side_channel_drops: self.side_channel_drops + other.side_channel_drops,
            stray_datagrams: self.stray_datagrams + other.stray_datagrams,
            kernel_drops: self.kernel_drops.into_iter().chain(other.kernel_drops).reduce(|one, more| one + more),
        }
    }
}

/// The counters behind [`SocketStats`]. Each is written by the driver alone and says nothing about the others, hence
/// the relaxed order.
#[derive(Debug)]
pub(crate) struct SocketCounters {
    granted: Granted,
    inode: Option<u64>,
    local: SocketAddr,
    pub(crate) received_datagrams: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) receive_calls: AtomicU64,
    pub(crate) sent_datagrams: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) send_calls: AtomicU64,
    pub(crate) offload_refusals: AtomicU64,
    pub(crate) send_no_buffer: AtomicU64,
    pub(crate) send_errors: AtomicU64,
    pub(crate) send_too_large: AtomicU64,
    pub(crate) unclaimed_datagrams: AtomicU64,
    pub(crate) side_channel_drops: AtomicU64,
    pub(crate) stray_datagrams: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl SocketCounters {
    pub(crate) fn new(granted: Granted, inode: Option<u64>, local: SocketAddr) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            granted,
            inode,
            local,
            received_datagrams: zero(),
            received_bytes: zero(),
            receive_calls: zero(),
            sent_datagrams: zero(),
            sent_bytes: zero(),
            send_calls: zero(),
            offload_refusals: zero(),
            send_no_buffer: zero(),
            send_errors: zero(),
            send_too_large: zero(),
            unclaimed_datagrams: zero(),
            side_channel_drops: zero(),
            stray_datagrams: zero(),
        }
    }

    pub(crate) fn read(&self) -> SocketStats {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SocketStats {
            receive_buffer_bytes_asked: self.granted.receive_bytes_asked,
            receive_buffer_bytes: self.granted.receive_bytes,
            send_buffer_bytes_asked: self.granted.send_bytes_asked,
            send_buffer_bytes: self.granted.send_bytes,
            received_datagrams: value(&self.received_datagrams),
            received_bytes: value(&self.received_bytes),
            receive_calls: value(&self.receive_calls),
            sent_datagrams: value(&self.sent_datagrams),
            sent_bytes: value(&self.sent_bytes),
            send_calls: value(&self.send_calls),
            offload_refusals: value(&self.offload_refusals),
            send_no_buffer: value(&self.send_no_buffer),
            send_errors: value(&self.send_errors),
            send_too_large: value(&self.send_too_large),
            unclaimed_datagrams: value(&self.unclaimed_datagrams),
            side_channel_drops: value(&self.side_channel_drops),
            stray_datagrams: value(&self.stray_datagrams),
            kernel_drops: self.inode.and_then(|inode| kernel_drops(inode, self.local)),
        }
    }
}

#[cfg(target_os = "linux")]
fn kernel_drops(inode: u64, local: SocketAddr) -> Option<u64> {
    // Of this thread's network namespace: a process can be in several.
    let table = if local.is_ipv4() { "/proc/thread-self/net/udp" } else { "/proc/thread-self/net/udp6" };
    drops_in_table(&std::fs::read_to_string(table).ok()?, inode)
}

#[cfg(not(target_os = "linux"))]
fn kernel_drops(_inode: u64, _local: SocketAddr) -> Option<u64> {
    None
}

/// Finds the socket's line by its inode (the tenth word; the thirteenth is `drops`).
#[cfg_attr(not(any(target_os = "linux", test)), expect(dead_code, reason = "only Linux has this table"))]
fn drops_in_table(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        (words.get(9)?.parse() == Ok(inode)).then(|| words.get(12)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drops_of_a_socket_are_found_by_its_inode() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            1: 0100007F:2328 00000000:0000 07 00000000:00000000 00:00000000 00000000  0  0 4711 2 0000000000000000 5\n\
            2: 00000000:2329 00000000:0000 07 00000000:00000000 00:00000000 00000000  0  0 4712 2 0000000000000000 17\n";
        assert_eq!(drops_in_table(table, 4712), Some(17));
        assert_eq!(drops_in_table(table, 4713), None);
    }
}
