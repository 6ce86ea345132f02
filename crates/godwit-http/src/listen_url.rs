//! Where a server listens: `udt://ADDR:PORT` or `http://ADDR:PORT`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::error::ParseListenUrlError;
use crate::tcp;
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
    if tcp::has_ipv6() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_parse_and_print() {
        for (url, printed) in [
            ("udt://127.0.0.1:9000", "udt://127.0.0.1:9000/"),
            ("http://0.0.0.0:0/", "http://0.0.0.0:0/"),
            ("UDT://[::1]:80", "udt://[::1]:80/"),
            ("http://[::]:65535", "http://[::]:65535/"),
        ] {
            let parsed: ListenUrl = url.parse().expect(url);
            assert_eq!(parsed.to_string(), printed);
            assert_eq!(printed.parse(), Ok(parsed), "what is printed can be read again");
        }
    }

    #[test]
    fn each_mistake_is_named() {
        use ParseListenUrlError::{
            BadPort, HasPath, HasUserInfo, Ipv6NeedsBrackets, NoPort, NoScheme, NotAnAddress, UnknownScheme,
        };
        for (url, error) in [
            ("", NoScheme),
            ("127.0.0.1:9000", NoScheme),
            ("https://127.0.0.1:9000", UnknownScheme),
            ("udt://127.0.0.1:9000/dir", HasPath),
            ("udt://127.0.0.1:9000?x", HasPath),
            ("udt://me@127.0.0.1:9000", HasUserInfo),
            ("udt://127.0.0.1", NoPort),
            ("udt://[::1]", NoPort),
            ("udt://", NoPort),
            ("udt://127.0.0.1:", BadPort),
            ("udt://127.0.0.1:65536", BadPort),
            ("udt://::1", Ipv6NeedsBrackets),
            ("udt://::1:9000", Ipv6NeedsBrackets),
            ("udt://localhost:9000", NotAnAddress),
            ("udt://[127.0.0.1]:9000", NotAnAddress),
        ] {
            assert_eq!(url.parse::<ListenUrl>(), Err(error), "{url}");
        }
    }

    #[test]
    fn the_default_is_both_transports_on_port_9000() {
        let urls = default_listen_urls();
        for transport in [Transport::Udt, Transport::Tcp] {
            assert!(urls.contains(&ListenUrl { transport, address: (Ipv4Addr::UNSPECIFIED, 9000).into() }));
        }
        assert_eq!(urls.len() % 2, 0);
    }
}
