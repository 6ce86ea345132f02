//! Where a server listens: `udt://ADDR:PORT` or `http://ADDR:PORT`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::error::ParseListenUrlError;
use crate::transport::{DEFAULT_PORT, Transport};

/// A transport and a local address. Port 0 asks the kernel for any free port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenUrl {
    /// What carries the bytes.
    pub transport: Transport,
    /// The local address; an unspecified IPv6 address means IPv6 alone, never IPv4 mapped into it.
    pub address: SocketAddr,
}

/// UDT and TCP on port 9000, each on all IPv6 and all IPv4 addresses; IPv4 alone where the kernel has no IPv6.
#[must_use]
pub fn default_listen_urls() -> Vec<ListenUrl> {
    let mut addresses = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT))];
    if has_ipv6() {
        addresses.insert(0, SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT)));
    }
    [Transport::Udt, Transport::Tcp]
        .into_iter()
        .flat_map(|transport| addresses.iter().map(move |&address| ListenUrl { transport, address }))
        .collect()
}

impl FromStr for ListenUrl {
    type Err = ParseListenUrlError;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = url.split_once("://").ok_or(ParseListenUrlError::NoScheme)?;
        let transport = Transport::from_scheme(scheme).ok_or(ParseListenUrlError::UnknownScheme)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(ParseListenUrlError::HasPath);
        }
        if authority.contains('@') {
            return Err(ParseListenUrlError::HasUserInfo);
        }
        let address = parse_address(authority)?;
        Ok(Self { transport, address })
    }
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/", self.transport.scheme(), self.address)
    }
}

fn parse_address(authority: &str) -> Result<SocketAddr, ParseListenUrlError> {
    if let Ok(address) = authority.parse() {
        return Ok(address);
    }
    // What the standard parser refused gets the reason that helps most.
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Err(ParseListenUrlError::Ipv6NeedsBrackets);
    }
    if authority.starts_with('[') && authority.ends_with(']') {
        return Err(ParseListenUrlError::NoPort);
    }
    let Some((host, port)) = authority.rsplit_once(':') else {
        return Err(ParseListenUrlError::NoPort);
    };
    if host.contains(':') && !host.starts_with('[') {
        return Err(ParseListenUrlError::Ipv6NeedsBrackets);
    }
    if port.parse::<u16>().is_err() {
        return Err(ParseListenUrlError::BadPort);
    }
    Err(ParseListenUrlError::NotAnAddress)
}

fn has_ipv6() -> bool {
    std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}
