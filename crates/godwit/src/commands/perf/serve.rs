//! `godwit perf serve`: takes tests until a signal comes.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_http::{Transport, tcp};
use godwit_udt::{Config, Endpoint, EndpointConfig, ListenLimits, Listener, SocketConfig, sockets_per_core};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::connector::close;
use super::error::PerfError;
use super::protocol::micros;
use super::receiver::{self, Ending};
use super::table::{Bits, Bytes};
use super::url::{ListenUrl, default_listeners};
use crate::cli::PerfServeArgs;
use crate::error::{CommandError, UsageError};
use crate::signals::Signals;
use crate::stderr;

/// Connections beyond the limit that are told so; those beyond these are closed without a word.
const REFUSALS_MAX: usize = 64;
/// Connections that the kernel, or UDT, keeps until they are accepted.
const BACKLOG: u32 = 256;
/// After a failed accept: too many open files do not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen, and for how many.
#[derive(Debug)]
pub(crate) struct ServeConfig {
    listen: Vec<ListenUrl>,
    connections_max: usize,
    udt_sockets: usize,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    origin: Instant,
    connections_max: usize,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    is_quiet: bool,
}

impl ServeConfig {
    /// # Errors
    /// A URL that none is.
    pub(super) fn new(args: PerfServeArgs) -> Result<Self, UsageError> {
        let parse = |text: String| match text.parse() {
            Ok(url) => Ok(url),
            Err(error) => Err(UsageError::PerfUrl { text, error }),
        };
        let mut listen = args.listen.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if listen.is_empty() {
            listen = default_listeners();
        }
        let udt_sockets = args.udt_sockets.unwrap_or_else(sockets_per_core);
        Ok(Self { listen, connections_max: args.max_connections, udt_sockets })
    }
}

impl Shared {
    /// Microseconds since the server started.
    pub(super) fn now_us(&self) -> u64 {
        micros(self.origin.elapsed())
    }

    /// How many there are.
    pub(super) fn connections(&self) -> usize {
        self.connections_max - self.slots.available_permits()
    }
}

/// Takes tests until a signal comes, which ends those that are going on.
pub(super) async fn run(config: ServeConfig, is_quiet: bool, mut signals: Signals) -> Result<(), CommandError> {
    let shared = Arc::new(Shared {
        origin: Instant::now(),
        connections_max: config.connections_max,
        slots: Arc::new(Semaphore::new(config.connections_max)),
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        is_quiet,
    });
    let mut endpoints = Vec::new();
    let mut accepting = JoinSet::new();
    let mut urls = Vec::new();
    for url in config.listen {
        let socket = Socket::bind(url, config.connections_max, config.udt_sockets);
        let (socket, address) = socket.map_err(|source| CommandError::Perf(PerfError::Listen { url, source }))?;
        endpoints.extend(socket.endpoint());
        urls.push(ListenUrl { address, ..url });
        accepting.spawn(accept_all(socket, Arc::clone(&shared)));
    }
    announce(&urls, is_quiet).map_err(CommandError::Print)?;
    let signal = signals.next().await;
    accepting.shutdown().await;
    close(&endpoints).await;
    Err(CommandError::Stopped(signal))
}

/// One line each on stdout, where scripts wait for them.
fn announce(urls: &[ListenUrl], is_quiet: bool) -> io::Result<()> {
    if !is_quiet {
        stderr::say("taking tests from everyone who reaches these addresses; Ctrl-C ends that");
    }
    let mut out = io::stdout().lock();
    for url in urls {
        writeln!(out, "listening on {url}")?;
    }
    out.flush()
}

/// A bound socket of either transport.
enum Socket {
    Udt(Listener, Endpoint),
    Tcp(TcpListener),
}

impl Socket {
    fn bind(url: ListenUrl, connections_max: usize, sockets: usize) -> io::Result<(Self, SocketAddr)> {
        match url.transport {
            Transport::Tcp => {
                let listener = tcp::listen(url.address, BACKLOG)?;
                let address = listener.local_addr()?;
                Ok((Self::Tcp(listener), address))
            }
            Transport::Udt => {
                let socket = SocketConfig { sockets, ..SocketConfig::default() };
                let endpoint = Endpoint::bind_with(url.address, EndpointConfig::default(), socket)?;
                let connections_max = connections_max + REFUSALS_MAX;
                let limits = ListenLimits {
                    connections_max,
                    connections_per_address_max: connections_max,
                    half_open_max: connections_max,
                    backlog: BACKLOG as usize,
                };
                let listener = endpoint.listen(Config::default(), limits)?;
                let address = endpoint.local_addr();
                Ok((Self::Udt(listener, endpoint), address))
            }
        }
    }

    fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Self::Udt(_, endpoint) => Some(endpoint.clone()),
            Self::Tcp(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Udt(listener, endpoint) => Ok(Connection::udt(listener.accept().await?, endpoint.clone())),
            Self::Tcp(listener) => Connection::tcp(tcp::accept(listener).await?),
        }
    }
}

/// Accepts connections for ever; dropping it ends them all.
async fn accept_all(socket: Socket, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            // Those that have ended would be kept otherwise.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok(connection) => {
                let slot = Arc::clone(&shared.slots).try_acquire_owned();
                let is_busy = slot.is_err();
                let Ok(slot) = slot.or_else(|_| Arc::clone(&shared.refusals).try_acquire_owned()) else { continue };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let (peer, transport) = (connection.peer(), connection.transport());
                    let ending = receiver::serve(connection, &shared, is_busy).await;
                    drop(slot);
                    if !shared.is_quiet {
                        stderr::say(format_args!("{peer} over {transport}: {}", described(&ending)));
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn described(ending: &Ending) -> String {
    match ending {
        Ending::Complete(report) | Ending::Early(report) => {
            let (bytes, seconds) = (report.bytes, report.time().as_secs_f64());
            let early = if matches!(ending, Ending::Early(_)) { "; ended early" } else { "" };
            format!("{} in {seconds:.1} s, {}{early}", Bytes(bytes), Bits::per_second(bytes, report.time()))
        }
        Ending::Refused(refusal) => format!("refused: {refusal:?}"),
        Ending::Foreign => "not a client of a test".to_owned(),
        Ending::Nothing => "left without asking for a test".to_owned(),
    }
}
