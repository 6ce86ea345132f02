//! Socket options that quinn-udp sets otherwise or not at all.

use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Makes the kernel refuse (EMSGSIZE) what is larger than the path's MTU as far as it knows it. quinn-udp asks for
/// PMTUDISC_PROBE, which heeds the device's MTU alone: packets beyond a narrower router would vanish without an event.
#[cfg(target_os = "linux")]
pub(crate) fn follow_path_mtu(socket: &UdpSocket, local: SocketAddr) -> io::Result<()> {
    if local.is_ipv6() {
        // With IPV6_DONTFRAG the kernel refuses to fragment whatever IPV6_MTU_DISCOVER says; without it, that decides.
        nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::Ipv6DontFrag, &false)?;
    }
    allow_fragments(socket, local, false)
}

/// Clears (true) or sets the don't-fragment bit of the datagrams to come.
#[cfg(target_os = "linux")]
pub(crate) fn allow_fragments(socket: impl std::os::fd::AsFd, local: SocketAddr, allow: bool) -> io::Result<()> {
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery as V4, Ipv6PathMtuDiscovery as V6, set_ip_mtu_discover, set_ipv6_mtu_discover,
    };
    if local.is_ipv4() {
        set_ip_mtu_discover(socket, if allow { V4::DONT } else { V4::DO })?;
    } else {
        set_ipv6_mtu_discover(socket, if allow { V6::DONT } else { V6::DO })?;
    }
    Ok(())
}

/// The socket's inode, by which /proc/net/udp names it.
#[cfg(target_os = "linux")]
pub(crate) fn inode(socket: &UdpSocket) -> Option<u64> {
    rustix::fs::fstat(socket).ok().map(|stat| stat.st_ino)
}

/// Asks for a receive buffer beyond net.core.rmem_max, which needs CAP_NET_ADMIN.
#[cfg(target_os = "linux")]
pub(crate) fn force_receive_buffer(socket: &UdpSocket, bytes: usize) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, bytes)?)
}

/// Asks for a send buffer beyond net.core.wmem_max, which needs CAP_NET_ADMIN.
#[cfg(target_os = "linux")]
pub(crate) fn force_send_buffer(socket: &UdpSocket, bytes: usize) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt::SndBufForce};
    Ok(setsockopt(socket, SndBufForce, &bytes)?)
}

/// ENOBUFS: the device's queue is full.
#[cfg(target_os = "linux")]
pub(crate) fn is_no_buffer(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}

/// EIO: a device cannot do what was asked.
#[cfg(target_os = "linux")]
pub(crate) fn is_io_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{SocketAddr, UdpSocket, io};

    pub(crate) fn follow_path_mtu(_: &UdpSocket, _: SocketAddr) -> io::Result<()> {
        Ok(())
    }

    /// Not implemented: a datagram beyond the MTU stays refused, so the MSS must fit the path.
    pub(crate) fn allow_fragments<S>(_: &S, _: SocketAddr, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn inode(_: &UdpSocket) -> Option<u64> {
        None
    }

    pub(crate) fn force_receive_buffer(_: &UdpSocket, _: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn force_send_buffer(_: &UdpSocket, _: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// ENOBUFS of the BSDs and macOS.
    pub(crate) fn is_no_buffer(error: &io::Error) -> bool {
        error.raw_os_error() == Some(55)
    }

    /// Segmentation offload is Linux's alone.
    pub(crate) fn is_io_error(_: &io::Error) -> bool {
        false
    }
}
#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::*;
