//! Datagrams that the kernel dropped at a UDP socket, from the socket tables under /proc.
//!
//! The `drops` column is the counter `sk_drops` itself, which SO_RXQ_OVFL would attach to the *next* datagram that gets
//! through: read here it is as exact, also right after the last datagram, and needs no ancillary data.
//!
//! Source: proc_net_udp(5), net/ipv4/udp.c `udp4_format_sock`, net/ipv6/datagram.c `__ip6_dgram_sock_seq_show`.

use std::{
    fs::File,
    io::{self, Read, Seek},
    net::{SocketAddr, UdpSocket},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
};

/// Columns of the socket tables, counted from 0 as separated by white space.
const LOCAL_ADDRESS: usize = 1;
const INODE: usize = 9;
const DROPS: usize = 12;

/// The datagrams that the kernel dropped, so far, at all UDP sockets of this network namespace that are bound to
/// `address`'s port (in `address`'s IP version): receive buffer full, or wrong checksum.
///
/// # Errors
/// There is no such table (not Linux, or /proc is not mounted).
pub fn udp_drops_on_port(address: SocketAddr) -> io::Result<u64> {
    let mut table = String::new();
    open_table(address)?.read_to_string(&mut table)?;
    let port = format!(":{:04X}", address.port());
    Ok(drops_where(&table, |columns| columns[LOCAL_ADDRESS].ends_with(&port)))
}

/// Adds up the drops of some sockets that this process holds, all of one IP version and one network namespace.
#[derive(Debug)]
pub(crate) struct DropCounter {
    /// Kept open: a table shows the namespace in which it was opened, whichever thread reads it later.
    table: File,
    inodes: Vec<String>,
}

impl DropCounter {
    /// A counter for sockets like one bound to `address`, in the calling thread's network namespace.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { table: open_table(address)?, inodes: Vec::new() })
    }

    pub(crate) fn watch(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let inode = File::from(OwnedFd::from(socket.try_clone()?)).metadata()?.ino();
        self.inodes.push(inode.to_string());
        Ok(())
    }

    pub(crate) fn count(&mut self) -> io::Result<u64> {
        let mut table = String::new();
        self.table.rewind()?;
        self.table.read_to_string(&mut table)?;
        Ok(drops_where(&table, |columns| self.inodes.iter().any(|inode| inode == columns[INODE])))
    }
}

fn open_table(address: SocketAddr) -> io::Result<File> {
    File::open(if address.is_ipv4() { "/proc/thread-self/net/udp" } else { "/proc/thread-self/net/udp6" })
}

fn drops_where(table: &str, chosen: impl Fn(&[&str]) -> bool) -> u64 {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|columns| columns.len() > DROPS && chosen(columns))
        .filter_map(|columns| columns[DROPS].parse::<u64>().ok())
        .sum()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn the_count_is_exact() {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let Ok(receiver) = UdpSocket::bind((ip, 0)) else {
                eprintln!("skipped for {ip}: this machine does not have that IP version");
                continue;
            };
            let address = receiver.local_addr().unwrap();
            let mut counter = DropCounter::open(address).unwrap();
            counter.watch(&receiver).unwrap();
            assert_eq!(counter.count().unwrap(), 0);

            let sent = 5_000;
            rustix::net::sockopt::set_socket_recv_buffer_size(&receiver, 1 << 14).unwrap();
            let sender = UdpSocket::bind((ip, 0)).unwrap();
            for _ in 0..sent {
                sender.send_to(&[7; 1_000], address).unwrap();
            }
            receiver.set_nonblocking(true).unwrap();
            let mut received = 0;
            while receiver.recv(&mut [0; 2_000]).is_ok() {
                received += 1;
            }
            assert!(received < sent);
            assert_eq!(counter.count().unwrap(), sent - received);
            assert_eq!(udp_drops_on_port(address).unwrap(), sent - received);
        }
    }
}
