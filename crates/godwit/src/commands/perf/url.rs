//! Where a test goes to, and where a server listens: `udt://HOST:PORT` and `tcp://HOST:PORT`.

use std::fmt;
use std::net::SocketAddr;

use godwit_http::{Transport, default_listen_urls};
use http::uri::Authority;
use thiserror::Error;

/// The port of a URL without one. Another one than that of `godwit serve`, so that both can run on a host.
pub(super) const DEFAULT_PORT: u16 = 9001;

/// A server to send to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(super) transport: Transport,
    /// A name or an address, this one without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// A transport and a local address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenUrl {
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
}

/// Why a text is no URL of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum PerfUrlError {
    #[error("a test goes over udt:// or tcp://, as in udt://host:{DEFAULT_PORT}")]
    Scheme,
    #[error("a test has no path: leave out everything after the port")]
    Path,
    #[error("not a host, or a host and a port: write it as in udt://host:{DEFAULT_PORT} or udt://[::1]:{DEFAULT_PORT}")]
    Host,
    #[error(
        "not a local address and a port: write it as in udt://0.0.0.0:{DEFAULT_PORT}, with port 0 for any free one"
    )]
    Address,
}

impl std::str::FromStr for Target {
    type Err = PerfUrlError;

    fn from_str(text: &str) -> Result<Self, PerfUrlError> {
        let (transport, authority) = split(text)?;
        let authority: Authority = authority.parse().map_err(|_| PerfUrlError::Host)?;
        let (host, port) = (authority.host(), authority.port_u16());
        let is_plain = authority.as_str() == host || port.is_some_and(|port| port > 0);
        if host.is_empty() || !is_plain || authority.as_str().contains('@') {
            return Err(PerfUrlError::Host);
        }
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        Ok(Self { transport, host, port: port.unwrap_or(DEFAULT_PORT) })
    }
}

impl std::str::FromStr for ListenUrl {
    type Err = PerfUrlError;

    fn from_str(text: &str) -> Result<Self, PerfUrlError> {
        let (transport, authority) = split(text)?;
        let address = authority.parse().map_err(|_| PerfUrlError::Address)?;
        Ok(Self { transport, address })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, port) = (scheme(self.transport), self.port);
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{port}/", self.host),
            false => write!(f, "{scheme}://{}:{port}/", self.host),
        }
    }
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/", scheme(self.transport), self.address)
    }
}

/// UDT and TCP on all addresses.
pub(super) fn default_listeners() -> Vec<ListenUrl> {
    let everywhere = default_listen_urls().into_iter();
    everywhere
        .map(|url| ListenUrl { transport: url.transport, address: (url.address.ip(), DEFAULT_PORT).into() })
        .collect()
}

/// The scheme of a transport when it carries no HTTP.
pub(super) fn scheme(transport: Transport) -> &'static str {
    match transport {
        Transport::Udt => "udt",
        Transport::Tcp => "tcp",
    }
}

fn split(text: &str) -> Result<(Transport, &str), PerfUrlError> {
    let (start, rest) = text.split_once("://").ok_or(PerfUrlError::Scheme)?;
    let known = [Transport::Udt, Transport::Tcp].into_iter().find(|&known| start.eq_ignore_ascii_case(scheme(known)));
    let transport = known.ok_or(PerfUrlError::Scheme)?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(PerfUrlError::Path);
    }
    Ok((transport, authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_parse_and_print() {
        for (text, printed) in [
            ("udt://host:7", "udt://host:7/"),
            ("TCP://host", "tcp://host:9001/"),
            ("tcp://[::1]:7/", "tcp://[::1]:7/"),
            ("udt://[::1]", "udt://[::1]:9001/"),
        ] {
            assert_eq!(text.parse::<Target>().expect(text).to_string(), printed);
        }
        assert_eq!("udt://[::]:0".parse::<ListenUrl>().expect("valid").to_string(), "udt://[::]:0/");
        assert!(default_listeners().iter().all(|url| url.address.port() == DEFAULT_PORT));
    }

    #[test]
    fn each_mistake_is_named() {
        use PerfUrlError::{Address, Host, Path, Scheme};
        for (text, error) in [
            ("host:7", Scheme),
            ("http://host:7", Scheme),
            ("udt://host:7/path", Path),
            ("udt://host?x", Path),
            ("udt://", Host),
            ("udt://:7", Host),
            ("udt://host:", Host),
            ("udt://host:0", Host),
            ("udt://host:65536", Host),
            ("udt://me@host:7", Host),
        ] {
            assert_eq!(text.parse::<Target>().expect_err(text), error, "{text}");
        }
        for (text, error) in [("tcp://localhost:7", Address), ("udt://127.0.0.1", Address), ("9001", Scheme)] {
            assert_eq!(text.parse::<ListenUrl>().expect_err(text), error, "{text}");
        }
    }
}
