//! One UDP socket's worth of UDT: who a datagram is for, and who gets in.
//!
//! Demultiplexing goes by socket id and address only, never by the first bits of a datagram, so a second protocol can
//! share the socket: what no connection claims is [`Route::Unclaimed`].

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::config::{Config, EndpointConfig, ListenLimits};
use crate::connection::{Birth, Connection, Ticks};
use crate::cookie::CookieJar;
use crate::datagram::Path;
use crate::error::{ConnectError, ListenError};
use crate::packet::{Control, Handshake, Packet, RequestType, destination_id};
use crate::path_cache::{PathCache, PathMemory};
use crate::seq::Seq;

/// The id of a connection that ended answers with shutdowns for this long: the peer may have received none of those that were sent. It is
/// as long as a peer waits by default, since one that only reads says something each 10 s, in keep-alives. Deviation 49.
const CLOSED_ID_LIFETIME: Duration = Duration::from_secs(45);
/// Ids of ended connections that are remembered; the oldest are forgotten first.
const CLOSED_IDS_MAX: usize = 4096;
/// Shutdowns with which one ended connection answers: an answer to everything would double a peer's traffic.
const CLOSED_ANSWERS_MAX: u8 = 8;
/// Bits of a socket id that name the driver, below the sign bit; the others are random. Deviation 10.
const DRIVER_INDEX_SHIFT: u32 = 25;
const DRIVER_INDEX_MASK: u32 = 0x3F;
/// Drivers that one endpoint can have: what those bits can name.
pub const DRIVERS_MAX: usize = DRIVER_INDEX_MASK as usize + 1;

/// Names a connection within its endpoint: this side's socket id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ConnectionHandle(u32);

impl ConnectionHandle {
    /// The socket id.
    pub const fn id(self) -> u32 {
        self.0
    }
}

/// Which driver of the port a socket id belongs to: that one keeps the timers of the connection and sends its packets.
pub const fn driver_index(socket_id: u32) -> u8 {
    ((socket_id >> DRIVER_INDEX_SHIFT) & DRIVER_INDEX_MASK) as u8
}

/// Where a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// To this connection.
    Connection(ConnectionHandle),
    /// It asks for a connection: to [`Endpoint::handle_handshake`].
    Handshake,
    /// Its connection has ended: answer with [`Endpoint::closed_answer`].
    Closed(ConnectionHandle),
    /// It is not ours.
    Unclaimed,
}

/// What a request for a connection led to.
#[derive(Debug)]
pub enum Handshaken {
    /// Nothing.
    Ignored,
    /// The reply that was put into the buffer is to be sent.
    Reply,
    /// A new connection.
    Accepted(ConnectionHandle, Box<Connection>),
    /// It belongs to this connection, which is to handle the datagram.
    Existing(ConnectionHandle),
}

/// Requests for connections that got none, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Connections accepted.
    pub accepted: u64,
    /// Requests with a cookie that this endpoint did not give out.
    pub bad_cookies: u64,
    /// Requests refused for version, type or values.
    pub refused_requests: u64,
    /// Requests refused because a limit was reached.
    pub refused_by_limit: u64,
    /// Requests of the wrong length or type.
    pub malformed_requests: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    driver_index: u8,
    rng: StdRng,
    cookies: CookieJar,
    entries: HashMap<u32, Entry>,
    /// Accepted connections by peer address, id and ISN: a repeated request finds its connection. libudt compares two bits
    /// of the id only (pitfall 8). Deviation 11.
    accepted: HashMap<(SocketAddr, u32, Seq), u32>,
    per_address: HashMap<IpAddr, usize>,
    half_open: usize,
    listener: Option<(Config, ListenLimits)>,
    /// Connections that meet their peer at id 0, by its address.
    rendezvous: HashMap<SocketAddr, u32>,
    closed: HashMap<u32, Closed>,
    /// The ids of `closed`, oldest first.
    closed_order: VecDeque<(Instant, u32)>,
    paths: PathCache,
    /// From its first connection on.
    ticks: Option<Ticks>,
    stats: EndpointStats,
}

#[derive(Debug)]
struct Entry {
    remote: SocketAddr,
    /// Set for connections that the listener accepted.
    accepted: Option<Accepted>,
}

#[derive(Debug)]
struct Accepted {
    peer_id: u32,
    isn: Seq,
    is_half_open: bool,
}

#[derive(Debug)]
struct Closed {
    peer_id: u32,
    remote: SocketAddr,
    answers: u8,
}

impl Endpoint {
    /// An endpoint without connections. All that is random in it comes from `seed`.
    pub fn new(config: EndpointConfig, seed: [u8; 32]) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let cookie_key = rng.random();
        Self {
            config,
            driver_index: 0,
            cookies: CookieJar::new(cookie_key),
            rng,
            entries: HashMap::new(),
            accepted: HashMap::new(),
            per_address: HashMap::new(),
            half_open: 0,
            listener: None,
            rendezvous: HashMap::new(),
            closed: HashMap::new(),
            closed_order: VecDeque::new(),
            paths: PathCache::default(),
            ticks: None,
            stats: EndpointStats::default(),
        }
    }

    /// Connections made or accepted from now on belong to this one of several drivers, below [`DRIVERS_MAX`]; 0 at first. Their
    /// socket ids say so, see [`driver_index`].
    pub fn set_driver_index(&mut self, index: u8) {
        self.driver_index = index & DRIVER_INDEX_MASK as u8;
    }

    /// Where a datagram from `from` goes; its first 16 bytes are enough.
    pub fn route(&mut self, now: Instant, datagram: &[u8], from: SocketAddr) -> Route {
        let Some(id) = destination_id(datagram) else { return Route::Unclaimed };
        if id == 0 {
            // Data has bit 31 clear; only control packets ask for connections.
            return if datagram[0] & 0x80 != 0 { Route::Handshake } else { Route::Unclaimed };
        }
        let Some(entry) = self.entries.get_mut(&id) else { return self.route_closed(now, id, from) };
        if entry.remote != from {
            return Route::Unclaimed;
        }
        if let Some(accepted) = &mut entry.accepted
            && std::mem::take(&mut accepted.is_half_open)
        {
            self.half_open -= 1;
        }
        Route::Connection(ConnectionHandle(id))
    }

    /// As [`route`](Self::route), for datagrams of `stride` bytes each (the last may be shorter) that came from one peer together: where
    /// the first goes, and how many bytes from the beginning on go with it. Only what goes to a connection, or to nobody, is a run.
    pub fn route_run(&mut self, now: Instant, datagrams: &[u8], stride: usize, from: SocketAddr) -> (Route, usize) {
        let mut datagrams = datagrams.chunks(stride.max(1));
        let first = datagrams.next().unwrap_or_default();
        let route = self.route(now, first, from);
        let more: usize = match route {
            Route::Connection(ConnectionHandle(id)) => {
                datagrams.take_while(|datagram| destination_id(datagram) == Some(id)).map(<[u8]>::len).sum()
            }
            Route::Unclaimed => {
                datagrams.take_while(|datagram| self.route(now, datagram, from) == route).map(<[u8]>::len).sum()
            }
            Route::Handshake | Route::Closed(_) => 0,
        };
        (route, first.len() + more)
    }

    /// Starts a connection to `path.remote`: as a client, or as one side of a rendezvous.
    ///
    /// # Errors
    /// If there are too many connections, or nothing can be at that address.
    pub fn connect(
        &mut self,
        now: Instant,
        path: Path,
        config: Config,
    ) -> Result<(ConnectionHandle, Connection), ConnectError> {
        if path.remote.port() == 0 || path.remote.ip().is_unspecified() {
            return Err(ConnectError::InvalidRemote(path.remote));
        }
        if self.entries.len() >= self.config.connections_max {
            return Err(ConnectError::TooManyConnections { max: self.config.connections_max });
        }
        let is_rendezvous = config.rendezvous();
        let birth = self.birth(now, path, config);
        let handle = ConnectionHandle(birth.local_id);
        self.entries.insert(handle.0, Entry { remote: path.remote, accepted: None });
        if is_rendezvous {
            // As in libudt, the first of several that wait for the same peer gets what is addressed to none.
            self.rendezvous.entry(path.remote).or_insert(handle.0);
        }
        Ok((handle, Connection::connect(birth)))
    }

    /// Lets peers in.
    ///
    /// # Errors
    /// If this endpoint is listening already, or `config` is for a rendezvous.
    pub fn listen(&mut self, config: Config, limits: ListenLimits) -> Result<(), ListenError> {
        if config.rendezvous() {
            return Err(ListenError::Rendezvous);
        }
        if self.listener.is_some() {
            return Err(ListenError::AlreadyListening);
        }
        self.listener = Some((config, limits));
        Ok(())
    }

    /// Lets nobody in any more; connections stay.
    pub fn stop_listening(&mut self) {
        self.listener = None;
    }

    /// A datagram with [`Route::Handshake`]. `mss_bytes` is what the route to that peer takes, for a listener that was not given an
    /// MSS; `waiting` is how many accepted connections wait to be taken. A reply replaces what is in `reply`.
    pub fn handle_handshake(
        &mut self,
        now: Instant,
        datagram: &[u8],
        path: Path,
        mss_bytes: u32,
        waiting: usize,
        reply: &mut Vec<u8>,
    ) -> Handshaken {
        reply.clear();
        let request = match Packet::decode(datagram) {
            Ok(Packet::Control(packet)) => match packet.control {
                // Not a byte more: libudt's listener ignores longer ones, too (specification section 2.3). Deviation 3.
                Control::Handshake(request) if packet.body_len == Handshake::CIF_BYTES => request,
                _ => return self.malformed(),
            },
            _ => return self.malformed(),
        };
        if self.listener.is_none() {
            let id = self.rendezvous.get(&path.remote);
            return id.map_or(Handshaken::Ignored, |&id| Handshaken::Existing(ConnectionHandle(id)));
        }
        if request.request == RequestType::Induction {
            let cookie = self.cookies.bake(now, path.remote);
            answer(&Handshake { cookie, ..request }, request.socket_id, reply);
            return Handshaken::Reply;
        }
        self.conclude(now, &request, path, mss_bytes, waiting, reply)
    }

    /// The shutdown with which an ended connection answers its peer, put into `reply`; false once it has answered enough.
    pub fn closed_answer(&mut self, handle: ConnectionHandle, reply: &mut Vec<u8>) -> bool {
        reply.clear();
        let Some(closed) = self.closed.get_mut(&handle.0) else { return false };
        if closed.answers >= CLOSED_ANSWERS_MAX {
            return false;
        }
        closed.answers += 1;
        Control::Shutdown { final_seq: None }.encode(0, closed.peer_id, reply);
        true
    }

    /// Takes in what a connection to this host knew of the path when it ended, for the next one.
    pub fn learn_path(&mut self, now: Instant, host: IpAddr, memory: PathMemory) {
        self.paths.learn(now, host, memory);
    }

    /// Forgets a connection; for some seconds its id answers with shutdowns to the socket `peer_id`, unless that is 0.
    pub fn remove(&mut self, now: Instant, handle: ConnectionHandle, peer_id: u32) {
        let Some(entry) = self.entries.remove(&handle.0) else { return };
        if let Some(accepted) = entry.accepted {
            self.half_open -= usize::from(accepted.is_half_open);
            self.accepted.remove(&(entry.remote, accepted.peer_id, accepted.isn));
            if let Some(count) = self.per_address.get_mut(&entry.remote.ip()) {
                *count -= 1;
                if *count == 0 {
                    self.per_address.remove(&entry.remote.ip());
                }
            }
        }
        if self.rendezvous.get(&entry.remote) == Some(&handle.0) {
            self.rendezvous.remove(&entry.remote);
        }
        self.forget_closed(now);
        if peer_id != 0 {
            self.closed.insert(handle.0, Closed { peer_id, remote: entry.remote, answers: 0 });
            self.closed_order.push_back((now + CLOSED_ID_LIFETIME, handle.0));
        }
    }

    /// Connections of all kinds.
    pub fn connections(&self) -> usize {
        self.entries.len()
    }

    /// What the listener did.
    pub fn stats(&self) -> EndpointStats {
        self.stats
    }

    fn malformed(&mut self) -> Handshaken {
        self.stats.malformed_requests += 1;
        Handshaken::Ignored
    }

    fn route_closed(&mut self, now: Instant, id: u32, from: SocketAddr) -> Route {
        self.forget_closed(now);
        let is_known = self.closed.get(&id).is_some_and(|closed| closed.remote == from);
        if is_known { Route::Closed(ConnectionHandle(id)) } else { Route::Unclaimed }
    }

    fn forget_closed(&mut self, now: Instant) {
        while let Some(&(until, id)) = self.closed_order.front()
            && (until <= now || self.closed.len() > CLOSED_IDS_MAX)
        {
            self.closed_order.pop_front();
            self.closed.remove(&id);
        }
    }

    /// Any request but an induction counts as the conclusion, as with libudt: checks in its order.
    fn conclude(
        &mut self,
        now: Instant,
        request: &Handshake,
        path: Path,
        mss_bytes: u32,
        waiting: usize,
        reply: &mut Vec<u8>,
    ) -> Handshaken {
        if !self.cookies.accepts(now, path.remote, request.cookie) {
            self.stats.bad_cookies += 1;
            return Handshaken::Ignored;
        }
        let Some((config, limits)) = self.listener.clone() else { return Handshaken::Ignored };
        if request.version != Handshake::VERSION || request.socket_type != config.socket_type().to_wire() {
            self.stats.refused_requests += 1;
            return refuse(request, reply);
        }
        if let Some(&id) = self.accepted.get(&(path.remote, request.socket_id, request.isn)) {
            return Handshaken::Existing(ConnectionHandle(id));
        }
        if !self.has_room(&limits, path.remote.ip(), waiting) {
            self.stats.refused_by_limit += 1;
            return refuse(request, reply);
        }
        let config = match config.mss_bytes() {
            Some(_) => config,
            None => config.with_mss_bytes(mss_bytes),
        };
        self.accept(now, request, path, config, reply)
    }

    /// The limits of a listener (deviation 14).
    fn has_room(&self, limits: &ListenLimits, address: IpAddr, waiting: usize) -> bool {
        self.entries.len() < self.config.connections_max
            && self.accepted.len() < limits.connections_max
            && self.per_address.get(&address).copied().unwrap_or(0) < limits.connections_per_address_max
            && self.half_open < limits.half_open_max
            && waiting < limits.backlog
    }

    fn accept(
        &mut self,
        now: Instant,
        request: &Handshake,
        path: Path,
        config: Config,
        reply: &mut Vec<u8>,
    ) -> Handshaken {
        let birth = self.birth(now, path, config);
        let id = birth.local_id;
        let Some(connection) = Connection::accept(birth, request) else {
            self.stats.refused_requests += 1;
            return refuse(request, reply);
        };
        let (peer_id, isn) = (request.socket_id, request.isn);
        let accepted = Some(Accepted { peer_id, isn, is_half_open: true });
        self.entries.insert(id, Entry { remote: path.remote, accepted });
        self.accepted.insert((path.remote, peer_id, isn), id);
        *self.per_address.entry(path.remote.ip()).or_default() += 1;
        self.half_open += 1;
        self.stats.accepted += 1;
        Handshaken::Accepted(ConnectionHandle(id), Box::new(connection))
    }

    fn birth(&mut self, now: Instant, path: Path, config: Config) -> Birth {
        let local_id = loop {
            let random = self.rng.random::<u32>() & ((1 << DRIVER_INDEX_SHIFT) - 1);
            let id = random | u32::from(self.driver_index) << DRIVER_INDEX_SHIFT;
            let is_taken = self.entries.contains_key(&id) || self.closed.contains_key(&id);
            if id != 0 && !is_taken {
                break id;
            }
        };
        let isn = config.initial_seq.unwrap_or_else(|| Seq::new(self.rng.random()));
        let unix_time = self.config.wall_clock.map(|clock| clock.unix_time_at(now)).unwrap_or_default();
        let path_bytes_per_s = self.paths.recall(now, path.remote.ip());
        let ticks = *self.ticks.get_or_insert(Ticks { first: now });
        Birth { now, ticks, unix_time, path, path_bytes_per_s, config, local_id, isn, seed: self.rng.random() }
    }
}

fn refuse(request: &Handshake, reply: &mut Vec<u8>) -> Handshaken {
    answer(&Handshake { request: RequestType::REFUSED, ..*request }, request.socket_id, reply);
    Handshaken::Reply
}

fn answer(handshake: &Handshake, destination: u32, reply: &mut Vec<u8>) {
    Control::Handshake(*handshake).encode(0, destination, reply);
}
