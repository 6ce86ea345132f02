//! UDT connections: whose endpoint they are on, and the byte stream as hyper wants it.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use godwit_udt::{BindError, Config, ConnectError, Endpoint, EndpointConfig, ListenLimits, SocketConfig, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::ServerConfig;

/// One connection, and its endpoint: that ends when its last handle goes, with the connections that are left.
#[derive(Debug)]
pub(crate) struct UdtStream {
    stream: Stream,
    _endpoint: Endpoint,
}

/// A listening endpoint.
#[derive(Debug)]
pub(crate) struct UdtListener {
    listener: godwit_udt::Listener,
    endpoint: Endpoint,
}

/// The endpoints that a client connects from, so many per address family, each made when it is first needed.
#[derive(Clone, Debug)]
pub(crate) struct UdtEndpoints {
    config: Config,
    sockets: usize,
    bound: Arc<Mutex<Bound>>,
}

#[derive(Debug, Default)]
struct Bound {
    v4: Vec<Endpoint>,
    v6: Vec<Endpoint>,
    connects: usize,
}

impl UdtListener {
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn bind(address: SocketAddr, config: &ServerConfig) -> io::Result<Self> {
        let endpoint = bind(address, config.udt_sockets)?;
        let listener = endpoint.listen(config.udt.clone(), listen_limits(config))?;
        Ok(Self { listener, endpoint })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// # Errors
    ///
    /// When the endpoint is closed.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub(crate) async fn accept(&self) -> io::Result<UdtStream> {
        let stream = self.listener.accept().await?;
        Ok(UdtStream { stream, _endpoint: self.endpoint.clone() })
    }
}

impl UdtEndpoints {
    pub(crate) fn new(config: Config, sockets: usize) -> Self {
        Self { config, sockets: sockets.max(1), bound: Arc::default() }
    }

    /// # Errors
    ///
    /// No socket, no route, or no answer.
    pub(crate) async fn connect(&self, remote: SocketAddr) -> io::Result<UdtStream> {
        let endpoint = self.endpoint_toward(remote)?;
        let stream = endpoint.connect(remote, self.config.clone()).await.map_err(connect_reason)?;
        Ok(UdtStream { stream, _endpoint: endpoint })
    }

    /// Closes all connections gracefully: what was written is delivered, and the peers learn of the end.
    pub(crate) async fn close(&self) {
        let Bound { v4, v6, .. } = std::mem::take(&mut *self.lock());
        for endpoint in [v4, v6].into_iter().flatten() {
            endpoint.close().await;
        }
    }

    fn endpoint_toward(&self, remote: SocketAddr) -> io::Result<Endpoint> {
        let mut bound = self.lock();
        let turn = bound.connects % self.sockets;
        bound.connects += 1;
        let (endpoints, any) = match remote {
            SocketAddr::V4(_) => (&mut bound.v4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&mut bound.v6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        if let Some(endpoint) = endpoints.get(turn) {
            return Ok(endpoint.clone());
        }
        let endpoint = bind(any, 1)?;
        endpoints.push(endpoint.clone());
        Ok(endpoint)
    }

    fn lock(&self) -> MutexGuard<'_, Bound> {
        // Nothing inside panics half-way.
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UdtStream {
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }
}

impl AsyncRead for UdtStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for UdtStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    /// Slice by slice. hyper would copy heads and bodies together for a stream that cannot do this.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut stream = Pin::new(&mut self.get_mut().stream);
        let mut written = 0;
        for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
            match stream.as_mut().poll_write(cx, buf) {
                Poll::Ready(Ok(bytes)) => {
                    written += bytes;
                    if bytes < buf.len() {
                        break;
                    }
                }
                // An error comes again with the next write.
                Poll::Ready(Err(_)) | Poll::Pending if written > 0 => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

fn bind(address: SocketAddr, sockets: usize) -> io::Result<Endpoint> {
    let socket = SocketConfig { sockets, ..SocketConfig::default() };
    Endpoint::bind_with(address, EndpointConfig::default(), socket).map_err(|error| match error {
        BindError::Bind { source, .. } => source,
        other => other.into(),
    })
}

/// What UDT needs to know of the server's limits: the connections that nobody has accepted yet are its own to count.
fn listen_limits(config: &ServerConfig) -> ListenLimits {
    ListenLimits {
        connections_max: config.connections_max,
        connections_per_address_max: config.connections_per_address_max,
        half_open_max: config.half_open_handshakes_max,
        backlog: usize::try_from(config.accept_backlog).unwrap_or(usize::MAX),
    }
}

/// The reason alone: the error that it goes into names the address.
fn connect_reason(error: ConnectError) -> io::Error {
    match error {
        ConnectError::NoRoute { source, .. } => source,
        ConnectError::Failed { source, .. } => source.into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_side_by_side_take_turns_between_sockets() {
        let endpoints = UdtEndpoints::new(Config::default(), 2);
        let remote = SocketAddr::from(([127, 0, 0, 1], 9));
        let [first, second, third] =
            [(); 3].map(|()| endpoints.endpoint_toward(remote).expect("a socket").local_addr());
        assert_ne!(first, second);
        assert_eq!(first, third);
    }
}
