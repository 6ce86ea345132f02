//! The handle of a running relay.

use std::{
    io::{self, PipeWriter},
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use crate::{
    Filter, Link, LinkConfig, RelayStats, StartError,
    drops::DropCounter,
    routes::Routes,
    socket,
    worker::{Shared, Worker, lock},
};

/// What IP and UDP add to a datagram on the wire: the rate of a link counts them.
const IPV4_UDP_HEADER_BYTES: usize = 20 + 8;
const IPV6_UDP_HEADER_BYTES: usize = 40 + 8;

/// A lossy path between UDP sockets of this machine. It forwards until it is dropped.
///
/// Each direction is one [`Link`], shared by all clients as a real path would be. What a full receive buffer of the relay
/// loses, and what else nobody planned, is counted: see [`RelayStats::check`].
#[derive(Debug)]
pub struct Relay {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    /// `Some` until drop. Closing it ends the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts a path to `server`: what clients send to [`Relay::addr`] takes `forward`, the answers take `backward`.
    ///
    /// The server sees each client at a port of its own on the loopback. `seed` decides all random faults.
    ///
    /// # Errors
    /// A configuration that describes no path, or no UDP port.
    pub fn start(server: SocketAddr, forward: LinkConfig, backward: LinkConfig, seed: u64) -> Result<Self, StartError> {
        Self::builder(server).forward(forward).backward(backward).seed(seed).start()
    }

    /// A path to `server` that starts clear in both directions.
    pub fn builder(server: SocketAddr) -> RelayBuilder {
        RelayBuilder::new(Ends::Server(server))
    }

    /// A path between `a` and `b` for a rendezvous: A talks to [`Relay::addr`] and B to [`Relay::addr_for_b`].
    ///
    /// What A sends takes the forward link and reaches B from the very address that B talks to, and the reverse. An end
    /// with port 0 is not known yet: it is whoever first sends to its side, and until then nothing can reach it.
    pub fn between(a: SocketAddr, b: SocketAddr) -> RelayBuilder {
        RelayBuilder::new(Ends::Between(a, b))
    }

    /// Where clients (or A) send to.
    pub fn addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where B of a rendezvous sends to; the same as [`Relay::addr`] for a path to a server.
    pub fn addr_for_b(&self) -> SocketAddr {
        self.addresses[self.addresses.len() - 1]
    }

    /// What the relay has done so far; a datagram that has arrived at its destination is counted.
    pub fn stats(&self) -> RelayStats {
        let kernel_drops = lock(&self.shared.drops).as_mut().and_then(|drops| drops.count().ok());
        RelayStats { kernel_drops, ..*lock(&self.shared.stats) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the filter has been printed by its thread.
            let _ = thread.join();
        }
    }
}

/// How a path is to be; see [`Relay::builder`] and [`Relay::between`].
#[must_use = "nothing is forwarded before `start`"]
pub struct RelayBuilder {
    ends: Ends,
    forward: LinkConfig,
    backward: LinkConfig,
    seed: u64,
    filter: Option<Filter>,
}

#[derive(Clone, Copy)]
enum Ends {
    Server(SocketAddr),
    Between(SocketAddr, SocketAddr),
}

impl RelayBuilder {
    fn new(ends: Ends) -> Self {
        Self { ends, forward: LinkConfig::default(), backward: LinkConfig::default(), seed: 0, filter: None }
    }

    /// The path from the clients to the server, or from A to B. Default: clear.
    pub fn forward(mut self, config: LinkConfig) -> Self {
        self.forward = config;
        self
    }

    /// The path from the server to the clients, or from B to A. Default: clear.
    pub fn backward(mut self, config: LinkConfig) -> Self {
        self.backward = config;
        self
    }

    /// The same path both ways.
    pub fn both_ways(self, config: LinkConfig) -> Self {
        self.forward(config).backward(config)
    }

    /// Decides all random faults. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Judges each datagram before it enters its link. Default: all pass.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Opens the ports and starts to forward.
    ///
    /// # Errors
    /// A configuration that describes no path, no UDP port, or no thread.
    pub fn start(self) -> Result<Relay, StartError> {
        let forward = Link::new(self.forward, self.seed).map_err(StartError::Forward)?;
        // Another sequence than the forward link's, from the same seed.
        let backward = Link::new(self.backward, !self.seed).map_err(StartError::Backward)?;
        let (ports, routes) = self.ends.open()?;
        let addresses: Result<Vec<_>, _> = ports.iter().map(UdpSocket::local_addr).collect();
        let addresses = addresses.map_err(StartError::Socket)?;
        let shared = Arc::new(Shared { stats: Mutex::default(), drops: Mutex::new(count_drops(&ports, addresses[0])) });
        let (stop, stop_writer) = io::pipe().map_err(StartError::Thread)?;
        let worker = Worker {
            ports,
            routes,
            links: [forward, backward],
            filter: self.filter,
            header_bytes: if addresses[0].is_ipv4() { IPV4_UDP_HEADER_BYTES } else { IPV6_UDP_HEADER_BYTES },
            shared: Arc::clone(&shared),
            stats: RelayStats::default(),
            stop,
        };
        let thread = std::thread::Builder::new().name("relay".into()).spawn(move || worker.run());
        let thread = thread.map_err(StartError::Thread)?;
        Ok(Relay { addresses, shared, stop: Some(stop_writer), thread: Some(thread) })
    }
}

impl Ends {
    fn open(self) -> Result<(Vec<UdpSocket>, Routes), StartError> {
        match self {
            Self::Server(server) => {
                let port = socket::open_loopback_like(server).map_err(StartError::Socket)?;
                Ok((vec![port], Routes::to_server(server)))
            }
            Self::Between(a, b) if a.is_ipv4() != b.is_ipv4() => Err(StartError::MixedVersions),
            Self::Between(a, b) => {
                let open = |end| socket::open_towards(end).map_err(StartError::Socket);
                Ok((vec![open(a)?, open(b)?], Routes::Between { ends: [a, b] }))
            }
        }
    }
}

/// `None` where the kernel does not count the drops of a socket.
fn count_drops(ports: &[UdpSocket], address: SocketAddr) -> Option<DropCounter> {
    let mut drops = DropCounter::open(address).ok()?;
    ports.iter().try_for_each(|port| drops.watch(port)).ok()?;
    Some(drops)
}
