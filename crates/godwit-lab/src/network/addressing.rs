//! Which host has which address, and the reverse: each host of one side reaches each of the other without a gateway.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Hosts on one side. One thread reads all of them, so more would only be slower.
pub const HOSTS_MAX: usize = 32;

/// All hosts of both sides are in these networks.
pub(crate) const V4_PREFIX_BITS: u8 = 16;
pub(crate) const V6_PREFIX_BITS: u8 = 64;

const V4_NETWORK: [u8; 2] = [10, 77];
const V6_NETWORK: [u16; 6] = [0xfd77, 0, 0, 0, 0, 0];

/// One of the two sides of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where the forward path begins; by convention the sender of data.
    Left,
    /// Where the reverse path begins.
    Right,
}

impl Side {
    /// The side at the other end of the path.
    pub fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// `left` or `right`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }

    /// The number in the addresses.
    fn number(self) -> u8 {
        match self {
            Self::Left => 1,
            Self::Right => 2,
        }
    }

    fn numbered(number: u16) -> Option<Self> {
        [Self::Left, Self::Right].into_iter().find(|side| u16::from(side.number()) == number)
    }
}

/// The address of host `host` (below [`HOSTS_MAX`]) of a side.
pub(crate) fn v4(side: Side, host: usize) -> Ipv4Addr {
    Ipv4Addr::new(V4_NETWORK[0], V4_NETWORK[1], side.number(), host_number(host))
}

/// The same for IPv6.
pub(crate) fn v6(side: Side, host: usize) -> Ipv6Addr {
    let [a, b, c, d, e, f] = V6_NETWORK;
    Ipv6Addr::new(a, b, c, d, e, f, side.number().into(), host_number(host).into())
}

/// To which host an IP packet travels; `None` for anything else (multicast of the kernel's own, garbage).
pub(crate) fn destination(packet: &[u8]) -> Option<(Side, usize)> {
    let (side, number) = match packet.first()? >> 4 {
        4 => match *packet.get(16..20)? {
            [a, b, side, host] if [a, b] == V4_NETWORK => (side.into(), host.into()),
            _ => return None,
        },
        6 => {
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?);
            match address.segments() {
                [network @ .., side, host] if network == V6_NETWORK => (side, host),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some((Side::numbered(side)?, usize::from(number).checked_sub(1)?))
}

fn host_number(host: usize) -> u8 {
    u8::try_from(host + 1).expect("a side has at most HOSTS_MAX hosts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_find_their_host() {
        for side in [Side::Left, Side::Right] {
            for host in [0, 1, HOSTS_MAX - 1] {
                let mut packet = [0; 48];
                packet[0] = 0x45;
                packet[16..20].copy_from_slice(&v4(side, host).octets());
                assert_eq!(destination(&packet), Some((side, host)));
                packet[0] = 0x60;
                packet[24..40].copy_from_slice(&v6(side, host).octets());
                assert_eq!(destination(&packet), Some((side, host)));
            }
        }
    }

    #[test]
    fn other_packets_find_none() {
        let mut multicast = [0; 48];
        multicast[0] = 0x60;
        multicast[24..40].copy_from_slice(&Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2).octets());
        let mut zeroth = [0; 20];
        zeroth[0] = 0x45;
        zeroth[16..20].copy_from_slice(&[10, 77, 1, 0]);
        for packet in [&multicast[..], &zeroth, &[], &[0x45], &[0x45; 19], &[0x60; 39], &[0x15; 64]] {
            assert_eq!(destination(packet), None);
        }
    }
}
