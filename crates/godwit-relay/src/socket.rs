//! The relay's UDP sockets: the only place that opens any.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use socket2::SockRef;

/// What the kernel is asked to buffer per socket: 5 ms of 10 Gbit/s with its overhead per datagram. Without privilege it
/// grants at most net.core.rmem_max, and the drop counters tell when that was too little.
const BUFFER_BYTES: usize = 16 << 20;

/// Opens a non-blocking UDP socket on any port, from which `peer` can be reached.
pub(crate) fn open_towards(peer: SocketAddr) -> io::Result<UdpSocket> {
    open(match peer.ip() {
        ip if ip.is_loopback() => loopback_like(peer),
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    })
}

/// Opens a non-blocking UDP socket on any port of the loopback, of `peer`'s IP version.
pub(crate) fn open_loopback_like(peer: SocketAddr) -> io::Result<UdpSocket> {
    open(loopback_like(peer))
}

fn loopback_like(peer: SocketAddr) -> IpAddr {
    if peer.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

fn open(ip: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((ip, 0))?;
    socket.set_nonblocking(true)?;
    enlarge_buffers(&socket);
    Ok(socket)
}

/// As large as we may: a refusal is no error, since drops are counted.
fn enlarge_buffers(socket: &UdpSocket) {
    let asked = SockRef::from(socket);
    #[cfg(target_os = "linux")]
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, BUFFER_BYTES).is_ok() {
        let _ = asked.set_send_buffer_size(BUFFER_BYTES);
        return;
    }
    let _ = asked.set_recv_buffer_size(BUFFER_BYTES);
    let _ = asked.set_send_buffer_size(BUFFER_BYTES);
}
