//! From a URI to a connection: scheme, name resolution, connection attempts.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::byte_stream::ByteStream;
use crate::connection_io::ConnectionIo;
use crate::response_first::ResponseFirst;
use crate::udt::UdtEndpoints;
use crate::{RequestError, Transport, tcp};

/// Before the next address is tried beside the ones that have not answered yet (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried; more do not make it likelier that one answers.
const ATTEMPTS_MAX: usize = 8;

/// Opens connections for the pool.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    connect_timeout: Duration,
    udt: UdtEndpoints,
    tcp_max_rate_bits_per_s: Option<u64>,
}

/// A [`RequestError`] on its way through hyper-util, which hands out errors by reference only.
#[derive(Debug)]
pub(crate) struct ConnectFailure(Mutex<Option<RequestError>>);

/// Where a URI leads.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) transport: Transport,
    pub(crate) authority: Authority,
}

impl Connector {
    pub(crate) fn new(connect_timeout: Duration, udt: UdtEndpoints, tcp_max_rate_bits_per_s: Option<u64>) -> Self {
        Self { connect_timeout, udt, tcp_max_rate_bits_per_s }
    }

    async fn connect(self, uri: Uri) -> Result<ByteStream, RequestError> {
        let target = Target::of(&uri)?;
        let attempts = async {
            let addresses = target.resolve().await?;
            first_to_connect(&target, &self.udt, addresses).await
        };
        match timeout(self.connect_timeout, attempts).await {
            Ok(result) => result,
            Err(_elapsed) => Err(RequestError::ConnectTimeout {
                host: target.authority,
                transport: target.transport,
                after: self.connect_timeout,
            }),
        }
    }
}

impl Target {
    /// # Errors
    ///
    /// [`RequestError::UnsupportedScheme`] and [`RequestError::NoHost`].
    pub(crate) fn of(uri: &Uri) -> Result<Self, RequestError> {
        let transport = uri.scheme_str().and_then(Transport::from_scheme);
        let transport = transport.ok_or_else(|| RequestError::UnsupportedScheme { uri: uri.clone() })?;
        match uri.authority() {
            Some(authority) if !authority.host().is_empty() => Ok(Self { transport, authority: authority.clone() }),
            _ => Err(RequestError::NoHost { uri: uri.clone() }),
        }
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, RequestError> {
        let host = self.authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = self.authority.port_u16().unwrap_or_else(|| self.transport.default_port());
        match tokio::net::lookup_host((host, port)).await {
            Ok(addresses) => Ok(addresses.take(ATTEMPTS_MAX).collect()),
            Err(source) => Err(RequestError::Resolve { host: self.authority.clone(), source }),
        }
    }
}

/// Tries the addresses in the resolver's order (RFC 6724), the next one when the last has failed or is slow.
async fn first_to_connect(
    target: &Target,
    udt: &UdtEndpoints,
    addresses: Vec<SocketAddr>,
) -> Result<ByteStream, RequestError> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = RequestError::NoAddress { host: target.authority.clone() };
    loop {
        if let Some(address) = waiting.next() {
            let (transport, udt) = (target.transport, udt.clone());
            attempts.spawn(async move { (address, connect(transport, &udt, address).await) });
        }
        let has_more = waiting.len() > 0;
        tokio::select! {
            finished = attempts.join_next() => match finished {
                None => return Err(failure),
                Some(Ok((_, Ok(stream)))) => return Ok(stream),
                Some(Ok((address, Err(source)))) => {
                    failure = RequestError::Connect {
                        host: target.authority.clone(),
                        address,
                        transport: target.transport,
                        source,
                    };
                }
                // Only a bug of ours panics, and tokio has reported it; the other addresses may still work.
                Some(Err(_panic)) => {}
            },
            () = sleep(ATTEMPT_DELAY), if has_more => {}
        }
    }
}

async fn connect(transport: Transport, udt: &UdtEndpoints, address: SocketAddr) -> io::Result<ByteStream> {
    match transport {
        Transport::Tcp => tcp::connect(address).await.map(ByteStream::Tcp),
        Transport::Udt => udt.connect(address).await.map(ByteStream::Udt),
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<ResponseFirst<ConnectionIo>>;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let (host, max_rate) = (uri.authority().cloned(), connector.tcp_max_rate_bits_per_s);
            let stream = connector.connect(uri).await.map_err(ConnectFailure::new)?;
            match (ConnectionIo::new(stream, max_rate), host) {
                (Ok(io), _) => Ok(TokioIo::new(ResponseFirst::new(io))),
                (Err(error), Some(host)) => Err(ConnectFailure::new(RequestError::Lost { host, source: error.into() })),
                (Err(_), None) => unreachable!("without a host there is no connection"),
            }
        })
    }
}

impl ConnectFailure {
    fn new(error: RequestError) -> Self {
        Self(Mutex::new(Some(error)))
    }

    /// The error itself; the first taker has it.
    pub(crate) fn take(&self) -> Option<RequestError> {
        self.0.lock().ok()?.take()
    }
}

impl std::fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot connect")
    }
}

impl std::error::Error for ConnectFailure {}
