//! The route to a peer: its MTU, the MSS that follows from it, and our address on it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use godwit_proto::DEFAULT_MSS_BYTES;

/// UDP and IPv4 header: what the MSS counts above the datagram, for IPv6 too (specification section 2.2).
const MSS_OVERHEAD_BYTES: u32 = 28;
/// An IPv6 header is 20 bytes longer than the IPv4 header that the MSS counts (specification section 8).
const IPV6_EXTRA_BYTES: u32 = 20;
/// What every path takes: IPv4 hosts reassemble 576 bytes, IPv6 links carry 1280.
const MTU_MIN: [u32; 2] = [576, 1280];

/// What the kernel knows about the way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    remote: SocketAddr,
    /// The address of ours that packets to the peer carry.
    pub(crate) local: IpAddr,
    mtu: Option<u32>,
}

impl Route {
    /// Looks the route to `remote` up, from `local` where that is fixed. Sends nothing and does not block: connecting a
    /// UDP socket only asks the kernel's tables.
    ///
    /// # Errors
    /// There is no route, or no socket could be opened.
    pub(crate) fn look_up(remote: SocketAddr, local: Option<IpAddr>) -> io::Result<Self> {
        let unspecified: IpAddr =
            if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let probe = UdpSocket::bind((local.unwrap_or(unspecified), 0))?;
        probe.connect(remote)?;
        Ok(Self { remote, local: probe.local_addr()?.ip(), mtu: connected_mtu(&probe, remote) })
    }

    /// The MSS to ask for: the MTU, less what IPv6 needs more, at most an Ethernet packet (loopback has 65,536, and one
    /// lost packet of that size would cost 64 KiB).
    pub(crate) fn mss_bytes(&self) -> u32 {
        mss_of_mtu(self.mtu.unwrap_or(DEFAULT_MSS_BYTES), self.remote)
    }

    /// The longest datagram to send after one of `refused_bytes` was too long: what the MTU leaves. A third less, where
    /// the system does not tell the MTU or it contradicts the refusal, down to what every path takes.
    pub(crate) fn datagram_bytes_below(&self, refused_bytes: usize) -> usize {
        let told = self.mtu.map(|mtu| datagram_bytes(mtu, self.remote)).filter(|bytes| *bytes < refused_bytes);
        let least = datagram_bytes(MTU_MIN[usize::from(self.remote.is_ipv6())], self.remote);
        told.unwrap_or_else(|| (refused_bytes - refused_bytes / 3).max(least.min(refused_bytes)))
    }
}

/// The MSS to offer to peers whose route is not known: an Ethernet packet of this address family.
pub(crate) fn family_mss(of: SocketAddr) -> u32 {
    mss_of_mtu(DEFAULT_MSS_BYTES, of)
}

fn mss_of_mtu(mtu: u32, remote: SocketAddr) -> u32 {
    let mtu = mtu.min(DEFAULT_MSS_BYTES);
    if remote.is_ipv4() { mtu } else { mtu.saturating_sub(IPV6_EXTRA_BYTES) }
}

fn datagram_bytes(mtu: u32, remote: SocketAddr) -> usize {
    let headers = if remote.is_ipv4() { MSS_OVERHEAD_BYTES } else { MSS_OVERHEAD_BYTES + IPV6_EXTRA_BYTES };
    mtu.saturating_sub(headers) as usize
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

    fn route(remote: &str, mtu: Option<u32>) -> Route {
        Route { remote: remote.parse().unwrap(), local: Ipv4Addr::UNSPECIFIED.into(), mtu }
    }

    #[test]
    fn the_mss_counts_an_ipv4_header_even_for_ipv6() {
        let mss = |mtu| (route("192.0.2.1:9", mtu).mss_bytes(), route("[2001:db8::1]:9", mtu).mss_bytes());
        assert_eq!(mss(Some(1500)), (1500, 1480));
        assert_eq!(mss(Some(1280)), (1280, 1260));
        assert_eq!(mss(Some(65_536)), (1500, 1480));
        assert_eq!(mss(None), (1500, 1480));
        assert_eq!(family_mss("[::]:0".parse().unwrap()), 1480);
    }

    #[test]
    fn after_a_refusal_datagrams_fit_the_mtu_or_shrink_down_to_what_every_path_takes() {
        assert_eq!(route("192.0.2.1:9", Some(1280)).datagram_bytes_below(1472), 1252);
        assert_eq!(route("[2001:db8::1]:9", Some(1280)).datagram_bytes_below(1472), 1232);
        // The kernel's MTU contradicts its refusal, or is not known.
        assert_eq!(route("192.0.2.1:9", Some(1500)).datagram_bytes_below(1472), 982);
        assert_eq!(route("192.0.2.1:9", None).datagram_bytes_below(982), 655);
        assert_eq!(route("192.0.2.1:9", None).datagram_bytes_below(655), 548);
        assert_eq!(route("192.0.2.1:9", None).datagram_bytes_below(548), 548);
        assert_eq!(route("[2001:db8::1]:9", None).datagram_bytes_below(1400), 1232);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn loopback_has_an_mtu_an_address_and_a_capped_mss() {
        let route = Route::look_up("127.0.0.1:9".parse().unwrap(), None).unwrap();
        assert_eq!(route.local, Ipv4Addr::LOCALHOST);
        assert!(route.mtu.unwrap() >= 1280 && route.mss_bytes() <= 1500, "{route:?}");
    }
}
