//! The server: listeners, limits, graceful shutdown.

use std::time::Duration;

use http::{Request, Response};

use crate::{BindError, Body, ListenUrl};

/// The limits of a server. Any value is valid.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Connections at once, all transports together; one more is closed at once. Default 4096.
    pub connections_max: usize,
    /// Connections at once from one IP address; one more is closed at once. Default 512.
    pub connections_per_address_max: usize,
    /// From the first byte of a request to the end of its head. Default 15 s.
    pub request_head_timeout: Duration,
    /// How long a connection may do nothing: between requests, or while we wait for the peer to send or to take bytes.
    /// A transfer that moves, however slowly, and a request that we are working on are not idle. Default 60 s.
    pub idle_timeout: Duration,
    /// Connections that wait in a listener for being accepted. Default 4096; the kernel may have a lower limit
    /// (`net.core.somaxconn`).
    pub accept_backlog: u32,
    /// UDT handshakes begun and not finished, per listener. Default 1024.
    pub half_open_handshakes_max: usize,
    /// The request line and header fields together, in bytes. Default 32 KiB.
    pub request_head_bytes_max: usize,
    /// After the shutdown signal, how long requests in progress may take to finish. Default 5 s.
    pub drain_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            connections_per_address_max: 512,
            request_head_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            accept_backlog: 4096,
            half_open_handshakes_max: 1024,
            request_head_bytes_max: 32 * 1024,
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// Bound sockets that are not served yet.
#[derive(Debug)]
pub struct Server {}

impl Server {
    /// Binds every URL, or none. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    ///
    /// [`BindError`] names the first URL that failed.
    pub fn bind(_urls: &[ListenUrl], _config: ServerConfig) -> Result<Self, BindError> {
        unimplemented!("lands next")
    }

    /// The URLs bound, in the order of [`Server::bind`], with their real ports.
    #[must_use]
    pub fn local_urls(&self) -> Vec<ListenUrl> {
        unimplemented!("lands next")
    }

    /// Answers requests with `service` until `shutdown` completes, then drains for at most
    /// [`ServerConfig::drain_timeout`] and aborts what is left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listeners and aborts all connections.
    pub async fn serve<S, F>(self, _service: S, _shutdown: impl Future<Output = ()> + Send)
    where
        S: Fn(Request<Body>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        unimplemented!("lands next")
    }
}
