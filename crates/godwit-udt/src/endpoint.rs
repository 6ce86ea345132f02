//! One UDP port and everything on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use godwit_proto as proto;
use godwit_proto::{Config, DRIVERS_MAX, EndpointConfig, EndpointStats, ListenLimits, Path, WallClock};
use tracing::Instrument as _;

use crate::connection::Connection;
use crate::driver::Driver;
use crate::driver_handle::DriverHandle;
use crate::error::{BindError, ConnectError, ListenError, SideChannelError};
use crate::listener::Listener;
use crate::memory_budget::MemoryBudgets;
use crate::path_mtu::Route;
use crate::shared::{AcceptQueue, Shared, Stage};
use crate::side_channel::SideChannel;
use crate::socket::{self, Socket};
use crate::stream::Stream;
use crate::{SocketConfig, SocketStats};

/// The driver of the connections that an endpoint makes itself. Answers may reach another.
const CONNECTING_DRIVER: u8 = 0;

/// A UDP port that carries any number of UDT connections: those of one [`Listener`] and those that it connects. Clones
/// are handles to the same port.
///
/// One task drives it, or several that share it ([`SocketConfig::sockets`]). When the last handle goes (clones and the listener; streams do
/// not count), the connections that are left are aborted and the tasks end; [`close`](Self::close) ends them gracefully instead.
#[derive(Clone, Debug)]
pub struct Endpoint {
    guard: Arc<Guard>,
}

/// Aborts what is left when the last handle goes.
#[derive(Debug)]
pub(crate) struct Guard {
    shared: Arc<Shared>,
}

impl Endpoint {
    /// Opens a UDP socket for `addr` (port 0: any free one) with the default socket buffers. An IPv6 socket takes IPv6
    /// only, so that both families can use one port.
    ///
    /// # Errors
    /// The address is in use, not of this host, or of a family that it lacks.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub fn bind(addr: SocketAddr, config: EndpointConfig) -> Result<Self, BindError> {
        Self::bind_with(addr, config, SocketConfig::default())
    }

    /// As [`bind`](Self::bind), with these socket buffers and this number of sockets.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    /// As [`bind`](Self::bind).
    pub fn bind_with(addr: SocketAddr, config: EndpointConfig, socket: SocketConfig) -> Result<Self, BindError> {
        let sockets = socket::bind_several(addr, socket.sockets.clamp(1, DRIVERS_MAX));
        Self::start_drivers(sockets.map_err(|source| BindError::Bind { addr, source })?, config, &socket)
    }

    /// Takes over a bound UDP socket, with the default socket buffers.
    ///
    /// # Errors
    /// The socket is not bound or refuses an option that it needs.
    ///
    /// # Panics
    /// As [`bind`](Self::bind).
    pub fn from_socket(socket: std::net::UdpSocket, config: EndpointConfig) -> Result<Self, BindError> {
        Self::from_socket_with(socket, config, SocketConfig::default())
    }

    /// Takes over a bound UDP socket, with these socket buffers; it stays the only one.
    ///
    /// # Errors
    /// As [`from_socket`](Self::from_socket).
    ///
    /// # Panics
    /// As [`bind`](Self::bind).
    pub fn from_socket_with(
        socket: std::net::UdpSocket,
        config: EndpointConfig,
        buffers: SocketConfig,
    ) -> Result<Self, BindError> {
        Self::start_drivers(vec![socket], config, &buffers)
    }

    /// Connects to the UDT listener at `remote`, or meets the peer there if `config` says rendezvous. Where `config`
    /// leaves the MSS open, the MTU of the route decides.
    ///
    /// # Errors
    /// There is no route, the peer does not answer in time or refuses, the endpoint has too many connections or is closed.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped attempt is aborted.
    pub async fn connect(&self, remote: SocketAddr, config: Config) -> Result<Stream, ConnectError> {
        let shared = self.guard.shared();
        let route = self.route(remote)?;
        let config = if config.mss_bytes().is_some() { config } else { config.with_mss_bytes(route.mss_bytes()) };
        // A peer knows us by our address, so it stays the same even if the route changes.
        let path = Path { remote, local: Some(route.local) };
        let mut stream = Stream::new(self.start(path, config)?, Arc::clone(shared));
        stream.connected().await.map_err(|source| ConnectError::Failed { remote, source })?;
        Ok(stream)
    }

    /// Begins to take connections in. What they send is received at once, so the limits bound memory and not only numbers.
    ///
    /// # Errors
    /// The endpoint has a listener already, `config` says rendezvous, or the endpoint is closed.
    pub fn listen(&self, config: Config, limits: ListenLimits) -> Result<Listener, ListenError> {
        let shared = self.guard.shared();
        let mut table = shared.table();
        if shared.is_closing() {
            return Err(ListenError::EndpointClosed);
        }
        table.protocol.listen(config, limits)?;
        let queue = Arc::new(AcceptQueue::default());
        table.acceptor = Some(Arc::clone(&queue));
        Ok(Listener::new(Arc::clone(&self.guard), queue))
    }

    /// Takes the side channel for a second protocol on this socket.
    ///
    /// # Errors
    /// Somebody has it, or the endpoint is closed.
    pub fn side_channel(&self) -> Result<SideChannel, SideChannelError> {
        let shared = self.guard.shared();
        let mut table = shared.table();
        if shared.is_closing() {
            return Err(SideChannelError::EndpointClosed);
        }
        if table.side_channel.as_ref().is_some_and(|sender| !sender.is_closed()) {
            return Err(SideChannelError::InUse);
        }
        let (sender, channel) = SideChannel::open(Arc::clone(shared));
        table.side_channel = Some(sender);
        Ok(channel)
    }

    /// Limits what all connections of this endpoint send together, in bits per second, IP and UDP headers included;
    /// `None` lifts the limit. It works on connections that exist, and from the next datagram on.
    pub fn set_max_rate(&self, bits_per_s: Option<u64>) {
        self.guard.shared().rate_limit.set(bits_per_s);
        self.guard.shared().wake_drivers();
    }

    /// Closes all connections gracefully and waits for their end, each at most for its linger time; then the sockets are
    /// closed. No connection is made or accepted any more. Streams can read what has arrived for them.
    ///
    /// # Cancel safety
    /// Cancel safe: the closing goes on, and another call waits for its end.
    pub async fn close(&self) {
        self.guard.shared().enter(Stage::Closing);
        self.guard.shared().ended().await;
    }

    /// The address that the sockets are bound to, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.guard.shared().local
    }

    /// What went through the sockets so far, and the buffers that the kernel granted, all together.
    #[must_use]
    pub fn socket_stats(&self) -> SocketStats {
        self.guard.shared().socket_stats()
    }

    /// Sockets on the port, each with a driver: as many as were asked for, where the system can do that.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.guard.shared().drivers().len()
    }

    /// What became of the requests for connections.
    #[must_use]
    pub fn stats(&self) -> EndpointStats {
        self.guard.shared().table().protocol.stats()
    }

    /// Connections of all kinds, those included that are being closed.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.guard.shared().table().connections.len()
    }

    fn start_drivers(
        sockets: Vec<std::net::UdpSocket>,
        config: EndpointConfig,
        socket_config: &SocketConfig,
    ) -> Result<Self, BindError> {
        let sockets =
            sockets.into_iter().map(|socket| Socket::new(socket, socket_config)).collect::<Result<Vec<_>, _>>();
        let sockets = sockets.map_err(BindError::Socket)?;
        let local = sockets[0].local_addr();
        let budgets = MemoryBudgets::new(&config);
        let wall_clock = config.wall_clock.or_else(wall_clock);
        let protocol = proto::Endpoint::new(EndpointConfig { wall_clock, ..config }, rand::random());
        let handles = sockets.iter().map(|socket| DriverHandle::new(socket.counters())).collect();
        let shared = Arc::new(Shared::new(protocol, budgets, local, handles));
        for (index, socket) in sockets.into_iter().enumerate() {
            let span = tracing::info_span!("endpoint", %local, driver = index);
            tokio::spawn(Driver::new(index, Arc::clone(&shared), socket).run().instrument(span));
        }
        Ok(Self { guard: Arc::new(Guard { shared }) })
    }

    fn start(&self, path: Path, config: Config) -> Result<Arc<Connection>, ConnectError> {
        let shared = self.guard.shared();
        let mut table = shared.table();
        if shared.is_closing() {
            return Err(ConnectError::EndpointClosed);
        }
        table.protocol.set_driver_index(CONNECTING_DRIVER);
        let (key, protocol) = table.protocol.connect(Instant::now(), path, config)?;
        let connection = Arc::new(Connection::new(key, path, protocol, Arc::clone(&shared.budgets)));
        table.connections.insert(key, Arc::clone(&connection));
        drop(table);
        shared.touch(&connection);
        Ok(connection)
    }

    fn route(&self, remote: SocketAddr) -> Result<Route, ConnectError> {
        let local = self.local_addr();
        if remote.is_ipv4() != local.is_ipv4() {
            return Err(ConnectError::AddressFamily { remote, local });
        }
        let from = Some(local.ip()).filter(|ip| !ip.is_unspecified());
        Route::look_up(remote, from).map_err(|source| ConnectError::NoRoute { remote, source })
    }
}

impl Guard {
    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.enter(Stage::Aborting);
    }
}

/// The system's; none if it says a time before 1970.
fn wall_clock() -> Option<WallClock> {
    let unix_time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(WallClock { at: Instant::now(), unix_time })
}
