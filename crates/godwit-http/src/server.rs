//! The server: listeners, limits, graceful shutdown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::activity::TimeLimits;
use crate::byte_stream::ByteStream;
use crate::connection_limits::ConnectionLimits;
use crate::listener::{Listener, peer_of};
use crate::server_connection::{ConnectionConfig, ServerPhase, serve_connection};
use crate::{BindError, Body, ListenUrl};

/// A flood of refused connections is reported once in this time.
const REFUSAL_WARNING_INTERVAL: Duration = Duration::from_secs(10);
/// For tasks that were told to abort: they only have to be polled once more.
const ABORT_TIME_MAX: Duration = Duration::from_secs(1);

/// For the last packets of UDT connections that have ended.
const ENDPOINT_CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

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
    /// The request line and header fields together, in bytes; a longer head is answered with 431. Default 32 KiB.
    pub request_head_bytes_max: usize,
    /// Buffers, window and timeouts of UDT connections.
    pub udt: godwit_udt::Config,
    /// Sockets that share each UDP port, each with a driver task. Default: one per core, at most 16.
    pub udt_sockets: usize,
    /// The highest sending rate of a TCP connection in bits per second; UDT's is in its own configuration. Default: none.
    pub tcp_max_rate_bits_per_s: Option<u64>,
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
            udt: godwit_udt::Config::default(),
            udt_sockets: godwit_udt::sockets_per_core(),
            tcp_max_rate_bits_per_s: None,
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// Bound sockets that are not served yet.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    listeners: Vec<(ListenUrl, Listener)>,
}

impl Server {
    /// Binds every URL, or none. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    ///
    /// [`BindError`] names the first URL that failed.
    pub fn bind(urls: &[ListenUrl], config: ServerConfig) -> Result<Self, BindError> {
        if urls.is_empty() {
            return Err(BindError::NoListenUrl);
        }
        let bind = |&url: &ListenUrl| {
            let listener = Listener::bind(url, &config)?;
            let local_url = listener.local_url().map_err(|source| BindError::Listen { url, source })?;
            Ok((local_url, listener))
        };
        let listeners = urls.iter().map(bind).collect::<Result<_, BindError>>()?;
        Ok(Self { config, listeners })
    }

    /// The URLs bound, in the order of [`Server::bind`], with their real ports.
    #[must_use]
    pub fn local_urls(&self) -> Vec<ListenUrl> {
        self.listeners.iter().map(|(url, _)| *url).collect()
    }

    /// Answers requests with `service` until `shutdown` completes.
    ///
    /// Then it stops accepting, closes connections without a request, lets requests in progress finish for at most
    /// [`ServerConfig::drain_timeout`] and aborts what is left. Each request has its
    /// [`ConnectionHandle`](crate::ConnectionHandle) in its extensions. A response whose body fails is aborted: the
    /// client sees an incomplete response, never a short one that looks whole.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the listeners and aborts all connections.
    pub async fn serve<S, F>(self, service: S, shutdown: impl Future<Output = ()> + Send)
    where
        S: Fn(Request<Body>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let (phase, _) = watch::channel(ServerPhase::Serving);
        let admission = Admission::new(&self.config);
        let endpoints: Vec<_> = self.listeners.iter().filter_map(|(_, listener)| listener.endpoint()).collect();
        let mut accept_loops = JoinSet::new();
        for (url, listener) in self.listeners {
            let (service, phase, admission) = (service.clone(), phase.clone(), admission.clone());
            let serve = move |stream| admission.serve(stream, service.clone(), &phase);
            accept_loops.spawn(listener.accept_loop(url, serve));
        }
        shutdown.await;
        accept_loops.shutdown().await;
        drain(phase, self.config.drain_timeout).await;
        for endpoint in endpoints {
            // Peers learn of the end now, not by a timeout of theirs. The connections themselves are gone.
            let _still_lingering = timeout(ENDPOINT_CLOSE_TIME_MAX, endpoint.close()).await;
        }
    }
}

/// Waits until all connections have ended; in the end they have no choice.
async fn drain(phase: watch::Sender<ServerPhase>, drain_timeout: Duration) {
    // `closed` completes when the last connection has dropped its receiver.
    if phase.is_closed() {
        return;
    }
    phase.send_replace(ServerPhase::Draining);
    info!(connections = phase.receiver_count(), "shutting down: waiting for requests in progress");
    if timeout(drain_timeout, phase.closed()).await.is_err() {
        warn!(connections = phase.receiver_count(), ?drain_timeout, "aborting requests that did not finish in time");
        phase.send_replace(ServerPhase::Aborting);
        let _still_busy = timeout(ABORT_TIME_MAX, phase.closed()).await;
    }
}

/// Decides which connections are served, and starts their tasks.
#[derive(Clone)]
struct Admission {
    limits: ConnectionLimits,
    connection: ConnectionConfig,
    refusals: Arc<Refusals>,
}

impl Admission {
    fn new(config: &ServerConfig) -> Self {
        let time_limits = TimeLimits { request_head: config.request_head_timeout, idle: config.idle_timeout };
        Self {
            limits: ConnectionLimits::new(config.connections_max, config.connections_per_address_max),
            connection: ConnectionConfig {
                time_limits,
                request_head_bytes_max: config.request_head_bytes_max,
                tcp_max_rate_bits_per_s: config.tcp_max_rate_bits_per_s,
            },
            refusals: Arc::default(),
        }
    }

    fn serve<S, F>(&self, stream: ByteStream, service: S, phase: &watch::Sender<ServerPhase>)
    where
        S: Fn(Request<Body>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let Some(peer) = peer_of(&stream) else {
            return;
        };
        match self.limits.admit(peer.ip()) {
            Ok(slot) => {
                let (connection, phase) = (self.connection, phase.subscribe());
                tokio::spawn(async move {
                    let _slot = slot;
                    serve_connection(stream, connection, service, phase).await;
                });
            }
            Err(over_limit) => {
                if let Some(refused) = self.refusals.count() {
                    warn!(%peer, ?over_limit, refused, "too many connections: closing new ones at once");
                }
            }
        }
    }
}

/// Connections closed at once, reported now and then.
#[derive(Debug, Default)]
struct Refusals {
    refused: AtomicU64,
    reported_at: Mutex<Option<Instant>>,
}

impl Refusals {
    /// Counts one more; the number so far if it is time for a report.
    fn count(&self) -> Option<u64> {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let mut reported_at = self.reported_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = reported_at.is_none_or(|reported_at| reported_at.elapsed() >= REFUSAL_WARNING_INTERVAL);
        is_due.then(|| {
            *reported_at = Some(Instant::now());
            refused
        })
    }
}
