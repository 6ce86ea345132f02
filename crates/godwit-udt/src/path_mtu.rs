//! The MTU of the route to a peer, and the MSS that follows from it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

const DEFAULT_MSS_BYTES: u32 = 1500;

/// UDP and IPv4 header: what the MSS counts above the datagram, for IPv6 too (specification section 2.2).
const MSS_OVERHEAD_BYTES: u32 = 28;
/// An IPv6 header is 20 bytes longer than the IPv4 header that the MSS counts (specification section 8).
const IPV6_EXTRA_BYTES: u32 = 20;

/// The MTU that the kernel has for the route to `remote`, in bytes, from `local` where that is known. `None` where the
/// system cannot tell. Sends nothing and does not block: connecting a UDP socket only looks the route up.
///
/// # Errors
/// There is no route to `remote`, or no socket could be opened.
pub(crate) fn route_mtu(remote: SocketAddr, local: Option<IpAddr>) -> io::Result<Option<u32>> {
    let unspecified: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let probe = UdpSocket::bind((local.unwrap_or(unspecified), 0))?;
    probe.connect(remote)?;
    Ok(connected_mtu(&probe, remote))
}

/// The MSS to ask for on the route to `remote`: its MTU, less what IPv6 needs more, at most an Ethernet packet (loopback
/// has 65,536, and one lost packet of that size would cost 64 KiB).
///
/// # Errors
/// As [`route_mtu`].
pub(crate) fn route_mss(remote: SocketAddr, local: Option<IpAddr>) -> io::Result<u32> {
    Ok(mss_of_mtu(route_mtu(remote, local)?.unwrap_or(DEFAULT_MSS_BYTES), remote))
}

/// The greatest UDP payload in bytes on the route to `remote`, or `None` if the system cannot tell.
pub(crate) fn route_datagram_bytes(remote: SocketAddr, local: Option<IpAddr>) -> Option<usize> {
    let mtu = route_mtu(remote, local).ok()??;
    let headers = if remote.is_ipv4() { MSS_OVERHEAD_BYTES } else { MSS_OVERHEAD_BYTES + IPV6_EXTRA_BYTES };
    Some(mtu.saturating_sub(headers) as usize)
}

fn mss_of_mtu(mtu: u32, remote: SocketAddr) -> u32 {
    let mtu = mtu.min(DEFAULT_MSS_BYTES);
    if remote.is_ipv4() { mtu } else { mtu.saturating_sub(IPV6_EXTRA_BYTES) }
}

#[cfg(target_os = "linux")]
fn connected_mtu(probe: &UdpSocket, remote: SocketAddr) -> Option<u32> {
    use rustix::net::sockopt::{ip_mtu, ipv6_mtu};
    if remote.is_ipv4() { ip_mtu(probe).ok() } else { ipv6_mtu(probe).ok() }
}

#[cfg(not(target_os = "linux"))]
fn connected_mtu(_probe: &UdpSocket, _remote: SocketAddr) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mss_counts_an_ipv4_header_even_for_ipv6() {
        let v4 = "192.0.2.1:9000".parse().unwrap();
        let v6 = "[2001:db8::1]:9000".parse().unwrap();
        assert_eq!((mss_of_mtu(1500, v4), mss_of_mtu(1500, v6)), (1500, 1480));
        assert_eq!((mss_of_mtu(1280, v4), mss_of_mtu(1280, v6)), (1280, 1260));
        assert_eq!((mss_of_mtu(65_536, v4), mss_of_mtu(9000, v6)), (1500, 1480));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn loopback_has_an_mtu_and_its_mss_is_capped() {
        let loopback = "127.0.0.1:9".parse().unwrap();
        assert!(route_mtu(loopback, None).unwrap().unwrap() >= 1280);
        assert!(route_mss(loopback, None).unwrap() <= 1500);
        assert!(route_datagram_bytes(loopback, None).unwrap() >= 1280 - 28);
    }
}
