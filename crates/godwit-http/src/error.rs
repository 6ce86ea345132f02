//! One enum per operation; the variant names the culprit.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use godwit_udt::RateBoundsError;
use http::Uri;
use http::uri::Authority;
use thiserror::Error;

use crate::listen_url::ListenUrl;
use crate::{BoxError, Transport};

/// Whose fault an error is, as far as an exit code needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The network or the peer: cannot resolve, refused, timed out, reset, incomplete. Trying again may help.
    Network,
    /// Anything else: a wrong URL, an error of our own body. Trying again without a change does not help.
    Other,
}

/// Why a text is not a [`ListenUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseListenUrlError {
    /// No `://`.
    #[error("a listen URL starts with udt:// or http://, as in udt://0.0.0.0:9000")]
    NoScheme,
    /// A scheme other than `udt` and `http`.
    #[error("unknown scheme: use udt:// (UDT over UDP) or http:// (TCP)")]
    UnknownScheme,
    /// Something after the port.
    #[error("a listen URL has no path: leave out everything after the port")]
    HasPath,
    /// `user@`.
    #[error("a listen URL has no user name: leave out everything up to the @")]
    HasUserInfo,
    /// No `:PORT`.
    #[error("no port: append :PORT, where :0 asks for any free port")]
    NoPort,
    /// A port that is not 0 to 65535.
    #[error("the port is not a number from 0 to 65535")]
    BadPort,
    /// An IPv6 address without brackets.
    #[error("an IPv6 address is written in brackets, as in [::]:9000")]
    Ipv6NeedsBrackets,
    /// A host name, or not an address at all.
    #[error("not an IP address: name the local address to listen on, or 0.0.0.0 or [::] for all")]
    NotAnAddress,
}

/// Why a server does not listen.
#[derive(Debug, Error)]
pub enum BindError {
    /// Nothing to listen on.
    #[error("no listen URL given: name at least one, as in udt://0.0.0.0:9000")]
    NoListenUrl,
    /// The kernel refused the socket.
    #[error("cannot listen on {url}: {source}; choose another address or port, or stop what uses it")]
    Listen {
        /// Where.
        url: ListenUrl,
        /// The kernel's reason.
        source: io::Error,
    },
}

/// Why a request got no response. A response with an error status is not an error here.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The URI has no scheme, or one that no transport has.
    #[error("{uri}: not a udt:// or http:// URL")]
    UnsupportedScheme {
        /// Of the request.
        uri: Uri,
    },
    /// The URI names no host.
    #[error("{uri}: the URL names no host")]
    NoHost {
        /// Of the request.
        uri: Uri,
    },
    /// The name resolution failed.
    #[error("cannot resolve {host}: {source}; check the name and the name server")]
    Resolve {
        /// The name and port.
        host: Authority,
        /// The resolver's reason.
        source: io::Error,
    },
    /// The name has no address.
    #[error("{host} has no address; check the name")]
    NoAddress {
        /// The name and port.
        host: Authority,
    },
    /// No address of the host accepted the connection; the last one's reason.
    #[error("cannot connect to {host} ({address}) over {transport}: {source}; check that the server runs there")]
    Connect {
        /// The name and port of the URL.
        host: Authority,
        /// The address tried last.
        address: SocketAddr,
        /// The transport.
        transport: Transport,
        /// The kernel's or the handshake's reason.
        source: io::Error,
    },
    /// No connection in time.
    #[error("no connection to {host} over {transport} within {after:?}; check the host, the port and firewalls")]
    ConnectTimeout {
        /// The name and port of the URL.
        host: Authority,
        /// The transport.
        transport: Transport,
        /// How long it was tried.
        after: Duration,
    },
    /// The connection ended before a response.
    #[error("the connection to {host} was lost before the response: {}; try again", Causes(&**source))]
    Lost {
        /// The name and port of the URL.
        host: Authority,
        /// The reason.
        source: BoxError,
    },
    /// The peer's answer is not HTTP/1.
    #[error("{host} does not answer in HTTP/1.1: {}; check the port", Causes(&**source))]
    NotHttp {
        /// The name and port of the URL.
        host: Authority,
        /// What was wrong.
        source: BoxError,
    },
    /// The caller's body ended with an error.
    #[error("the request body failed: {source}")]
    Body {
        /// The body's error.
        source: BoxError,
    },
    /// The request cannot be sent as it is.
    #[error("the request to {host} is invalid: {}", Causes(&**source))]
    Invalid {
        /// The name and port of the URL.
        host: Authority,
        /// What is wrong.
        source: BoxError,
    },
}

impl RequestError {
    /// Whether the network or the peer is to blame.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Resolve { .. }
            | Self::NoAddress { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Lost { .. }
            | Self::NotHttp { .. } => ErrorKind::Network,
            Self::UnsupportedScheme { .. } | Self::NoHost { .. } | Self::Body { .. } | Self::Invalid { .. } => {
                ErrorKind::Other
            }
        }
    }
}

/// Why the rate of a connection, or its controller, was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SetRateError {
    /// The connection has ended.
    #[error("the connection has ended: its rate can no longer be set")]
    Closed,
    /// The minimum would be above the maximum.
    #[error(transparent)]
    Bounds(#[from] RateBoundsError),
    /// Over TCP the kernel controls the rate: there is only a maximum to set.
    #[error("over TCP the kernel's congestion control decides: only a maximum rate can be set; use UDT for the rest")]
    KernelDecides,
}

/// Why a received body ended before its end.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The connection ended, or what came is not HTTP.
    #[error("the connection was lost before the end of the body: {}; try again", Causes(&**source))]
    Lost {
        /// The reason.
        source: BoxError,
    },
    /// The peer sent nothing for too long.
    #[error("the peer sent nothing for {after:?}; try again")]
    Stalled {
        /// How long it was waited for.
        after: Duration,
    },
}

/// The causes of an error in one line, from the first that a reader can do something with.
struct Causes<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause = self.0;
        // Its text is "client error (SendRequest)" and the like.
        if let (true, Some(source)) = (cause.is::<hyper_util::client::legacy::Error>(), cause.source()) {
            cause = source;
        }
        write!(f, "{cause}")?;
        while let Some(source) = cause.source() {
            write!(f, ": {source}")?;
            cause = source;
        }
        Ok(())
    }
}

/// Whether a body ended early because of the network or the peer, or because of something local.
#[must_use]
pub fn body_error_kind(error: &BoxError) -> ErrorKind {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
    while let Some(error) = cause {
        if error.is::<BodyError>() || error.is::<hyper::Error>() {
            return ErrorKind::Network;
        }
        cause = error.source();
    }
    ErrorKind::Other
}
